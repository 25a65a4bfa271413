"""The words of ``fcnship selftest``: parse, call, print. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fcnship import api

EXAMPLE = "Example: fcnship selftest artifacts/multiscale --clean 50"


def selftest(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="A run folder; else artifacts/multiscale, else a small network.",
            show_default=False,
        ),
    ] = None,
    clean: Annotated[int, typer.Option(metavar="N", help="How often clean copies must pass.")] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print facts for programs on standard output.")
    ] = False,
) -> None:
    """Put faults into copies of a run, and say which gate catches each; exit 1 if one does not."""
    from fcnship import terminal

    with terminal.listening() as events, terminal.kept_for_facts():
        found = api.selftest(run, clean=clean, events=events)
    terminal.show_selftest(found, as_json)
    if found.exit_code:
        raise typer.Exit(found.exit_code)
