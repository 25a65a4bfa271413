"""What a person sees: progress on standard error, outcomes on standard output; JSON for programs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fcnship.driver import AGAIN
from fcnship.narrator import Narrator

if TYPE_CHECKING:
    from fcnship.comparison import Comparison
    from fcnship.conversion import ConvertedFile
    from fcnship.diagnosis import Diagnosis
    from fcnship.driver import Change
    from fcnship.explanation import Explanation
    from fcnship.lint.findings import Linted
    from fcnship.reproduction import Reproduction
    from fcnship.runs import Run
    from fcnship.ship.deploy import Deployment
    from fcnship.ship.drop import Drop
    from fcnship.ship.hosts import AddedDevice
    from fcnship.verify.selftest.outcome import SelfTest

# With COLUMNS=0, which some terminals' servers set, a table would have no text.
_LEAST_COLUMNS = 30


class _Screen(Console):
    """A console that outlives its reader."""

    def on_broken_pipe(self) -> None:
        """A reader that has gone (``| head``) ends the talk, not the work or its exit code."""
        self.quiet = True
        stop_writing_to(self.file)


def stop_writing_to(file: IO[str]) -> None:
    """Lead what is still written to nowhere, or Python's own flush at the end would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


@contextlib.contextmanager
def kept_for_facts() -> Iterator[None]:
    """Standard output is for the outcome alone: what a recipe or a library prints goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def complain(text: str) -> None:
    """An error, on standard error. Where that cannot be written, the exit code has to do."""
    if sys.stderr is None:
        return
    try:
        print(f"fcnship: {_safe(text)}", file=sys.stderr, flush=True)
    except OSError:
        stop_writing_to(sys.stderr)


@contextlib.contextmanager
def listening() -> Iterator[Narrator]:
    """A narrator on standard error, closed however the work ends."""
    narrator = Narrator(_Screen(stderr=True, highlight=False))
    try:
        yield narrator
    finally:
        narrator.close()


def show_run(run: Run, as_json: bool, summarised: bool = False) -> None:
    """The outcome of a build or of a single step; ``summarised``: for a CI server's job summary too."""
    if summarised and run.report:
        from fcnship.reports.job_summary import append_job_summary

        if problem := append_job_summary(run.report):
            complain(problem)
    if as_json:
        stages = [{"name": r.name, "status": r.status, "reason": r.reason} for r in run.stages]
        _print_json({**(run.report or {"stages": stages}), "folder": str(run.folder)})
        return
    console = _output()
    if run.report:
        from fcnship.reports.console import print_report

        print_report(run.report, console)
    if run.kept:
        console.print(Text(f"Everything is in {_safe(str(run.folder))}"), soft_wrap=True)


def show_reproduction(found: Reproduction, as_json: bool) -> None:
    """Whether a kept failure is still there."""
    if as_json:
        _print_json(found.as_json())
        return
    row = found.row
    where = f"a batch of {row['batch']} at {row['height']}x{row['width']}"
    told = "agrees now" if found.agrees else f"FAILS: {row['fault']}"
    figures = f"largest error {row['max_abs']:.3g}, allowed is {row['tolerance']:.3g}"
    text = f"{found.model} against {row['reference']}, {where}: {told} ({figures})"
    _output().print(Text(_safe(text)), soft_wrap=True)


def show_selftest(found: SelfTest, as_json: bool) -> None:
    """Which gate caught which fault."""
    if as_json:
        _print_json(found.as_json())
        return
    from fcnship.verify.selftest.text import print_selftest

    print_selftest(found, _output())


def show_changes(changes: Mapping[str, Sequence[Change]], as_json: bool) -> None:
    """What a build would redo."""
    if as_json:
        rows = {
            stage: [{"input": c.input, "before": c.before, "now": c.now} for c in found]
            for stage, found in changes.items()
        }
        _print_json({"stages": rows, "unchanged": not any(changes.values())})
        return
    console = _output()
    for stage, found in changes.items():
        told = _safe(_told(found)) or "unchanged"
        console.print(
            Text.assemble((f"{stage:<10} ", "bold"), (told, "" if found else "dim")), soft_wrap=True
        )


def show_comparison(found: Comparison, as_json: bool, as_markdown: bool) -> None:
    """What differs between two reports."""
    from fcnship.reports.comparison_text import comparison_markdown, print_comparison

    if as_json:
        _print_json(found.as_json())
    elif as_markdown:
        _output().print(Text(comparison_markdown(found)), end="", soft_wrap=True)
    else:
        print_comparison(found, _output())


def show_explanation(found: Explanation, as_json: bool) -> None:
    """A network's geometry."""
    if as_json:
        _print_json(found.as_json())
        return
    from fcnship.reports.figures import bytes_text

    facts, console = found.facts.summary(), _output()
    table = _table()
    table.add_row("parameters", f"{facts['parameters']:,}")
    if found.converted:
        tied = facts["fixed_size"] or facts["minimum_size"]
        table.add_row("runs at", f"{_size(tied)} only, until it is converted (fcnship convert)")
        facts = found.converted.summary()
    table.add_row("total stride", _size(facts["total_stride"]))
    table.add_row("receptive field", f"{_size(facts['receptive_field'])} pixels")
    below = f" (below it {facts['minimum_layer']!r} makes an empty map)" if facts["minimum_layer"] else ""
    table.add_row("minimum size", _size(facts["minimum_size"]) + below)
    for profile in found.profiles:
        table.add_row("profile", str(profile))
    if found.unserved:
        table.add_row("", "not served: the network does not run at " + ", ".join(map(str, found.unserved)))
    if found.size and found.cost:
        table.add_row(f"at {found.size}", "")
        table.add_row("  output map", str(found.output_map))
        table.add_row("  served by", str(found.profile) if found.profile else "no profile")
        table.add_row("  multiply-adds", f"{found.cost.multiply_adds / 1e6:,.2f} million")
        table.add_row("  activations", f"{bytes_text(found.cost.activation_bytes)} in all")
        if saving := found.saving:
            table.add_row(
                "  by crops", f"{saving.ratio:.1f} times that, for {saving.crops:,} of {saving.crop}"
            )
            if saving.warning:
                table.add_row("  warning", saving.warning)
    console.print(table)


