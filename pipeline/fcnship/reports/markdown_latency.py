"""The latency part of report.md."""

from __future__ import annotations

from fcnship.reports.figures import (
    ABSENT,
    effect_text,
    interval_text,
    ms_text,
    rate_text,
    ratio_text,
    where_text,
)
from fcnship.reports.markdown_form import Cells, escaped, folded, table
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.summary import alone_sentence, key_latency, timing_sentence


def latency_blocks(report: Report) -> list[str]:
    """Blocks of Markdown; none where nothing was timed."""
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
                alone_sentence(report),
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
