"""The reports of two samples, held against files. FCNSHIP_UPDATE_GOLDEN=1 writes the files anew."""

from __future__ import annotations

import copy
import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from fcnship.errors import ArtifactError, UsageError
from fcnship.reports import write_reports
from fcnship.reports.console import print_report
from fcnship.reports.json_report import json_text, read_report
from fcnship.reports.junit import junit_text
from fcnship.reports.markdown import markdown_text

DATA = Path(__file__).parents[1] / "data" / "report"
NAMES = ("pass", "fail")
TABLES = ("variants", "parity", "accuracy", "latency")


def sample(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((DATA / f"{name}.in.json").read_text(encoding="utf-8"))
    return report


def console_text(report: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80, no_color=True, highlight=False)
    print_report(report, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.split("\n"))


RENDERERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "report.json": json_text,
    "report.md": markdown_text,
    "junit.xml": junit_text,
    "console.txt": console_text,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", RENDERERS)
def test_golden(name: str, form: str) -> None:
    path, text = DATA / f"{name}.{form}", RENDERERS[form](sample(name))
    if os.environ.get("FCNSHIP_UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_order_of_rows_and_keys_does_not_matter(name: str, tmp_path: Path) -> None:
    report, shuffled = sample(name), sample(name)
    for table in TABLES:
        random.Random(7).shuffle(shuffled[table])
        shuffled[table] = [dict(reversed(row.items())) for row in shuffled[table]]
    shuffled = dict(reversed(shuffled.items()))
    assert json_text(shuffled) == json_text(report)
    for form, render in RENDERERS.items():
        if form != "junit.xml":  # a failure there quotes its row's keys as they came
            assert render(shuffled) == render(report), form
    write_reports(report, tmp_path / "a")
    write_reports(shuffled, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_text() == (tmp_path / "b" / path.name).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_written_again_from_its_json_a_report_stays_the_same(name: str, tmp_path: Path) -> None:
    first = write_reports(sample(name), tmp_path / "first")
    second = write_reports(read_report(first[0]), tmp_path / "second")
    assert [path.name for path in first] == ["report.json", "report.md", "report.html", "junit.xml"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(path.name for path in first)


def test_numbers_that_json_cannot_write_are_strings_that_float_reads() -> None:
    report = sample("pass")
    report["parity"][0] |= {"max_abs": float("nan"), "mean_abs": float("inf"), "cosine": 0.9999999123}
    report["note"] = {"b": -0.0, "a": (float("-inf"), 1 / 3)}
    text = json_text(report)
    back = json.loads(text, parse_constant=lambda token: pytest.fail(f"bare {token}"))
    row = next(row for row in back["parity"] if row["max_abs"] == "nan")
    assert (row["mean_abs"], row["cosine"]) == ("inf", 0.999999912)
    assert list(back)[-1] == "note"
    assert '"note": {\n  "a": [\n   "-inf",\n   0.333333\n  ],\n  "b": 0.0\n }' in text


def test_a_broken_report_leaves_the_old_files_alone(tmp_path: Path) -> None:
    write_reports(sample("pass"), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    broken = sample("pass")
    del broken["parity"][3]["passed"]
    with pytest.raises(ArtifactError, match=r"parity\[3\].passed is missing"):
        write_reports(broken, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the report to"):
        write_reports(sample("pass"), tmp_path / "file")


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    for text in ("{", "[]", '{"schema": "fcnship.report/2"}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ArtifactError):
            read_report(path)


def cases(report: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Every JUnit case and what became of it."""
    root = ET.fromstring(junit_text(report).encode())
    return {
        (case.attrib["classname"], case.attrib["name"]): next(
            (child.tag for child in case if child.tag != "system-out"), "passed"
        )
        for case in root.iter("testcase")
    }


def test_junit_has_a_case_for_each_variant_size_and_metric() -> None:
    report, found = sample("pass"), cases(sample("pass"))
    skipped = [case for case, outcome in found.items() if outcome == "skipped" and "engine-fp32" in case[0]]
    assert ("fcnship.parity.engine-fp32", "28x40 against keras") in skipped
    assert len(skipped) == 25 + 13 + 6
    rows = sum(len(report[table]) for table in ("parity", "accuracy", "latency"))
    assert found["fcnship.baseline.latency", "baseline"] == "skipped"
    assert len(found) == 1 + len(report["stages"]) + rows + len(skipped) + 1


def test_junit_names_do_not_depend_on_what_could_run() -> None:
    without = sample("pass")
    with_gpu = copy.deepcopy(without)
    for row in with_gpu["variants"]:
        row |= {"status": "run", "reason": ""}
    for table in ("parity", "accuracy", "latency"):
        copies = [row | {"variant": "engine-fp32"} for row in without[table] if row["variant"] == "onnx-fp32"]
        with_gpu[table] += copies
    assert cases(without).keys() == cases(with_gpu).keys()


def test_junit_names_what_was_skipped_by_what_others_are_held_against() -> None:
    """A converted network is held against the dense one, at its size; an engine would be against keras."""
    report, usual = sample("pass"), cases(sample("pass"))
    tied = {"variant": "keras", "reference": "original", "height": 30, "width": 30}
    report["parity"].insert(0, report["parity"][0] | tied)
    found = cases(report)
    assert found.keys() - usual.keys() == {("fcnship.parity.keras", "30x30 against original")}
    assert {case for case, outcome in found.items() if outcome == "skipped"} == {
        case for case, outcome in usual.items() if outcome == "skipped"
    }


def test_junit_counts_its_failures_and_fails_with_the_report() -> None:
    root = ET.fromstring(junit_text(sample("fail")).encode())
    suites = {suite.attrib["name"]: suite for suite in root}
    assert {name: suite.attrib["failures"] for name, suite in suites.items()} == {
        "verdict": "1",
        "stages": "2",
        "parity": "3",
        "accuracy": "8",
        "latency": "1",
        "baseline": "1",
    }
    assert root.attrib["failures"] == "16"
    message = next(suites["verdict"].iter("failure"))
    assert message.attrib["message"] == "onnx-int8 disagrees with keras at 3 of 6 sizes"
    assert "next: pip install tensorrt-rtx, then run the build again" in (message.text or "")


def test_console_tells_failures_before_anything_else() -> None:
    lines = console_text(sample("fail")).split("\n")
    assert lines[0].startswith("FAIL  street signs")
    assert max(map(len, lines)) <= 80
    first_table = next(place for place, line in enumerate(lines) if line == "Stages")
    failure = next(place for place, line in enumerate(lines) if line.startswith("1. onnx-int8 disagrees"))
    assert failure < first_table
