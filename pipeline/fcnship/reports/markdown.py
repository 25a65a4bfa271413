"""report.md, made for a job summary on GitHub: verdict first, short tables, the long ones folded away."""

from __future__ import annotations

from collections.abc import Iterable

from fcnship.reports.attribution import attribution_blocks
from fcnship.reports.budget_summary import BUDGET_HEADS, budget_cells, budget_summaries
from fcnship.reports.certificate import TITLE as CERTIFICATE
from fcnship.reports.certificate import certificate_lines
from fcnship.reports.device_text import device_blocks
from fcnship.reports.figures import (
    bytes_text,
    cosine_text,
    count_text,
    error_text,
    floors_text,
    share_text,
    stage_time,
    tolerance_text,
    where_text,
)
from fcnship.reports.markdown_accuracy import accuracy_blocks, must_not_use_blocks
from fcnship.reports.markdown_form import Cells, escaped, folded, table
from fcnship.reports.markdown_latency import latency_blocks
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.precision_tables import precision_blocks
from fcnship.reports.printable import printable
from fcnship.reports.summary import (
    evidence,
    failed_parity,
    geometry,
    headline,
    next_step,
    parity_summaries,
)

_MOST_FAILURES = 10
_SHORT_SHA = 12


def markdown_text(report: Report) -> str:
    """The report as GitHub-flavoured Markdown. Text from outside is escaped and cannot add markup."""
    report = printable(dict(report))
    blocks = [
        f"## {escaped(report['name'])}: {report['verdict'].upper()}",
        f"**{headline(report)}** " + escaped(" ".join(evidence(report))),
        *must_not_use_blocks(report),
        *_reasons(report),
        *_warnings(report),
        *_certificate(report),
        *_parity(report),
        *_budget(report),
        *attribution_blocks(report),
        *accuracy_blocks(report),
        *latency_blocks(report),
        *device_blocks(report),
        *precision_blocks(report),
        *_build(report),
        f"fcnship {escaped(report['fcnship'])}, {report['created']}",
    ]
    return "\n\n".join(blocks) + "\n"


def _reasons(report: Report) -> list[str]:
    if not report["reasons"]:
        return []
    items = [
        f"{place}. {escaped(r['text'])} (exit {r['code']})<br>Next: {escaped(next_step(report, r))}"
        for place, r in enumerate(report["reasons"], start=1)
    ]
    failed = failed_parity(report)
    blocks = ["### What is wrong, and what to do", "\n".join(items)]
    if failed:
        shown = failed[:_MOST_FAILURES]
        title = (
            f"The worst {len(shown)} of {len(failed)} failed parity checks:" if failed[len(shown) :] else ""
        )
        blocks += [title or "The failed parity checks:", _parity_table(shown)]
    return blocks


def _warnings(report: Report) -> list[str]:
    items = "\n".join(f"- {escaped(warning)}" for warning in report["warnings"])
    return ["### Before you ship", items] if items else []


def _certificate(report: Report) -> list[str]:
    items = "\n".join(f"- {escaped(line)}" for line in certificate_lines(report))
    return [f"### {CERTIFICATE}", items] if items else []


def _parity(report: Report) -> list[str]:
    if not report["parity"]:
        return []
    rows = [
        (
            escaped(s.variant),
            escaped(s.reference),
            f"{s.failed} of {s.checks}",
            error_text(s.worst["max_abs"]),
            tolerance_text(s.worst),
            where_text(s.worst),
        )
        for s in parity_summaries(report)
    ]
    heads = ("variant", "reference", "failed", "worst error", "of the tolerance", "at")
    everything = folded(
        f"All {len(report['parity'])} parity checks", _parity_table(in_order(report["parity"]))
    )
    how = f"The tolerance is {escaped(report['tolerance'])}." if report.get("tolerance") else ""
    blocks = ["### Parity", table(heads, rows, right=(2, 3, 4)), how, everything]
    return [block for block in blocks if block]


def _budget(report: Report) -> list[str]:
    rows = [tuple(map(escaped, budget_cells(summary))) for summary in budget_summaries(report)]
    return ["### Error budget", table(BUDGET_HEADS, rows, right=(2, 4, 5, 6))] if rows else []


def _parity_table(rows: Iterable[Row]) -> str:
    heads = (
        "variant",
        "reference",
        "size",
        "error",
        "tolerance",
        "share",
        "x noise",
        "cosine",
        "flips",
        "result",
    )
    cells = [
        (
            escaped(row["variant"]),
            escaped(row["reference"]),
            where_text(row),
            error_text(row["max_abs"]),
            error_text(row["tolerance"]),
            escaped(share_text(row)),
            floors_text(row),
            cosine_text(row["cosine"]),
            count_text(row["argmax_flips"]),
            "pass" if row["passed"] else "**fail**",
        )
        for row in rows
    ]
    return table(heads, cells, right=(3, 4, 5, 6, 7, 8))


def _build(report: Report) -> list[str]:
    stages = [
        (
            escaped(stage["name"]),
            "**failed**" if stage["status"] == "failed" else stage["status"],
            stage_time(stage),
            escaped(stage["reason"] or ""),
        )
        for stage in report["stages"]
    ]
    files = [
        (escaped(item["path"]), bytes_text(item["bytes"]), f"`{escaped(item['sha256'][:_SHORT_SHA])}`")
        for stage in report["stages"]
        for item in stage["artifacts"]
    ]
    facts = [(term, escaped(text)) for term, text in geometry(report)]
    blocks = [
        folded("Stages", table(("stage", "status", "time", "reason"), stages, right=(2,))) if stages else "",
        folded("Files", table(("file", "size", "sha256"), files, right=(1,))) if files else "",
        folded("Model and environment", table(("", ""), facts + _environment(report))),
    ]
    return [block for block in blocks if block]


def _environment(report: Report) -> list[Cells]:
    environment = report["environment"]
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(environment["libraries"].items()))
    facts = {
        "Machine": f"{environment['cpu']}, {environment['cores']} cores, {environment['platform']}",
        "GPU": environment["gpu"] or "none",
        "Python": environment["python"],
        "Libraries": libraries,
    }
    return [(term, escaped(text)) for term, text in facts.items()]
