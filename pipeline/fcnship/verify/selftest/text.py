"""A self-test as a person reads it."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fcnship.reports.printable import printable
from fcnship.verify.selftest.outcome import Outcome, SelfTest

_HEADS = ("fault", "caught by", "where", "how it showed")
_STYLES = {"caught": "green", "missed": "bold red", "undecided": "yellow", "skipped": "yellow"}


def headline(found: SelfTest) -> str:
    """The outcome in one line."""
    word = "PASS" if found.passed else "FAIL"
    caught = sum(outcome.status == "caught" for outcome in found.outcomes)
    told = [f"{caught} of {len(found.outcomes)} faults caught"]
    for status in ("missed", "undecided", "skipped"):
        if names := [outcome.fault for outcome in found.outcomes if outcome.status == status]:
            told.append(f"{status}: {', '.join(names)}")
    return f"{word}  {found.network}: {'; '.join(told)}. {_clean(found)}"


def print_selftest(found: SelfTest, console: Console) -> None:
    """Print it. Reads well at 80 columns and without colour: no fact is told by colour alone."""
    console.print(Text(printable(headline(found)), style="bold"))
    for each in found.clean:
        for gate, failure in each.failures:
            console.print(Text(printable(f"clean pass {each.number} failed, {gate}: {failure}"), "bold red"))
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for head in _HEADS:
        shown.add_column(head, overflow="fold", no_wrap=head == _HEADS[0])
    for outcome in found.outcomes:
        fault, where, figure = (Text(printable(t)) for t in (outcome.fault, outcome.where, outcome.figure))
        shown.add_row(fault, Text(_result(outcome), _STYLES[outcome.status]), where, figure)
    console.print(shown)
    for text in (*_reasons(found), *found.notes):
        console.print(Text(printable(text), style="dim"))


def _clean(found: SelfTest) -> str:
    if not found.clean:
        return "No clean pass was made."
    checks = sum(each.checks for each in found.clean)
    failed = sum(bool(each.failures) for each in found.clean)
    count = len(found.clean)
    passes = "1 clean pass" if count == 1 else f"{count} clean passes"
    return f"{passes}, {checks:,} checks, {failed or 'none'} failed."


def _result(outcome: Outcome) -> str:
    if outcome.status == "missed":
        return f"MISSED by {outcome.gate}"
    return outcome.gate if outcome.status == "caught" else outcome.status


def _reasons(found: SelfTest) -> list[str]:
    told = []
    for outcome in found.outcomes:
        where = f" (put into the {outcome.network} network)" if outcome.network != found.network else ""
        if outcome.reason:
            told.append(f"{outcome.fault}{where}: {outcome.reason}")
    return told
