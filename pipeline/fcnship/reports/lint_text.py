"""What ``fcnship doctor --target`` found in a file, for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fcnship.lint.findings import Finding, Linted, TargetFindings
from fcnship.reports.printable import printable

_STYLES = {"error": "bold red", "warning": "yellow"}


def print_lint(found: Linted, console: Console) -> None:
    """A line for each target, then each finding once, with the targets that it is for if not for all."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in found.targets:
        table.add_row(each.target.name, _verdict(each), _checked(each))
    console.print(Text(_safe(str(found.file)), "bold"), soft_wrap=True)
    console.print(table)
    for finding, names in _grouped(found).items():
        console.print(_line(finding), soft_wrap=True)
        console.print(Text(f"         -> {_safe(finding.next)}", "dim"), soft_wrap=True)
        if len(names) < len(found.targets):
            console.print(Text(f"         for {', '.join(names)}", "dim"), soft_wrap=True)


def _grouped(found: Linted) -> dict[Finding, list[str]]:
    """Each finding with the targets that have it, errors first."""
    grouped: dict[Finding, list[str]] = {}
    for each in found.targets:
        for finding in each.findings:
            grouped.setdefault(finding, []).append(each.target.name)
    return dict(sorted(grouped.items(), key=lambda entry: entry[0].severity != "error"))


def _line(finding: Finding) -> Text:
    about = [finding.operator, f"layer {finding.layer}" if finding.layer else ""]
    where = finding.node + (f" ({', '.join(filter(None, about))})" if any(about) else "")
    text = _safe(f"{where}: {finding.what}" if where else finding.what)
    return Text.assemble((f"{finding.severity:<8} ", _STYLES[finding.severity]), text)


def _verdict(found: TargetFindings) -> Text:
    warnings = len(found.findings) - found.errors
    if not found.findings:
        return Text("clean", "green")
    told = [_count(found.errors, "error")] if found.errors else []
    told += [_count(warnings, "warning")] if warnings else []
    return Text(", ".join(told), "bold red" if found.errors else "yellow")


def _checked(found: TargetFindings) -> str:
    about = found.target.about
    return found.target.title + (f" ({about})" if about else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _safe(text: str) -> str:
    return str(printable(text))
