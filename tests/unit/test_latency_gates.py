"""Latency as a gate: --max-slowdown and --baseline, from the rows of reports alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fcnship.errors import ArtifactError, UsageError
from fcnship.options import Options
from fcnship.reports.json_report import report_at
from fcnship.verify.baseline import ratio_changes, unlike
from fcnship.verify.gates import against_baseline, judged, latency_reasons, latency_warnings

SAMPLES = Path(__file__).parents[1] / "data" / "report"


def row(variant: str, ratio: float, spread: float = 0.02, height: int = 28, batch: int = 1) -> dict[str, Any]:
    return {
        "variant": variant,
        "height": height,
        "width": height,
        "batch": batch,
        "ratio": ratio,
        "ratio_low": ratio * (1 - spread),
        "ratio_high": ratio * (1 + spread),
        "verdict": "reference" if variant == "keras" else "slower" if ratio > 1 else "faster",
    }


def report(*rows: dict[str, Any], **timing: Any) -> dict[str, Any]:
    """A report as far as gates read it."""
    how = {
        "timed": "one call",
        "clock": "monotonic",
        "threads": {"keras": 2, "onnx-fp32": 2},
        "governor": None,
        "libraries": {"tensorflow": "2.21.0"},
    }
    return {
        "name": "net",
        "created": "2026-11-20T00:00:00+00:00",
        "environment": {"platform": "linux", "cpu": "A", "cores": 2, "gpu": None},
        "latency": list(rows),
        "timing": how | timing,
    }


ORIGINAL = row("keras", 1.0, 0.0)


def test_a_variant_that_is_slower_than_allowed_fails_with_code_6() -> None:
    rows = judged([ORIGINAL, row("onnx-fp32", 1.1), row("onnx-fp32", 1.3, height=64)], 1.05)
    assert [r.get("passed") for r in rows] == [None, False, False]
    assert latency_reasons(rows, None) == [
        {
            "code": 6,
            "text": "onnx-fp32 is slower than allowed in 2 timings, most at 64x64, batch 1: it takes 1.300 "
            "times as long as the original (1.274 to 1.326), allowed is 1.05",
        }
    ]


@pytest.mark.parametrize(
    ("ratio", "spread", "allowed", "passed"),
    [
        (1.10, 0.02, 1.05, False),
        (1.10, 0.02, 1.20, True),
        (1.10, 0.06, 1.05, True),
        (0.95, 0.02, 0.90, False),
        (0.85, 0.02, 0.90, True),
    ],
)
def test_the_whole_interval_must_lie_above_the_limit(
    ratio: float, spread: float, allowed: float, passed: bool
) -> None:
    rows = judged([ORIGINAL, row("onnx-fp32", ratio, spread)], allowed)
    assert rows[1]["passed"] is passed
    assert bool(latency_reasons(rows, None)) is not passed


def test_without_a_limit_nothing_is_judged() -> None:
    rows = [ORIGINAL, row("onnx-fp32", 9.0)]
    assert judged(rows, None) == rows
    assert latency_reasons(rows, None) == latency_warnings(rows, None) == []


def test_what_the_noise_leaves_open_is_said_once_a_variant() -> None:
    rows = judged([row("onnx-fp32", 1.04, 0.05), row("onnx-fp32", 1.06, 0.1, height=64)], 1.05)
    assert latency_warnings(rows, None) == [
        "onnx-fp32 at 64x64, batch 1 may be slower than the 1.05 times that are allowed: it takes 0.954 to "
        "1.166 times as long as the original. Measure again on a quiet machine"
    ]


def test_a_ratio_that_grew_since_the_baseline_fails_with_code_6() -> None:
    before, now = report(ORIGINAL, row("onnx-fp32", 0.30)), report(ORIGINAL, row("onnx-fp32", 0.36))
    found = against_baseline(before, now, None)
    assert (found["status"], found["allowed"], len(found["rows"])) == ("compared", 1.05, 1)
    assert found["rows"][0]["passed"] is False
    assert latency_reasons([], found) == [
        {
            "code": 6,
            "text": "onnx-fp32 is slower than the baseline in 1 timing, most at 28x28, batch 1: its ratio "
            "to the original was 0.300 and is 0.360, 1.200 times as much (1.167 to 1.234), allowed is 1.05",
        }
    ]
    assert against_baseline(before, now, 1.25)["rows"][0]["passed"] is True
    assert latency_reasons([], against_baseline(now, before, None)) == []


def test_both_intervals_widen_the_change() -> None:
    wide = report(row("onnx-fp32", 0.30, 0.1))
    (change,) = ratio_changes(wide, report(row("onnx-fp32", 0.36, 0.001)))
    assert change.change == pytest.approx(1.2)
    assert change.change_low == pytest.approx(1.2 / 1.1, rel=0.01)
    assert change.change_high == pytest.approx(1.2 / 0.9, rel=0.01)


def test_only_places_that_both_have_are_compared() -> None:
    before = report(ORIGINAL, row("onnx-fp32", 0.3), row("onnx-fp32", 0.3, height=64))
    now = report(ORIGINAL, row("onnx-fp32", 0.3, batch=8), row("onnx-fp32", 0.3, height=64), row("new", 0.1))
    assert [(c.variant, c.height, c.batch) for c in ratio_changes(before, now)] == [("onnx-fp32", 64, 1)]
    nothing = against_baseline(report(ORIGINAL), now, None)
    assert nothing["status"] == "skipped"
    assert nothing["reason"] == ("the reports have no variant and size in common whose latency was measured")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r["environment"].update(cpu="B"), "cpu was A and is B"),
        (lambda r: r["environment"].update(cores=4), "cores was 2 and is 4"),
        (lambda r: r["environment"].update(gpu="T4"), "gpu was not told and is T4"),
        (lambda r: r["timing"].update(timed="device only"), "timed was one call and is device only"),
        (lambda r: r["timing"].update(governor="powersave"), "governor was not told and is powersave"),
        (
            lambda r: r["timing"]["libraries"].update(tensorflow="2.22.0"),
            "tensorflow was 2.21.0 and is 2.22.0",
        ),
        (lambda r: r["timing"]["libraries"].update(tensorrt="11.4"), "tensorrt was not told and is 11.4"),
        (lambda r: r["timing"]["threads"].update(keras=1), "threads was"),
    ],
)
def test_unlike_timings_are_never_compared(change: Any, told: str) -> None:
    before, now = report(row("onnx-fp32", 0.3)), report(row("onnx-fp32", 0.9))
    assert unlike(before, now) == ""
    change(now)
    found = against_baseline(before, now, None)
    assert found["status"] == "skipped"
    assert found["reason"].startswith("they were timed differently: " + told)
    assert found["rows"] == []
    assert latency_reasons([], found) == []
    assert latency_warnings([], found) == [f"latency was not held against the baseline: {found['reason']}"]


def test_timings_beside_other_programs_are_held_against_the_like_alone() -> None:
    quiet = report(row("onnx-fp32", 0.3), other_load=0.02)
    busy = report(row("onnx-fp32", 0.4), other_load=0.41)
    told = "they were timed beside other programs that took 2% of the processors then and 41% now"
    assert unlike(quiet, busy) == told
    assert against_baseline(quiet, busy, None)["status"] == "skipped"
    assert unlike(quiet, report(other_load=0.1)) == ""
    assert unlike(busy, busy) == unlike(busy, report(other_load=None)) == unlike(report(), busy) == ""


def test_a_report_that_does_not_say_how_it_was_timed_is_not_compared() -> None:
    before = report(row("onnx-fp32", 0.3))
    del before["timing"]
    assert unlike(before, report()) == "one of the reports does not say how its times were taken"


def test_a_variant_that_only_one_report_ran_does_not_make_them_unlike() -> None:
    now = report(row("onnx-fp32", 0.3))
    now["timing"] = copy.deepcopy(now["timing"])
    now["timing"]["threads"]["engine-fp32"] = None
    assert unlike(report(), now) == ""


def test_a_baseline_is_a_report_or_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        report_at(tmp_path)
    assert str(caught.value) == (
        f"there is no report at {tmp_path}\n"
        "  cause: the path is misspelt, or the build has not come to its report\n"
        "  next:  name a report.json or a run folder that has one, or build without --baseline"
    )
    (tmp_path / "report.json").write_text((SAMPLES / "pass.report.json").read_text())
    assert (
        report_at(tmp_path)
        == report_at(tmp_path / "report.json")
        == json.loads((SAMPLES / "pass.report.json").read_text())
    )
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ArtifactError):
        report_at(tmp_path)


@pytest.mark.parametrize("allowed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_is_a_positive_number(allowed: float) -> None:
    with pytest.raises(UsageError) as caught:
        Options(max_slowdown=allowed)
    assert str(caught.value) == (
        f"{allowed:g} is not a slowdown\n"
        "  cause: it is a variant's time over the original's: 1.05 allows 5 % more\n"
        "  next:  write it like --max-slowdown 1.05"
    )


def test_gates_are_kept_with_the_run() -> None:
    kept = Options(max_slowdown=1.05, baseline=Path("old/report.json")).as_json()
    assert kept["max_slowdown"] == 1.05
    assert kept["baseline"] == str(Path("old/report.json").resolve())
