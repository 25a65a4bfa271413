"""The Markdown report in the file that a CI server names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fcnship.reports.job_summary import VARIABLE, append_job_summary
from fcnship.reports.markdown import markdown_text

SAMPLES = Path(__file__).parents[1] / "data" / "report"


def sample(name: str = "pass") -> dict[str, Any]:
    report: dict[str, Any] = json.loads((SAMPLES / f"{name}.report.json").read_text(encoding="utf-8"))
    return report


def test_it_is_appended_to_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "summary.md"
    file.write_text("# before\n")
    monkeypatch.setenv(VARIABLE, str(file))
    assert append_job_summary(sample()) == append_job_summary(sample("fail")) == ""
    assert file.read_text() == "# before\n" + markdown_text(sample()) + markdown_text(sample("fail"))


def test_without_the_variable_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert append_job_summary(sample()) == ""
    monkeypatch.setenv(VARIABLE, "")
    assert append_job_summary(sample()) == ""


def test_a_file_that_cannot_be_written_is_told_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "not there" / "summary.md"))
    told = append_job_summary(sample())
    assert told.startswith("the report was not added to the job summary: ")
    assert told.endswith(f"(from {VARIABLE})")


def test_a_report_too_large_for_a_summary_loses_its_long_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "summary.md"
    monkeypatch.setenv(VARIABLE, str(file))
    file.write_text("x" * (1024 * 1024 - 10_000))
    assert append_job_summary(sample()) == ""
    text = file.read_text().lstrip("x")
    assert "<details>" not in text and "</details>" not in text
    assert text.startswith("## multiscale: PASS")
    assert text.endswith("The long tables are in report.md.\n")
