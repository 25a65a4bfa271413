"""The words of ``fcnship doctor``: parse, call, print. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fcnship import api
from fcnship.cli_build import Json
from fcnship.errors import UsageError

EXAMPLE = "Example: fcnship doctor --target jetpack6 artifacts/multiscale/onnx/int8.onnx"


def doctor(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE.onnx", help="What would TensorRT elsewhere not take of it?"),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="FILE: trt10.3 trt10.16 trt11 rtx jetpack6 jetpack7; repeatable.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is installed, what can be built here, and what would help.

    With FILE.onnx: check it for each target (all of them if none is given); exit 3 if one would not take it.
    """
    from fcnship import terminal

    if file is not None:
        linted = api.doctor(file, target=target or ())
        terminal.show_lint(linted, as_json)
        if not linted.passed:
            raise typer.Exit(3)
        return
    if target:
        raise UsageError(
            "--target needs a file",
            cause="a target is what an ONNX file is checked for",
            next=f"fcnship doctor --target {target[0]} FILE.onnx",
        )
    found = api.doctor()
    terminal.show_diagnosis(found, as_json)
    if not found.healthy:
        raise typer.Exit(7)
