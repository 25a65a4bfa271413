"""Two reports against each other: what differs, what is worse, and the exit code for it."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import fcnship
from fcnship.cli import main
from fcnship.comparison import Comparison, Limits, compare
from fcnship.errors import UsageError
from fcnship.reports.comparison_text import comparison_markdown, print_comparison

SAMPLES = Path(__file__).parents[1] / "data" / "report"
Report = dict[str, Any]


def sample(name: str = "pass") -> Report:
    report: Report = json.loads((SAMPLES / f"{name}.report.json").read_text(encoding="utf-8"))
    return report


def changed(change: Callable[[Report], Any]) -> Comparison:
    """The sample against a copy of it that was changed."""
    new = sample()
    change(new)
    return compare(sample(), new, Limits())


def row_of(report: Report, table: str, variant: str, height: int, batch: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = next(
        r
        for r in report[table]
        if (r["variant"], r["height"], r.get("batch", batch)) == (variant, height, batch)
    )
    return found


def told(found: Comparison) -> list[tuple[str, str, int]]:
    return [(d.part, d.subject, d.code) for d in found.differences]


def test_a_report_does_not_differ_from_itself() -> None:
    found = compare(sample(), sample(), Limits())
    assert (found.differences, found.not_compared, found.exit_code) == ((), (), 0)


def test_times_alone_are_no_difference() -> None:
    def slower_clock(report: Report) -> None:
        report["created"] = "2026-12-01T00:00:00+00:00"
        report["timing"]["seconds"] *= 2
        report["timing"]["other_load"] = 0.5
        for stage in report["stages"]:
            stage["seconds"] += 1
        for row in report["latency"]:
            for key in ("p50_ms", "p95_ms", "p99_ms"):
                row[key] *= 1.5

    assert changed(slower_clock).differences == ()


def test_a_comparison_that_newly_fails_is_worse_with_code_4() -> None:
    found = changed(lambda r: row_of(r, "parity", "onnx-fp32", 80).update(passed=False, max_abs=0.5))
    assert told(found) == [("parity", "onnx-fp32 against keras at 80x80", 4)]
    assert found.exit_code == 4
    assert found.worse[0].now.startswith("fail: 0.5, ")


def test_one_that_fails_in_both_is_not_worse_and_a_mended_one_neither() -> None:
    def fail(report: Report) -> None:
        row_of(report, "parity", "onnx-fp32", 80).update(passed=False, max_abs=0.5)

    old = sample()
    fail(old)
    assert compare(old, copy.deepcopy(old), Limits()).differences == ()
    mended = compare(old, sample(), Limits())
    assert told(mended) == [("parity", "onnx-fp32 against keras at 80x80", 0)]


@pytest.mark.parametrize(("share", "code"), [(0.3, 0), (0.95, 4)])
def test_an_error_may_grow_by_a_share_of_its_tolerance(share: float, code: int) -> None:
    def grow(report: Report) -> None:
        row = row_of(report, "parity", "onnx-fp32", 80)
        row["max_abs"] = share * row["tolerance"]

    assert changed(grow).exit_code == code
    new = sample()
    grow(new)
    assert compare(sample(), new, Limits(max_error_growth=1)).exit_code == 0


def test_nan_in_the_new_report_is_worse() -> None:
    found = changed(lambda r: row_of(r, "parity", "onnx-fp32", 80).update(passed=False, max_abs="nan"))
    assert found.exit_code == 4
    assert "NaN" in found.worse[0].now


@pytest.mark.parametrize(("drop", "code"), [(0.004, 0), (0.02, 5), (-0.02, 0)])
def test_accuracy_may_drop_by_so_much(drop: float, code: int) -> None:
    def worsen(report: Report) -> None:
        row_of(report, "accuracy", "onnx-fp32", 28)["accuracy"] -= drop

    found = changed(worsen)
    assert found.exit_code == code
    assert bool(found.differences) is (abs(drop) > 0.005)
    new = sample()
    worsen(new)
    assert compare(sample(), new, Limits(max_accuracy_drop=0.05)).exit_code == 0


def test_accuracies_on_other_data_are_not_compared() -> None:
    def other_data(report: Report) -> None:
        report["data"]["sha256"] = "0" * 64
        row_of(report, "accuracy", "onnx-fp32", 28)["accuracy"] = 0.1

    found = changed(other_data)
    assert found.not_compared == ("accuracy: the data are not the same",)
    assert {d.part for d in found.differences} == {"data"}


@pytest.mark.parametrize(
    ("times", "part", "code"), [(1.02, [], 0), (1.06, ["latency"], 0), (1.5, ["latency"], 6)]
)
def test_a_ratio_may_grow_by_so_much(times: float, part: list[str], code: int) -> None:
    def tight(report: Report) -> Report:
        row = row_of(report, "latency", "onnx-fp32", 224)
        row |= {"ratio_low": row["ratio"] * 0.98, "ratio_high": row["ratio"] * 1.02}
        return report

    old, new = tight(sample()), tight(sample())
    row = row_of(new, "latency", "onnx-fp32", 224)
    for key in ("ratio", "ratio_low", "ratio_high"):
        row[key] *= times
    found = compare(old, new, Limits())
    assert [d.part for d in found.differences] == part
    assert found.exit_code == code
    assert compare(old, new, Limits(max_slowdown=2)).exit_code == 0


def test_times_of_unlike_machines_are_not_compared() -> None:
    def elsewhere(report: Report) -> None:
        report["environment"]["cpu"] = "another"
        for row in report["latency"]:
            if row["verdict"] != "reference":
                row |= {"ratio": 9.0, "ratio_low": 8.9, "ratio_high": 9.1}

    found = changed(elsewhere)
    assert told(found) == [("environment", "cpu", 0)]
    cpu = sample()["environment"]["cpu"]
    assert found.not_compared == (f"latency: they were timed differently: cpu was {cpu} and is another",)


def test_a_verdict_that_turns_has_the_code_of_its_reason() -> None:
    def turn(report: Report) -> None:
        report |= {"verdict": "fail", "reasons": [{"code": 6, "text": "onnx-fp32 is slower than allowed"}]}

    found = changed(turn)
    assert told(found) == [("verdict", "onnx-fp32 is slower than allowed", 6)]
    assert found.exit_code == 6


def test_the_first_of_several_codes_is_the_exit_code() -> None:
    def several(report: Report) -> None:
        row_of(report, "accuracy", "onnx-fp32", 28)["accuracy"] = 0.1
        row_of(report, "parity", "onnx-fp32", 80).update(passed=False)

    assert [d.code for d in changed(several).differences] == [4, 5]
    assert changed(several).exit_code == 4


def test_facts_that_change_are_listed_and_are_not_worse() -> None:
    def change(report: Report) -> None:
        report["model"]["parameters"] += 1
        report["fcnship"] = "9.9"
        report["environment"]["libraries"]["numpy"] = "9.9"
        report["profiles"] = []
        row = report["variants"][-1]
        row |= {"status": "not run", "bytes": 1, "reason": "no GPU"}
        report["variants"] = report["variants"][1:]
        report["parity"] = report["parity"][1:]

    found = changed(change)
    assert {d.part for d in found.differences} == {
        *("model", "fcnship", "libraries", "profiles", "variants", "parity")
    }
    assert found.exit_code == 0


def test_worse_differences_stand_first_in_every_form() -> None:
    def change(report: Report) -> None:
        report["model"]["name"] = "a|b<script>\x1b[2J"
        row_of(report, "accuracy", "onnx-fp32", 28)["accuracy"] = 0.1

    found = changed(change)
    assert [d.code for d in found.differences] == [5, 0]
    console = Console(file=io.StringIO(), width=80, no_color=True)
    print_comparison(found, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.startswith("WORSE  2 differences, 1 beyond what is allowed.\n")
    markdown = comparison_markdown(found)
    assert "| accuracy | onnx-fp32 at 28x28 | 98.06 % | 10.00 % | worse, exit 5 |" in markdown
    for shown in (text, markdown):
        assert "\x1b" not in shown
    assert "<script>" not in markdown and "a\\|b" in markdown


def test_limits_are_not_negative() -> None:
    with pytest.raises(UsageError) as caught:
        Limits(max_accuracy_drop=-1)
    assert str(caught.value) == (
        "-1 is no limit\n  cause: a limit is a number from 0 up\n  next:  give another --max-accuracy-drop"
    )
    with pytest.raises(UsageError):
        Limits(max_slowdown=float("nan"))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """An old report and, in a run folder, a new one that is less accurate."""
    new = sample()
    row_of(new, "accuracy", "onnx-fp32", 28)["accuracy"] = 0.1
    (tmp_path / "old.json").write_text(json.dumps(sample()), encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.json").write_text(json.dumps(new), encoding="utf-8")
    return str(tmp_path / "old.json"), str(tmp_path / "run")


def test_the_command_and_its_exit_codes(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    old, new = files
    assert main(["diff", old, old]) == 0
    assert capsys.readouterr().out.startswith("SAME")
    assert main(["diff", old, new]) == 5
    assert capsys.readouterr().out.startswith("WORSE")
    assert main(["diff", old, new, "--max-accuracy-drop", "1"]) == 0
    assert capsys.readouterr().out.startswith("SAME")
    assert main(["diff", new, old]) == 0
    assert capsys.readouterr().out.startswith("NOT WORSE")
    assert main(["diff", old, new, "--markdown"]) == 5
    assert capsys.readouterr().out.startswith("## ")
    assert main(["diff", old, new, "--json"]) == 5
    facts = json.loads(capsys.readouterr().out)
    assert facts["exit_code"] == 5
    assert facts["differences"][0]["part"] == "accuracy"
    assert main(["diff", old, "nowhere"]) == 2
    assert "there is no report at nowhere" in capsys.readouterr().err


def test_from_python(files: tuple[str, str]) -> None:
    assert fcnship.diff(*files).exit_code == 5
    assert fcnship.diff(*files, max_accuracy_drop=1).differences == ()
