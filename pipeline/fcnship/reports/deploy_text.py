"""A deployment as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fcnship.reports.figures import bytes_text, error_text, ms_text, where_text
from fcnship.reports.printable import printable

if TYPE_CHECKING:
    from fcnship.ship.deploy import Deployment

_SHORT = 12


def print_deployment(found: Deployment, console: Console) -> None:
    """What was sent, what is live, how far it is from the reference, and how fast it is there."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    table.add_row("device", f"{_safe(found.host)}, {_safe(found.root)}")
    table.add_row("release", f"{_safe(found.name)} {_safe(found.version)} ({found.release[:_SHORT]})")
    table.add_row("would send" if found.dry_run else "sent", _sent(found))
    table.add_row("live", _live(found))
    for name, text in _measured(found):
        table.add_row(name, _safe(text))
    for warning in found.warnings:
        table.add_row("warning", _safe(warning))
    if found.report:
        table.add_row("report", _safe(str(found.report)))
    console.print(table)


def _sent(found: Deployment) -> str:
    reused = f"; {found.reused} are there in another release" if found.reused else ""
    if not found.sent:
        return "nothing: all of it is there" + reused
    return f"{bytes_text(found.sent_bytes)} in {len(found.sent)} files" + reused


def _live(found: Deployment) -> str:
    before = f"{found.previous[:_SHORT]}" if found.previous else "nothing"
    if found.dry_run:
        return f"{before}; this release would go live" if found.changed else "this release, unchanged"
    if not (found.device and found.device["ok"]):
        return f"{before}, as before"
    return f"this release, instead of {before}" if found.changed else "this release, unchanged"


def _measured(found: Deployment) -> list[tuple[str, str]]:
    device, bench = found.device or {}, found.bench or {}
    rows = []
    if device.get("backend"):
        rows.append(("runs with", f"{device['backend']}, {device['precision']}"))
    if parity := device.get("parity"):
        worst = max(
            parity, key=lambda row: (not row["passed"], float(row["max_abs"]) / (row["tolerance"] or 1))
        )
        figures = f"largest error {error_text(worst['max_abs'])}, allowed is {error_text(worst['tolerance'])}"
        told = "agrees" if all(row["passed"] for row in parity) else "DISAGREES"
        rows.append(("parity", f"{told}: {figures}, at {where_text(worst)}"))
    rows += [
        ("latency", f"{ms_text(row['p50_ms'])} at {where_text(row)}") for row in bench.get("latency") or ()
    ]
    return rows


def _safe(text: str) -> str:
    return str(printable(text))
