"""The Markdown report on a CI server's page of a job, where the server names a file for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fcnship.reports.json_report import canonical_report
from fcnship.reports.markdown import markdown_text
from fcnship.reports.order import Report

VARIABLE = "GITHUB_STEP_SUMMARY"
# GitHub drops a step's summary of more than 1 MiB, https://docs.github.com/actions (job summaries).
_MOST_BYTES = 1024 * 1024
_FOLDED = re.compile(r"<details>.*?</details>\n*", re.DOTALL)


def append_job_summary(report: Report) -> str:
    """Append the report to the file that $GITHUB_STEP_SUMMARY names, if it is set.

    Returns what went wrong, or nothing: a summary that cannot be written must not fail a build.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return ""
    text = markdown_text(canonical_report(report))
    try:
        before = Path(path).stat().st_size if Path(path).exists() else 0
        if before + len(text.encode()) > _MOST_BYTES:
            text = _FOLDED.sub("", text) + "\nThe long tables are in report.md.\n"
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return f"the report was not added to the job summary: {error} (from {VARIABLE})"
    return ""
