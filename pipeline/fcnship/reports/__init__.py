"""Reports: console, JSON, Markdown, JUnit and HTML, all from the same rows."""

from __future__ import annotations

from pathlib import Path

from fcnship.errors import UsageError
from fcnship.reports.html import html_text
from fcnship.reports.json_report import canonical_report, json_text
from fcnship.reports.junit import junit_text
from fcnship.reports.markdown import markdown_text
from fcnship.reports.order import Report
from fcnship.workspace import Workspace


def write_reports(report: Report, folder: Path) -> list[Path]:
    """Write report.json, report.md, report.html and junit.xml into a folder; returns their paths.

    All four are rendered from what report.json holds before the first is written, and each appears whole or
    not at all.

    Raises:
        ArtifactError: the report does not fit its schema.
        UsageError: the folder cannot be written.
    """
    plain = canonical_report(report)
    texts = {
        "report.json": json_text(plain),
        "report.md": markdown_text(plain),
        "report.html": html_text(plain),
        "junit.xml": junit_text(plain),
    }
    workspace = Workspace(folder)
    try:
        for name, text in texts.items():
            workspace.write_text(name, text)
    except OSError as error:
        raise UsageError(
            f"cannot write the report to {folder}: {error.strerror}",
            cause="the folder is read-only, the disk is full, or a file of that name is in the way",
            next="name a folder that you may write with --out",
        ) from None
    return [workspace.path(name) for name in texts]
