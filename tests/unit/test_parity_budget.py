"""The error budget adds up, along any chain."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from fcnship.reports.budget_summary import budget_cells, budget_summaries
from fcnship.reports.console import print_report
from fcnship.reports.html import html_text
from fcnship.reports.json_report import canonical_report
from fcnship.reports.markdown import markdown_text
from fcnship.verify.budget import budget_rows, chain_of

CHAIN = ["keras", "savedmodel", "onnx-fp32", "onnx-fp16", "onnx-int8", "engine-fp32"]
IMAGES = np.zeros((3, 20, 24, 1), np.float32)


def outputs(seed: int, variants: list[str]) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    first = rng.random((3, 10)).astype(np.float32)
    return {
        v: first + (i * rng.normal(0, 10.0**-i, first.shape)).astype(np.float32)
        for i, v in enumerate(variants)
    }


def test_the_chain_is_in_the_order_of_the_stages() -> None:
    assert chain_of("keras", dict.fromkeys(reversed(CHAIN))) == CHAIN
    assert chain_of("onnx-int8", dict.fromkeys(["engine-fp32", "onnx-int8", "keras"])) == [
        "onnx-int8",
        "keras",
        "engine-fp32",
    ]


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_it_adds_up(seed: int, length: int) -> None:
    given_ = outputs(seed, CHAIN[:length])
    rows = budget_rows(IMAGES, "keras", given_)
    assert [(row["before"], row["variant"]) for row in rows] == list(pairwise(CHAIN[:length]))
    last = rows[-1]
    difference = given_[CHAIN[length - 1]].astype(np.float64) - given_["keras"].astype(np.float64)
    assert last["total_max"] == np.abs(difference).max()
    assert sum(row["contribution"] for row in rows) == pytest.approx(last["total_mean"], rel=1e-12)
    for place, row in enumerate(rows):
        steps = rows[: place + 1]
        assert row["total_max"] <= sum(step["step_max"] for step in steps) * (1 + 1e-12)
        assert row["total_mean"] <= sum(step["step_mean"] for step in steps) * (1 + 1e-12)


def test_a_step_that_takes_error_away_counts_against_what_brought_it() -> None:
    zero, one = np.zeros((1, 2), np.float32), np.array([[0.5, 0.5]], np.float32)
    given_ = {"keras": zero, "onnx-fp32": one, "onnx-fp16": one / 2}
    rows = budget_rows(IMAGES[:1], "keras", given_)
    assert [row["contribution"] for row in rows] == [0.5, -0.25]
    assert [row["total_max"] for row in rows] == [0.5, 0.25]


def test_what_cannot_be_compared_is_left_out() -> None:
    given_ = outputs(0, CHAIN[:4])
    given_["savedmodel"] = given_["savedmodel"][:, :4]
    given_["onnx-fp32"][0, 0] = np.nan
    assert [(row["before"], row["variant"]) for row in budget_rows(IMAGES, "keras", given_)] == [
        ("keras", "onnx-fp16")
    ]
    given_["keras"] = given_["keras"] * np.inf
    assert budget_rows(IMAGES, "keras", given_) == []


def test_every_renderer_tells_it(report: dict[str, Any]) -> None:
    rows = []
    for side in (28, 40, 64):
        images = np.zeros((1, side, side, 1), np.float32)
        rows += budget_rows(images, "keras", outputs(side, ["keras", "savedmodel", "onnx-fp32"]))
    report = canonical_report({**report, "budget": rows, "tolerance": "16 times <noise>"})
    summaries = budget_summaries(report)
    assert [summary.variant for summary in summaries] == ["savedmodel", "onnx-fp32"]
    assert sum(summary.share or 0 for summary in summaries) == pytest.approx(1)
    console = Console(file=io.StringIO(), width=80, no_color=True)
    print_report(report, console)
    page, markdown = html_text(report), markdown_text(report)
    for text in (console.file.getvalue(), page, markdown):  # type: ignore[attr-defined]
        assert "Error budget" in text
    assert "&lt;noise&gt;" in page
    assert "&lt;noise&gt;" in markdown
    assert page.count('class="plot wide"') == 4  # accuracy, latency, error and budget


def test_a_step_that_takes_next_to_nothing_away_has_a_share_of_0() -> None:
    (row, *_) = budget_rows(IMAGES, "keras", outputs(0, ["keras", "savedmodel", "onnx-fp32"]))
    (summary, *_) = budget_summaries({"budget": [row]})
    assert budget_cells(replace(summary, share=-0.004))[-1] == "0 %"
    assert budget_cells(replace(summary, share=0.996))[-1] == "100 %"


@pytest.fixture
def report() -> dict[str, Any]:
    import json
    from pathlib import Path

    text = (Path(__file__).parents[1] / "data" / "report" / "pass.in.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
