"""The report on a terminal: what failed first, then one short table for each question."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fcnship.reports.accuracy_text import print_accuracy_range
from fcnship.reports.attribution import print_attribution
from fcnship.reports.budget_summary import budget_cells, budget_summaries
from fcnship.reports.certificate import TITLE as CERTIFICATE
from fcnship.reports.certificate import certificate_lines
from fcnship.reports.device_text import print_devices
from fcnship.reports.figures import (
    bytes_text,
    error_phrase,
    error_text,
    floors_text,
    interval_text,
    ms_text,
    percent_text,
    ratio_text,
    size_text,
    stage_time,
    tolerance_text,
    where_text,
)
from fcnship.reports.order import Report
from fcnship.reports.precision_tables import print_precision
from fcnship.reports.printable import one_line, printable
from fcnship.reports.summary import (
    accuracy_summaries,
    evidence,
    failed_parity,
    headline,
    key_latency,
    next_step,
    parity_summaries,
    timing_sentence,
)

_MOST_FAILURES = 5
_MOST_FILES = 3
_STYLES = {"failed": "bold red", "fail": "bold red", "slower": "red", "faster": "green", "skipped": "yellow"}


def print_report(report: Report, console: Console) -> None:
    """Print the report. Reads well at 80 columns and without colour: no fact is told by colour alone."""
    report = printable(dict(report))
    _print_verdict(report, console)
    for told in report.get("must_not_use", ()):
        console.print()
        console.print(Text(f"{told['text']}.", style="bold yellow"))
    _print_failures(report, console)
    if report["warnings"]:
        console.print()
    for warning in report["warnings"]:
        console.print(Text.assemble(("warning: ", "bold yellow"), warning))
    if lines := certificate_lines(report):
        console.print()
        console.print(Text(CERTIFICATE, style="bold"))
        for line in lines:
            _print_indented(console, Text(line))
    for table in (_stages(report), _parity(report), _budget(report), _accuracy(report)):
        _print_table(table, console)
    print_accuracy_range(report, console)
    _print_table(_latency(report), console)
    if timing := timing_sentence(report):
        console.print(Text(timing, style="dim"))
    print_devices(report, console)
    print_precision(report, console)
    print_attribution(report, console)  # the last lines are what a person sees first: this was asked for


def _print_table(table: Table, console: Console) -> None:
    if table.row_count:
        console.print()
        console.print(table)


def _print_verdict(report: Report, console: Console) -> None:
    passed = report["verdict"] == "pass"
    word = ("PASS", "bold green") if passed else ("FAIL", "bold red")
    console.print(Text.assemble(word, "  ", (report["name"], "bold"), "  ", headline(report)))
    for sentence in evidence(report):
        _print_indented(console, Text(sentence))


def _print_failures(report: Report, console: Console) -> None:
    for place, reason in enumerate(report["reasons"], start=1):
        console.print()
        console.print(Text(f"{place}. {reason['text']} (exit {reason['code']})", style="bold"))
        _print_indented(console, Text(f"next: {next_step(report, reason)}"), 3)
    failed = failed_parity(report)
    if not failed:
        return
    shown = failed[:_MOST_FAILURES]
    how_many = f"{len(shown)} of {len(failed)}, " if failed[len(shown) :] else ""
    console.print()
    console.print(Text(f"Failed parity checks, {how_many}the worst first", style="bold"))
    for row in shown:
        flips = f", {row['argmax_flips']} argmax flips" if row["argmax_flips"] else ""
        _print_indented(console, Text(f"{row['variant']} at {where_text(row)}: {error_phrase(row)}{flips}"))


def _stages(report: Report) -> Table:
    table = _table("Stages", ("stage", "status", ">time", "what came out"))
    for stage in report["stages"]:
        files = [f"{item['path']} {bytes_text(item['bytes'])}" for item in stage["artifacts"]]
        if len(files) > _MOST_FILES:
            files[_MOST_FILES - 1 :] = [f"and {len(files) - _MOST_FILES + 1} more"]
        reason = [one_line(stage["reason"])] if stage["reason"] else []
        _add_row(table, stage["name"], stage["status"], stage_time(stage), "\n".join(reason + files))
    return table


def _parity(report: Report) -> Table:
    table = _table(
        "Parity", ("variant", "against", ">failed", ">worst error", ">x tolerance", ">x noise", "where")
    )
    table.collapse_padding = True  # a device's name stays on one line at 80 columns
    for s in parity_summaries(report):
        _add_row(
            table,
            s.variant,
            s.reference,
            f"{s.failed} of {s.checks}",
            error_text(s.worst["max_abs"]),
            tolerance_text(s.worst),
            floors_text(s.worst),
            where_text(s.worst),
        )
    return table


def _budget(report: Report) -> Table:
    heads = ("step to", "from", ">adds at most", "at", ">on average", ">total at most", ">share")
    table = _table("Error budget, what each step adds", heads)
    table.collapse_padding = True
    for summary in budget_summaries(report):
        _add_row(table, *budget_cells(summary))
    return table


def _accuracy(report: Report) -> Table:
    table = _table("Accuracy", ("variant", ">sizes", ">lowest", "at", ">highest", "at"))
    for s in accuracy_summaries(report):
        low, high = s.lowest, s.highest
        _add_row(
            table,
            s.variant,
            str(s.sizes),
            percent_text(low["accuracy"]),
            size_text(low),
            percent_text(high["accuracy"]),
            size_text(high),
        )
    return table


def _latency(report: Report) -> Table:
    heads = ("size", "variant", ">median", ">95 % within", ">ratio", ">interval", "verdict")
    table = _table("Latency, ratio to the original (below 1x is faster)", heads)
    table.collapse_padding = True  # 0.0022-0.0026 stays on one line at 80 columns
    place = ""
    for row in key_latency(report):
        if row["verdict"] == "alone":  # a device's own times stand with the device
            continue
        again = place == where_text(row)
        place = where_text(row)
        times = ms_text(row["p50_ms"]), ms_text(row["p95_ms"])
        ratios = ratio_text(row["ratio"]), interval_text(row)
        _add_row(table, "" if again else place, row["variant"], *times, *ratios, row["verdict"])
    return table


def _table(title: str, heads: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.show_edge = False
    for head in heads:
        name = head.removeprefix(">")
        table.add_column(name, justify="right" if name != head else "left", overflow="fold")
    return table


def _add_row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))


def _print_indented(console: Console, text: Text, columns: int = 2) -> None:
    console.print(Padding(text, (0, 0, 0, columns), expand=False))