def show_conversion(found: ConvertedFile, as_json: bool) -> None:
    """What a conversion changed, its certificate, and where it lies."""
    if as_json:
        _print_json(found.as_json())
        return
    console = _output()
    for note in found.notes:
        console.print(Text(f"note: {_safe(note)}"), soft_wrap=True)
    if found.already_convolutional:
        console.print(
            Text(f"{_safe(found.name)} is fully convolutional already: nothing to do, nothing written"),
            soft_wrap=True,
        )
        return
    table = _table()
    for change in found.changes:
        table.add_row(_safe(change.layer), f"{_safe(change.before)} -> {_safe(change.after)}")
    console.print(table)
    if found.certificate:
        for line in found.certificate.lines():
            console.print(Text(_safe(line)), soft_wrap=True)
    if found.out:
        console.print(Text(f"written to {_safe(str(found.out))}"), soft_wrap=True)


def show_diagnosis(found: Diagnosis, as_json: bool) -> None:
    """What ``fcnship doctor`` found."""
    if as_json:
        _print_json(found.as_json())
        return
    console, machine, libraries, abilities = _output(), _table(), _table(), _table()
    machine.add_row("Python", f"{found.python} on {found.platform}")
    machine.add_row("processor", f"{found.cpu}, {found.cores} cores")
    machine.add_row("free memory", f"{found.memory_bytes / 1e9:.1f} GB")
    machine.add_row("GPU", found.gpu or "none")
    for library in found.libraries:
        state = library.version if not library.problem else f"{library.version} {library.problem}".strip()
        libraries.add_row(
            library.name, state + (" (optional)" if library.problem and library.optional else "")
        )
    for ability in found.abilities:
        abilities.add_row(ability.name, "yes" if ability.possible else f"no: {ability.reason}")
        if ability.next:
            abilities.add_row("", Text(f"-> {ability.next}", "dim"))
    for title, table in (("This machine", machine), ("Libraries", libraries), ("Can do here", abilities)):
        console.print(Text(title, "bold"))
        console.print(table)


def show_lint(found: Linted, as_json: bool) -> None:
    """What ``fcnship doctor`` found in an ONNX file."""
    from fcnship.reports.lint_text import print_lint

    if as_json:
        _print_json(found.as_json())
    else:
        print_lint(found, _output())


def show_drop(found: Drop, as_json: bool) -> None:
    """What was packed, and what to do with it."""
    if as_json:
        _print_json(found.as_json())
        return
    from fcnship.reports.drop_text import print_drop

    print_drop(found, _output())


def show_deployment(found: Deployment, as_json: bool) -> None:
    """What was brought to a device, or would be, and what it said."""
    if as_json:
        _print_json(found.as_json())
        return
    from fcnship.reports.deploy_text import print_deployment

    print_deployment(found, _output())


def show_added_device(found: AddedDevice, as_json: bool) -> None:
    """Whose key is in known_hosts now."""
    if as_json:
        _print_json(found.as_json())
        return
    told = {"added": "added to", "known": "known already, in"}[found.outcome]
    text = f"{found.host}: {found.key} {found.fingerprint} {told} {found.file}"
    _output().print(Text(_safe(text)), soft_wrap=True)


def confirmed(question: str) -> bool:
    """Ask on the terminal; where there is none, nobody has said yes."""
    if not (sys.stdin and sys.stdin.isatty()):
        return False
    print(f"{_safe(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _told(changes: Sequence[Change]) -> str:
    again = [change.input.removeprefix("stage ") for change in changes if change.now == AGAIN]
    told = [_shortened(change) for change in changes if change.now != AGAIN]
    return "; ".join(told + ([f"after {', '.join(again)}"] if again else []))


def _shortened(change: Change) -> str:
    """A change as a person reads it: hashes are cut to their first eight digits."""
    parts = [p[:8] if len(p) == 64 and p.isalnum() else p for p in (change.before, change.now)]
    return f"{change.input}: {parts[0]} -> {parts[1]}" if parts[0] else f"{change.input} {parts[1]}"


def _size(value: int | Sequence[int]) -> str:
    return str(value) if isinstance(value, int) else "x".join(map(str, value))


def _table() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    return table


def _output() -> Console:
    # A terminal or a pipe of few letters shows a name's others written out; it must not end a command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # Without markup: a layer may well be named [conv].
    console = _Screen(file=sys.stdout, highlight=False, markup=False, emoji=False)
    console.width = max(console.width, _LEAST_COLUMNS)
    return console


def _safe(text: str) -> str:
    """Text without what would steer a terminal: names and messages come from anywhere."""
    from fcnship.reports.printable import printable

    return str(printable(text))


def _print_json(value: Any) -> None:
    try:
        print(json.dumps(value, indent=1, default=str), flush=True)
    except BrokenPipeError:
        stop_writing_to(sys.stdout)
