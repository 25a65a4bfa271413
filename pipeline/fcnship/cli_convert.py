"""The words of ``fcnship convert``: parse, call, print. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fcnship import api
from fcnship.errors import FcnshipError
from fcnship.options import AverageOf, Fit, Head

EXAMPLE = "Example: fcnship convert dense.keras -o fcn.keras --prove"


def convert(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A .keras or .h5 file, or a recipe.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT.keras", help="The file to write.")],
    head: Annotated[
        Head, typer.Option(metavar="HEAD", help="The map of scores (map), its average or its max.")
    ] = "map",
    average_of: Annotated[
        AverageOf, typer.Option(metavar="WHAT", help="Average probabilities, or the scores before them.")
    ] = "probabilities",
    prove: Annotated[
        bool, typer.Option("--prove", help="Compare with the original; write OUT.certificate.json.")
    ] = False,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="Images for --prove: mnist, PATH.npz or a folder.")
    ] = "",
    fit: Annotated[
        Fit, typer.Option(metavar="FIT", help="Images of many sizes: bucket (as a build does) or letterbox.")
    ] = "bucket",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without images of a folder that cannot be used.")
    ] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Let code in the file run (Lambda layers).")] = False,
    channels: Annotated[int, typer.Option(metavar="N", help="Channels, for a recipe.")] = 1,
    classes: Annotated[int, typer.Option(metavar="N", help="Classes, for a recipe.")] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print facts for programs on standard output.")
    ] = False,
) -> None:
    """Make a classifier fully convolutional: the same at its size, and any larger one."""
    from fcnship import terminal

    try:
        with terminal.kept_for_facts():
            found = api.convert_file(
                model,
                out,
                head=head,
                average_of=average_of,
                prove=prove,
                data=data,
                fit=fit,
                skip_bad=skip_bad,
                trust=trust,
                channels=channels,
                classes=classes,
            )
    except FcnshipError as error:
        if error.run is not None:
            terminal.show_conversion(error.run, as_json)
        raise
    terminal.show_conversion(found, as_json)
