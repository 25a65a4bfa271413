"""report.md, made for a job summary on GitHub: verdict first, short tables, the long ones folded away."""

from __future__ import annotations

from collections.abc import Iterable

from fcnship.reports.budget_summary import BUDGET_HEADS, budget_cells, budget_summaries
from fcnship.reports.figures import (
    ABSENT,
    bytes_text,
    cosine_text,
    count_text,
    effect_text,
    error_text,
    floors_text,
    interval_text,
    ms_text,
    percent_text,
    rate_text,
    ratio_text,
    share_text,
    size_text,
    stage_time,
    tolerance_text,
    where_text,
)
from fcnship.reports.markdown_form import Cells, escaped, folded, table
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.printable import printable
from fcnship.reports.summary import (
    accuracy_summaries,
    evidence,
    failed_parity,
    geometry,
    headline,
    key_latency,
    next_step,
    parity_summaries,
    timing_sentence,
)

_MOST_FAILURES = 10
_SHORT_SHA = 12


def markdown_text(report: Report) -> str:
    """The report as GitHub-flavoured Markdown. Text from outside is escaped and cannot add markup."""
    report = printable(dict(report))
    blocks = [
        f"## {escaped(report['name'])}: {report['verdict'].upper()}",
        f"**{headline(report)}** " + escaped(" ".join(evidence(report))),
        *_reasons(report),
        *_warnings(report),
        *_parity(report),
        *_budget(report),
        *_accuracy(report),
        *_latency(report),
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


def _accuracy(report: Report) -> list[str]:
    if not report["accuracy"]:
        return []
    rows = [
        (escaped(s.variant), percent_text(s.lowest["accuracy"]), size_text(s.lowest), str(s.sizes))
        for s in accuracy_summaries(report)
    ]
    every = [
        (escaped(r["variant"]), size_text(r), percent_text(r["accuracy"]), str(r["images"]))
        for r in in_order(report["accuracy"])
    ]
    long = table(("variant", "size", "accuracy", "images"), every, right=(2, 3))
    short = table(("variant", "lowest accuracy", "at", "sizes"), rows, right=(1, 3))
    return ["### Accuracy", short, folded("Accuracy at every size", long)]


def _latency(report: Report) -> list[str]:
    if not report["latency"]:
        return []
    heads = ("size", "variant", "median", "95 % within", "ratio", "interval", "verdict", "runs")
    more = (*heads[:4], "99 % within", "images a second", *heads[4:7], "smallest effect", "runs")
    return [
        "### Latency",
        table(heads, map(_latency_cells, key_latency(report)), right=(2, 3, 4, 5, 7)),
        folded(
            "Every latency row",
            table(
                more, map(_all_latency_cells, in_order(report["latency"])), right=(2, 3, 4, 5, 6, 7, 9, 10)
            ),
        ),
        " ".join(
            [
                "The ratio is to the original, timed in turns with it; below 1 is faster.",
                escaped(timing_sentence(report)),
            ]
        ).strip(),
        *_baseline(report),
    ]


def _baseline(report: Report) -> list[str]:
    baseline = report.get("baseline")
    if not baseline:
        return []
    told = f"Against the baseline of {escaped(baseline['created'])}"
    if baseline["status"] == "skipped":
        return [f"{told}: not compared, {escaped(baseline['reason'])}."]
    heads = ("size", "variant", "ratio before", "ratio now", "change", "interval", "result")
    rows = [
        (
            where_text(row),
            escaped(row["variant"]),
            ratio_text(row["before"]),
            ratio_text(row["now"]),
            ratio_text(row["change"]),
            f"{row['change_low']:.2f}-{row['change_high']:.2f}",
            "pass" if row["passed"] else "**fail**",
        )
        for row in in_order(baseline["rows"])
    ]
    return [f"{told}, {baseline['allowed']:g}x is allowed:", table(heads, rows, right=(2, 3, 4, 5))]


def _latency_cells(row: Row) -> Cells:
    times = ms_text(row["p50_ms"]), ms_text(row["p95_ms"])
    ratios = ratio_text(row["ratio"]), interval_text(row)
    return where_text(row), escaped(row["variant"]), *times, *ratios, _verdict(row), str(row["runs"])


def _all_latency_cells(row: Row) -> Cells:
    *first, ratio, interval, verdict, runs = _latency_cells(row)
    p99 = ms_text(row["p99_ms"]) if "p99_ms" in row else ABSENT
    return *first, p99, rate_text(row), ratio, interval, verdict, effect_text(row), runs


def _verdict(row: Row) -> str:
    return row["verdict"] if row.get("passed", True) else f"**{row['verdict']}, not allowed**"


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
