"""The gates of latency, job summaries and diff, on a real build. A new gate measures nothing."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from builds import BUILD_TINY, built, fcnship, read, redone

RUN = Path("artifacts/tiny")
# What two measurements of the same facts may differ in.
TIMES = {"created", "seconds", "latency", "timing"}


def failures(folder: Path, suite: str) -> list[str]:
    """The messages of JUnit's failed cases in a suite."""
    root = ET.parse(folder / RUN / "junit.xml").getroot()
    found = next(one for one in root if one.attrib["name"] == suite)
    return [case.attrib["message"] for case in found.iter("failure")]


def without_times(value: Any) -> Any:
    """A report without when it was made, how long things took, and the file that holds the times."""
    match value:
        case dict():
            return {key: without_times(item) for key, item in value.items() if key not in TIMES}
        case list():
            kept = [v for v in value if not (isinstance(v, dict) and v.get("path") == "latency.json")]
            return [without_times(item) for item in kept]
        case _:
            return value


def test_rows_and_what_stands_beside_them(tiny_folder: Path) -> None:
    report = read(tiny_folder / RUN / "report.json")
    places = {(row["variant"], row["height"], row["batch"]) for row in report["latency"]}
    variants = {row["variant"] for row in report["variants"] if row["status"] == "run"}
    opt = report["profiles"][0]["opt"][0]
    assert places == {(v, s, b) for v in variants for s, b in ((8, 1), (opt, 1), (opt, 8), (16, 1))}
    timing = report["timing"]
    assert timing["rounds"] >= 5
    assert timing["seconds"] < 20
    assert timing["threads"].keys() == variants
    assert timing["left_out"] == []
    for row in report["latency"]:
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["images_per_second"] == pytest.approx(row["batch"] * 1e3 / row["p50_ms"], rel=1e-4)
        assert (row["smallest_effect"] is None) is (row["variant"] == "keras")
    assert "Timed: one call, from images in host memory" in (tiny_folder / RUN / "report.html").read_text()


def test_a_slow_variant_fails_with_code_6_and_a_wider_limit_passes(tiny_copy: Path) -> None:
    done = fcnship(*BUILD_TINY, "--max-slowdown", "0.0001", cwd=tiny_copy)
    assert done.returncode == 6
    assert redone(done) == ["report"]
    report = read(tiny_copy / RUN / "report.json")
    assert report["verdict"] == "fail"
    assert {reason["code"] for reason in report["reasons"]} == {6}
    assert "savedmodel is slower than allowed in 3 timings, most at " in done.stderr
    assert "the variant takes longer than was allowed" in done.stderr
    assert "onnx-fp32 is slower than allowed in 3 timings" in report["reasons"][1]["text"]
    assert len(failures(tiny_copy, "latency")) == 6
    assert failures(tiny_copy, "verdict") == [report["reasons"][0]["text"]]
    again = fcnship("report", str(RUN), cwd=tiny_copy)
    assert again.returncode == 6, "the gate is kept with the run"
    wide = built(*BUILD_TINY, "--max-slowdown", "100", cwd=tiny_copy)
    assert redone(wide) == ["report"]
    assert read(tiny_copy / RUN / "report.json")["latency"][-1]["allowed"] == 100
    assert failures(tiny_copy, "latency") == []


def test_a_baseline_fails_with_code_6_only_where_timings_are_alike(tiny_copy: Path) -> None:
    now = read(tiny_copy / RUN / "report.json")
    faster = copy.deepcopy(now)
    for row in faster["latency"]:
        if row["variant"] == "onnx-fp32":
            row |= {key: row[key] / 10 for key in ("ratio", "ratio_low", "ratio_high")}
    (tiny_copy / "faster.json").write_text(json.dumps(faster), encoding="utf-8")
    done = fcnship(*BUILD_TINY, "--baseline", "faster.json", cwd=tiny_copy)
    assert done.returncode == 6
    assert redone(done) == ["report"]
    assert "onnx-fp32 is slower than the baseline in 3 timings" in done.stderr
    assert len(failures(tiny_copy, "baseline")) == 3

    faster["environment"]["cpu"] = "another"
    (tiny_copy / "faster.json").write_text(json.dumps(faster), encoding="utf-8")
    done = built(*BUILD_TINY, "--baseline", "faster.json", cwd=tiny_copy)
    assert redone(done) == ["report"]
    report = read(tiny_copy / RUN / "report.json")
    assert report["baseline"]["status"] == "skipped"
    assert any("cpu was another and is" in warning for warning in report["warnings"])
    skipped = ET.parse(tiny_copy / RUN / "junit.xml").getroot().find("testsuite[@name='baseline']//skipped")
    assert skipped is not None
    assert "cpu was another and is" in skipped.attrib["message"]

    missing = fcnship(*BUILD_TINY, "--baseline", "nowhere.json", cwd=tiny_copy)
    assert missing.returncode == 2
    assert "there is no report at nowhere.json" in missing.stderr


def test_a_job_summary_is_appended_and_never_fails_a_build(tiny_copy: Path) -> None:
    summary = tiny_copy / "summary.md"
    done = fcnship(*BUILD_TINY, cwd=tiny_copy, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0
    assert summary.read_text(encoding="utf-8") == (tiny_copy / RUN / "report.md").read_text(encoding="utf-8")
    done = fcnship(*BUILD_TINY, cwd=tiny_copy, GITHUB_STEP_SUMMARY=str(tiny_copy / "no" / "summary.md"))
    assert done.returncode == 0
    assert "the report was not added to the job summary" in done.stderr


def test_diff_of_real_reports(tiny_copy: Path) -> None:
    report = read(tiny_copy / RUN / "report.json")
    assert "SAME" in built("diff", str(RUN), str(RUN / "report.json"), cwd=tiny_copy).stdout
    worse = copy.deepcopy(report)
    next(row for row in worse["parity"] if row["variant"] == "onnx-fp32")["passed"] = False
    (tiny_copy / "worse.json").write_text(json.dumps(worse), encoding="utf-8")
    assert fcnship("diff", str(RUN), "worse.json", cwd=tiny_copy).returncode == 4
    slower = copy.deepcopy(report)
    for row in slower["latency"]:
        if row["variant"] == "onnx-fp32":
            row |= {key: row[key] * 10 for key in ("ratio", "ratio_low", "ratio_high")}
    (tiny_copy / "slower.json").write_text(json.dumps(slower), encoding="utf-8")
    assert fcnship("diff", str(RUN), "slower.json", cwd=tiny_copy).returncode == 6


def test_two_measurements_of_the_same_facts_differ_in_times_alone(tiny_copy: Path) -> None:
    before = read(tiny_copy / RUN / "report.json")
    built("validate", str(RUN), cwd=tiny_copy)
    after = read(tiny_copy / RUN / "report.json")
    assert before["created"] != after["created"]
    about_times = [w for w in after["warnings"] if "latency" in w]
    after["warnings"] = [w for w in after["warnings"] if w not in about_times]
    before["warnings"] = [w for w in before["warnings"] if "latency" not in w]
    assert without_times(before) == without_times(after)
    assert list(before) == list(after)
