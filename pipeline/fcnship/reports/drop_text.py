"""A finished drop as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fcnship.reports.figures import bytes_text
from fcnship.reports.printable import printable

if TYPE_CHECKING:
    from fcnship.ship.drop import Drop


def print_drop(found: Drop, console: Console) -> None:
    """What was packed, where it lies, and which of its proofs are weak."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    table.add_row("drop", f"{_safe(found.name)} {found.version}")
    table.add_row("release", found.release)
    table.add_row("signed", f"by {found.signer}" if found.signer else "no: nobody can tell who made it")
    table.add_row("precisions", ", ".join(found.precisions) + f"; {found.live} goes live")
    for profile in found.profiles:
        table.add_row("profile", profile)
    table.add_row("golden data", f"{found.golden} files, answered by the Keras network")
    table.add_row("size", f"{bytes_text(found.bytes)} in {found.files} files")
    for warning in found.warnings:
        table.add_row("warning", warning)
    console.print(table)
    instead = f", in place of {_safe(found.replaced)}" if found.replaced else ""
    console.print(Text(f"written to {_safe(str(found.path))}{instead}"), soft_wrap=True)


def _safe(text: str) -> str:
    return str(printable(text))
