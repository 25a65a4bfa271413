"""The options that the building commands have in common, written down once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from fcnship.errors import UsageError
from fcnship.options import Fit, Flavour, Head, Io, Layout
from fcnship.runs import BuildOptions

Build = Callable[[str, BuildOptions, bool], None]
Command = Callable[..., None]
OF_PRECISION = ("calibration", "int8_budget", "keep_fp32", "io")
GATES = ("max_slowdown", "baseline", "min_accuracy")
Json = Annotated[bool, typer.Option("--json", help="Print facts for programs on standard output.")]
_DEFAULT_PROFILES = ["28-224"]
_NONE: list[str] = []


def takes_build_options(*, without: Collection[str] = (), **defaults: Any) -> Callable[[Build], Command]:
    """Make a command of a function of (model, options, as_json): the words are those of ``_options``.

    ``without`` leaves some out, ``defaults`` changes what others are if they are not given.
    """
    shown = [
        parameter.replace(default=defaults.get(name, parameter.default))
        for name, parameter in inspect.signature(_options, eval_str=True).parameters.items()
        if name not in without
    ]

    def made(function: Build) -> Command:
        def command(*, model: str, as_json: bool = False, **given: Any) -> None:
            function(model, _options(**given), as_json)

        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        return command

    return made


def _options(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A recipe's name or path, or a .keras file.")
    ] = "multiscale",
    profile: Annotated[
        list[str],
        typer.Option("--profile", metavar="SIZES", help="28-224 or 28,64,224 or 28x40-224x320; repeatable."),
    ] = _DEFAULT_PROFILES,
    data: Annotated[
        str,
        typer.Option(metavar="DATA", help="digits, mnist, fashion_mnist, cifar10, PATH.npz or a folder."),
    ] = "digits",
    fit: Annotated[
        Fit,
        typer.Option(metavar="FIT", help="Images of many sizes: bucket (with their like) or letterbox."),
    ] = "bucket",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without images of a folder that cannot be used.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same training.")] = 0,
    precision: Annotated[
        str, typer.Option(metavar="LIST", help="What to make: fp32, or several like fp32,fp16,int8.")
    ] = "fp32",
    calibration: Annotated[
        str, typer.Option(metavar="RECIPE", help="INT8: a recipe in calibration/, or PATH.toml.")
    ] = "default",
    int8_budget: Annotated[
        float | None,
        typer.Option(metavar="POINTS", help="INT8: points of accuracy that it may cost at any size."),
    ] = None,
    keep_fp32: Annotated[
        list[str],
        typer.Option("--keep-fp32", metavar="LAYER", help="A Keras layer that stays FP32; repeatable."),
    ] = _NONE,
    io: Annotated[
        Io, typer.Option(metavar="TYPE", help="FP16: the type of input and output, fp32 or fp16.")
    ] = "fp32",
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The run folder's name; the model's if left out.")
    ] = "",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where run folders lie.")] = Path("artifacts"),
    flavour: Annotated[
        Flavour,
        typer.Option(metavar="FLAVOUR", help="The TensorRT that builds: auto, tensorrt or tensorrt_rtx."),
    ] = "auto",
    layout: Annotated[
        Layout, typer.Option(metavar="LAYOUT", help="The order of the ONNX input: nchw or nhwc.")
    ] = "nchw",
    head: Annotated[
        Head, typer.Option(metavar="HEAD", help="What becomes of a map of scores: map, average or max.")
    ] = "average",
    value_range: Annotated[
        str,
        typer.Option(metavar="LOW,HIGH", help="Pixel values that a saved model takes; else measured."),
    ] = "",
    min_accuracy: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Fail below this accuracy at any size: 0.95."),
    ] = None,
    max_slowdown: Annotated[
        float | None,
        typer.Option(metavar="RATIO", help="Fail if a variant takes more than so many times the original."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="REPORT", help="An earlier report: no ratio may have grown by more than that."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Do every stage again.")] = False,
    as_json: Json = False,
) -> BuildOptions:
    given: BuildOptions = {
        "profile": profile,
        "data": data,
        "fit": fit,
        "skip_bad": skip_bad,
        "seed": seed,
        "precision": precision,
        "calibration": calibration,
        "int8_budget": int8_budget,
        "keep_fp32": keep_fp32,
        "io": io,
        "name": name,
        "out": out,
        "flavour": flavour,
        "layout": layout,
        "head": head,
        "value_range": span_of(value_range),
        "min_accuracy": min_accuracy,
        "max_slowdown": max_slowdown,
        "baseline": baseline,
        "force": force,
    }
    return given


def span_of(text: str) -> tuple[float, float] | None:
    """``0,255`` as two numbers; None for no text.

    Raises:
        UsageError: it is something else.
    """
    if not text:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{text!r} is not a value range",
            cause="it is two numbers with a comma between them",
            next="write it like --value-range 0,255",
        ) from None
    return low, high
