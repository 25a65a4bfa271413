"""report.md, made for a job summary on GitHub: verdict first, short tables, the long ones folded away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from fcnship.reports.figures import (
    bytes_text,
    cosine_text,
    count_text,
    error_text,
    interval_text,
    ms_text,
    percent_text,
    ratio_text,
    share_text,
    size_text,
    stage_time,
    tolerance_text,
    where_text,
)
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.printable import one_line, printable
from fcnship.reports.summary import (
    accuracy_summaries,
    evidence,
    failed_parity,
    geometry,
    headline,
    key_latency,
    next_step,
    parity_summaries,
)

_MARKS = re.compile(r"([\\`*_\[\]|~#])")
_MOST_FAILURES = 10
_SHORT_SHA = 12

Cells = Sequence[str]


def markdown_text(report: Report) -> str:
    """The report as GitHub-flavoured Markdown. Text from outside is escaped and cannot add markup."""
    report = printable(dict(report))
    blocks = [
        f"## {_escaped(report['name'])}: {report['verdict'].upper()}",
        f"**{headline(report)}** " + _escaped(" ".join(evidence(report))),
        *_reasons(report),
        *_warnings(report),
        *_parity(report),
        *_accuracy(report),
        *_latency(report),
        *_build(report),
        f"fcnship {_escaped(report['fcnship'])}, {report['created']}",
    ]
    return "\n\n".join(blocks) + "\n"


def _reasons(report: Report) -> list[str]:
    if not report["reasons"]:
        return []
    items = [
        f"{place}. {_escaped(r['text'])} (exit {r['code']})<br>Next: {_escaped(next_step(report, r))}"
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
    items = "\n".join(f"- {_escaped(warning)}" for warning in report["warnings"])
    return ["### Before you ship", items] if items else []


def _parity(report: Report) -> list[str]:
    if not report["parity"]:
        return []
    rows = [
        (
            _escaped(s.variant),
            _escaped(s.reference),
            f"{s.failed} of {s.checks}",
            error_text(s.worst["max_abs"]),
            tolerance_text(s.worst),
            where_text(s.worst),
        )
        for s in parity_summaries(report)
    ]
    heads = ("variant", "reference", "failed", "worst error", "of the tolerance", "at")
    everything = _folded(
        f"All {len(report['parity'])} parity checks", _parity_table(in_order(report["parity"]))
    )
    return ["### Parity", _table(heads, rows, right=(2, 3, 4)), everything]


def _parity_table(rows: Iterable[Row]) -> str:
    heads = ("variant", "reference", "size", "error", "tolerance", "share", "cosine", "flips", "result")
    cells = [
        (
            _escaped(row["variant"]),
            _escaped(row["reference"]),
            where_text(row),
            error_text(row["max_abs"]),
            error_text(row["tolerance"]),
            _escaped(share_text(row)),
            cosine_text(row["cosine"]),
            count_text(row["argmax_flips"]),
            "pass" if row["passed"] else "**fail**",
        )
        for row in rows
    ]
    return _table(heads, cells, right=(3, 4, 5, 6, 7))


def _accuracy(report: Report) -> list[str]:
    if not report["accuracy"]:
        return []
    rows = [
        (_escaped(s.variant), percent_text(s.lowest["accuracy"]), size_text(s.lowest), str(s.sizes))
        for s in accuracy_summaries(report)
    ]
    every = [
        (_escaped(r["variant"]), size_text(r), percent_text(r["accuracy"]), str(r["images"]))
        for r in in_order(report["accuracy"])
    ]
    long = _table(("variant", "size", "accuracy", "images"), every, right=(2, 3))
    short = _table(("variant", "lowest accuracy", "at", "sizes"), rows, right=(1, 3))
    return ["### Accuracy", short, _folded("Accuracy at every size", long)]


def _latency(report: Report) -> list[str]:
    if not report["latency"]:
        return []
    heads = ("size", "variant", "median", "95 % within", "ratio", "interval", "verdict", "runs")
    return [
        "### Latency",
        _table(heads, map(_latency_cells, key_latency(report)), right=(2, 3, 4, 5, 7)),
        _folded(
            "Every latency row",
            _table(heads, map(_latency_cells, in_order(report["latency"])), right=(2, 3, 4, 5, 7)),
        ),
        "The ratio is to the original, timed in turns with it; below 1 is faster.",
    ]


def _latency_cells(row: Row) -> Cells:
    times = ms_text(row["p50_ms"]), ms_text(row["p95_ms"])
    ratios = ratio_text(row["ratio"]), interval_text(row)
    return where_text(row), _escaped(row["variant"]), *times, *ratios, row["verdict"], str(row["runs"])


def _build(report: Report) -> list[str]:
    stages = [
        (
            _escaped(stage["name"]),
            "**failed**" if stage["status"] == "failed" else stage["status"],
            stage_time(stage),
            _escaped(stage["reason"] or ""),
        )
        for stage in report["stages"]
    ]
    files = [
        (_escaped(item["path"]), bytes_text(item["bytes"]), f"`{_escaped(item['sha256'][:_SHORT_SHA])}`")
        for stage in report["stages"]
        for item in stage["artifacts"]
    ]
    facts = [(term, _escaped(text)) for term, text in geometry(report)]
    blocks = [
        _folded("Stages", _table(("stage", "status", "time", "reason"), stages, right=(2,)))
        if stages
        else "",
        _folded("Files", _table(("file", "size", "sha256"), files, right=(1,))) if files else "",
        _folded("Model and environment", _table(("", ""), facts + _environment(report))),
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
    return [(term, _escaped(text)) for term, text in facts.items()]


def _table(heads: Cells, rows: Iterable[Cells], right: Sequence[int] = ()) -> str:
    rules = ["---:" if column in right else "---" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows))


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n\n{body}\n\n</details>"


def _escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return _MARKS.sub(r"\\\1", escape(one_line(text), quote=False))
