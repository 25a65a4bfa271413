"""The report page's latency: times over size, ratios to the original, and what they were held against."""

from __future__ import annotations

from collections.abc import Sequence

from fcnship.reports.figures import (
    ABSENT,
    effect_text,
    interval_text,
    ms_text,
    rate_text,
    ratio_text,
    where_text,
)
from fcnship.reports.html_axis import ms_axis
from fcnship.reports.html_measures import plot_over_sizes
from fcnship.reports.html_table import folded, section, status, table
from fcnship.reports.markup import Markup, element
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.summary import alone_sentence, key_latency, timing_sentence


def latency_section(report: Report) -> Markup:
    """Latency against size, and the ratios to the original."""
    rows = in_order(report["latency"])
    if not rows:
        return section("Latency", "latency", element("p", "Not measured.", class_="dim"))
    smallest = min(row["batch"] for row in rows)
    lead = f"Median time of a batch of {smallest}, and its ratio to the original's: below 1x is faster."
    lead = f"{lead} {alone_sentence(report)}".rstrip()
    label = f"Latency against image size, batch {smallest}, both axes logarithmic."
    heads = ("variant", "size", "median", "95 % within", "ratio", "interval", "verdict", "runs")
    more = (*heads, "99 % within", "images a second", "smallest effect")
    right = (2, 3, 4, 5, 7, 8, 9, 10)
    key = table(heads, map(_latency_cells, key_latency(report)), "Latency at min, opt and max", right[:5])
    everything = table(more, map(_all_latency_cells, rows), "Every latency row", right)
    timing = timing_sentence(report)
    return section(
        "Latency",
        "latency",
        element("p", lead),
        plot_over_sizes(
            report, [r for r in rows if r["batch"] == smallest], "p50_ms", ms_axis, ms_text, label
        ),
        folded("Exact figures at min, opt and max", key),
        folded("Every size and batch", everything),
        element("p", timing, class_="dim") if timing else None,
        _baseline(report),
    )


def _baseline(report: Report) -> Markup | None:
    """The ratios against those of an earlier report."""
    baseline = report.get("baseline")
    if not baseline:
        return None
    told = f"Against the baseline of {baseline['created']}"
    if baseline["status"] == "skipped":
        return element("p", f"{told}: not compared, {baseline['reason']}.")
    heads = ("variant", "size", "ratio before", "ratio now", "change", "interval", "result")
    cells = [
        (
            row["variant"],
            where_text(row),
            *(ratio_text(row[key]) for key in ("before", "now", "change")),
            f"{row['change_low']:.2f}-{row['change_high']:.2f}",
            status("pass" if row["passed"] else "fail"),
        )
        for row in in_order(baseline["rows"])
    ]
    title = f"{told}, {baseline['allowed']:g}x is allowed"
    return folded(title, table(heads, cells, title, (2, 3, 4, 5)))


def _latency_cells(row: Row) -> Sequence[str]:
    times = ms_text(row["p50_ms"]), ms_text(row["p95_ms"])
    ratios = ratio_text(row["ratio"]), interval_text(row)
    verdict = status(row["verdict"]) if row.get("passed", True) else status("fail")
    return row["variant"], where_text(row), *times, *ratios, verdict, str(row["runs"])


def _all_latency_cells(row: Row) -> Sequence[str]:
    p99 = ms_text(row["p99_ms"]) if "p99_ms" in row else ABSENT
    return *_latency_cells(row), p99, rate_text(row), effect_text(row)
