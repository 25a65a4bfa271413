"""What narrowing did, in every form of the report: sentences, layers, ranges; nothing becomes markup."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fcnship.errors import ArtifactError
from fcnship.reports.console import print_report
from fcnship.reports.html import html_text
from fcnship.reports.json_report import canonical_report
from fcnship.reports.markdown import markdown_text
from fcnship.reports.precision_tables import sentences

PASS = Path(__file__).parents[1] / "data" / "report" / "pass.in.json"
TENSOR = {
    "tensor": "conv2d/Relu:0",
    "high": 3.5,
    "largest": 4.25,
    "saturated": 0.0001,
    "worst": 0.002,
    "worst_size": [28, 41],
    "without": [
        {"sizes": "28-47", "high": 3.4, "factor": 0.97},
        {"sizes": "133-224", "high": 2.1, "factor": 0.6},
    ],
}
INT8: dict[str, Any] = {
    "recipe": {
        "name": "default",
        "sha256": "ab" * 32,
        "method": "mse",
        "images": 2,
        "sizes": "profile",
        "seed": 0,
        "keep_fp32": [],
    },
    "audit": {
        "recipe": {},
        "images": [
            {"sha256": "0123" * 16, "height": 28, "width": 31},
            {"sha256": "f" * 64, "height": 99, "width": 99},
        ],
        "distinct": 2,
        "blank": 0,
        "coverage": [{"profile": "28,80,224@1,1,8", "sizes": "28-47", "images": 2}],
        "held_out": 64,
        "tensors": [TENSOR],
        "moves_most": {"tensor": "conv2d/Relu:0", "sizes": "133-224", "factor": 0.6},
    },
    "ranges": {"conv2d/Relu:0": [-3.5, 3.5]},
    "kept": [{"layer": "dense", "reason": "INT8 loses more than 0.5 points with it"}],
    "layers": [
        {
            "layer": "conv2d",
            "precision": "int8",
            "reason": "",
            "alone": {"loss": 0.1, "loss_at": "28x28", "error": 0.0123, "error_at": "224x224"},
        },
        {
            "layer": "dense",
            "precision": "fp32",
            "reason": "INT8 loses more than 0.5 points with it",
            "alone": None,
        },
    ],
    "quantized_layers": 1,
    "bytes_ratio": 0.2989,
    "budget": {
        "points": 0.5,
        "measured": 7,
        "sizes": [{"height": 28, "width": 28, "loss": 0.4}, {"height": 224, "width": 224, "loss": -0.1}],
    },
}
FP16 = {"io": "fp32", "kept": [{"layer": "scale", "reason": "it leaves FP16's range"}], "types": {"fp16": 3}}


def report(**precision: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PASS.read_text(encoding="utf-8"))
    return {**found, "precision": copy.deepcopy(precision)} if precision else found


def console_text(found: dict[str, Any]) -> str:
    file = io.StringIO()
    print_report(found, Console(file=file, width=80, no_color=True, highlight=False))
    return " ".join(file.getvalue().split())


def test_the_sentences_say_what_was_done() -> None:
    assert sentences({"fp16": FP16, "int8": INT8}) == [
        "FP16: 1 layer stays FP32. Looked for values out of its range on real images.",
        "INT8: 1 of 2 layers with weights; the file has 29.89 % of FP32's bytes.",
        "Calibrated by mse (recipe default, sizes profile, seed 0) on 2 images, 2 of them different; ranges "
        "checked on 64 others.",
        "Held to 0.5 points of accuracy on held-out training images: the most that is lost is 0.40 points at "
        "28x28, of 2 sizes. Choices of layers that were measured: 7.",
        "Most saturated on held-out images: conv2d/Relu:0, 0.010 % of its values on average and 0.200 % in "
        "the worst image, of 28x41.",
        "The range that hangs most on images of one size: conv2d/Relu:0 would be 0.60 times as wide without "
        "those of 133-224.",
    ]


def test_nothing_is_said_that_was_not_done() -> None:
    plain = {**INT8, "budget": None, "audit": {**INT8["audit"], "moves_most": None}}
    assert len(sentences({"int8": plain})) == 3
    for text in (markdown_text(report()), html_text(report()), console_text(report())):
        assert "Calibrated by" not in text


@pytest.mark.parametrize("render", [markdown_text, html_text, console_text])
def test_every_form_has_the_sentences_and_the_kept_layers(render: Any) -> None:
    text = render(report(fp16=FP16, int8=INT8))
    for told in ("Calibrated by mse", "scale", "FP16's range", "dense", "loses more than 0.5 points"):
        assert told in text.replace("&#x27;", "'"), told


@pytest.mark.parametrize("render", [markdown_text, html_text])
def test_pages_have_the_layers_and_the_ranges(render: Any) -> None:
    text = render(report(int8=INT8))
    for told in ("0.10 points", "224x224", "0.0123", "133-224: 0.60x without", "0.200 %", "28-47"):
        assert told in text, told


def test_the_images_that_calibrated_are_in_the_page_and_in_the_json() -> None:
    assert "0123" * 16 in html_text(report(int8=INT8))
    assert canonical_report(report(int8=INT8))["precision"]["int8"]["audit"]["images"][0]["height"] == 28


@pytest.mark.parametrize("render", [markdown_text, html_text])
def test_names_cannot_become_markup(render: Any) -> None:
    wild = copy.deepcopy(INT8)
    wild["layers"][0]["layer"] = wild["kept"][0]["layer"] = "<script>alert(1)</script>|"
    wild["audit"]["tensors"][0]["tensor"] = "<img src=x>"
    text = render(report(int8=wild))
    assert "<script>alert" not in text
    assert "<img src=x>" not in text


def test_the_schema_knows_what_the_stages_write() -> None:
    canonical_report(report(fp16=FP16, int8=INT8))
    for path in (["int8", "layers"], ["int8", "audit"], ["int8", "bytes_ratio"], ["fp16", "kept"]):
        broken = report(fp16=FP16, int8=INT8)
        place = broken["precision"]
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        with pytest.raises(ArtifactError, match=f"{path[-1]} is missing"):
            canonical_report(broken)
