"""The words of ``fcnship validate`` and ``fcnship reproduce``: parse, call, print. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fcnship import api
from fcnship.errors import FcnshipError
from fcnship.runs import Run
from fcnship.verify.sizes_that_find import SizeSet

EXAMPLE = "Example: fcnship validate model.keras stranger.onnx --profile 28-224"
EXAMPLE_AGAIN = "Example: fcnship reproduce artifacts/multiscale/reproduce/onnx-fp32.npz"


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="RUN|FILES", help="A run folder; or files, the reference first."),
    ],
    sizes: Annotated[
        SizeSet, typer.Option(metavar="SET", help="Sizes to compare: default or all.")
    ] = "default",
    atol: Annotated[
        float | None, typer.Option(metavar="ERROR", help="Allow this error; measured if left out.")
    ] = None,
    rtol: Annotated[
        float | None, typer.Option(metavar="SHARE", help="And this share of the largest output.")
    ] = None,
    save_outputs: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="Keep the outputs for another machine.")
    ] = None,
    load_outputs: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="Compare outputs that another machine kept.")
    ] = None,
    attribute: Annotated[
        bool, typer.Option("--attribute", help="Rank the layers by the error that each adds.")
    ] = False,
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Where to look into layers; where it is worst if left out.")
    ] = "",
    variant: Annotated[
        list[str] | None, typer.Option("--variant", metavar="NAME", help="Layers of this alone; repeatable.")
    ] = None,
    try_fix: Annotated[
        bool, typer.Option("--try-fix", help="Keep the worst layers in FP32, and measure what it helps.")
    ] = False,
    min_accuracy: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="RUN: fail if a variant is right less often at any size."),
    ] = None,
    max_slowdown: Annotated[
        float | None,
        typer.Option(metavar="RATIO", help="RUN: fail if a variant takes longer than this."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="REPORT", help="RUN: fail if a ratio grew by more than that since then."),
    ] = None,
    profile: Annotated[
        list[str] | None, typer.Option("--profile", metavar="SIZES", help="Files: 28-224; repeatable.")
    ] = None,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="Files: digits, PATH.npz or a folder; noise if unfit.")
    ] = "",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Files: go on without images that cannot be used.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Files: the same seed draws the same images.")] = 0,
    value_range: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="Files: pixel values that the models take.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Files: write the report there.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print facts for programs on standard output.")
    ] = False,
) -> None:
    """Measure a run's variants again, or hold model files against the first of them."""
    from fcnship.cli import show_outcome
    from fcnship.cli_build import span_of

    def measured(events: Any) -> Run:
        return api.validate(
            *paths,
            sizes=sizes,
            atol=atol,
            rtol=rtol,
            save_outputs=save_outputs,
            load_outputs=load_outputs,
            attribute=attribute,
            size=size or None,
            variant=variant or (),
            try_fix=try_fix,
            min_accuracy=min_accuracy,
            max_slowdown=max_slowdown,
            baseline=baseline,
            profile=profile or (),
            data=data,
            skip_bad=skip_bad,
            seed=seed,
            value_range=span_of(value_range),
            out=out,
            events=events,
        )

    show_outcome(as_json, measured, summarised=True)


def reproduce(
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", help="From a reproduce/ folder.")],
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="Another model than the one that failed.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print facts for programs on standard output.")
    ] = False,
) -> None:
    """Show a failure that validate found again; exit 4 while it is there."""
    from fcnship import terminal

    try:
        with terminal.kept_for_facts():
            found = api.reproduce(file, model)
    except FcnshipError as error:
        if error.run is not None:
            terminal.show_reproduction(error.run, as_json)
        raise
    terminal.show_reproduction(found, as_json)
