"""What a build was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fcnship.errors import UsageError
from fcnship.sizes import Profile

Flavour = Literal["auto", "tensorrt", "tensorrt_rtx"]
Layout = Literal["nchw", "nhwc"]
Head = Literal["map", "average", "max"]
AverageOf = Literal["probabilities", "scores"]
Precision = Literal["fp32", "fp16", "int8"]
Io = Literal["fp32", "fp16"]
Fit = Literal["bucket", "letterbox"]
_FORBIDDEN_IN_NAMES = {*'/\\"<>|:*?', *map(chr, range(32)), chr(127)}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a build, as the command line and Python give them."""

    model: str = "multiscale"
    data: str = "digits"
    profiles: tuple[Profile, ...] = (Profile.parse("28-224"),)
    seed: int = 0
    name: str = ""
    out: Path = Path("artifacts")
    flavour: Flavour = "auto"
    layout: Layout = "nchw"
    head: Head = "average"
    value_range: tuple[float, float] | None = None
    max_slowdown: float | None = None
    baseline: Path | None = None
    precisions: tuple[Precision, ...] = ("fp32",)
    io: Io = "fp32"
    calibration: str = "default"
    int8_budget: float | None = None
    keep_fp32: tuple[str, ...] = ()
    min_accuracy: float | None = None
    fit: Fit = "bucket"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if not self.profiles:
            raise UsageError(
                "no profile is given", cause="the list of profiles is empty", next="give --profile 28-224"
            )
        if len(set(self.profiles)) != len(self.profiles):
            raise UsageError(
                "the same profile is given twice",
                cause="an engine holds each optimisation profile once",
                next="give each --profile once",
            )
        if not 0 <= self.seed < 2**31:
            raise UsageError(
                f"the seed {self.seed} is not between 0 and {2**31 - 1}",
                cause="NumPy and TensorFlow take a whole number of 31 bits",
                next="give another --seed, like 0",
            )
        if self.name:
            check_name(self.name)
        for option, kind in (
            ("flavour", Flavour),
            ("layout", Layout),
            ("head", Head),
            ("io", Io),
            ("fit", Fit),
        ):
            _check_choice(option, getattr(self, option), get_args(kind))
        for precision in self.precisions:
            _check_choice("precision", precision, get_args(Precision))
        if not self.precisions or len(set(self.precisions)) != len(self.precisions):
            raise UsageError(
                "a precision is given twice" if self.precisions else "no precision is given",
                cause="each of fp32, fp16 and int8 makes one ONNX file and one engine",
                next="write it like --precision fp32,fp16,int8",
            )
        if self.value_range is not None:
            _check_range(*self.value_range)
        if self.max_slowdown is not None:
            _check_slowdown(self.max_slowdown)
        _check_between("int8-budget", self.int8_budget, 100, "points of accuracy: 0.5 is half a point of 100")
        _check_between("min-accuracy", self.min_accuracy, 1, "a share of the images: 0.95 is 95 %")
        narrow = {"fp16", "int8"} & set(self.precisions)
        for option, given, fitting in (
            ("int8-budget", self.int8_budget is not None, "int8" in narrow),
            ("keep-fp32", bool(self.keep_fp32), bool(narrow)),
            ("io fp16", self.io == "fp16", "fp16" in narrow),
            ("calibration", self.calibration != "default", "int8" in narrow),
        ):
            if given and not fitting:
                raise UsageError(
                    f"--{option} does not go with --precision {','.join(self.precisions)}",
                    cause="it says how a narrower precision is made, and that is not asked for",
                    next="add --precision fp32,fp16,int8, or leave it out",
                )

    def as_json(self) -> dict[str, Any]:
        """The options as run.json keeps them, so that single steps can go on with them."""
        return {
            "model": _kept(self.model),
            "data": _kept_data(self.data),
            "profiles": [str(profile) for profile in self.profiles],
            "seed": self.seed,
            "flavour": self.flavour,
            "layout": self.layout,
            "head": self.head,
            "value_range": list(self.value_range) if self.value_range else None,
            "max_slowdown": self.max_slowdown,
            "baseline": str(self.baseline.resolve()) if self.baseline else None,
            "precisions": list(self.precisions),
            "io": self.io,
            "calibration": _kept(self.calibration),
            "int8_budget": self.int8_budget,
            "keep_fp32": list(self.keep_fp32),
            "min_accuracy": self.min_accuracy,
            "fit": self.fit,
            "skip_bad": self.skip_bad,
        }


def _kept(text: str) -> str:
    """A path as it is found from any folder; a name as it is."""
    return str(Path(text).resolve()) if Path(text).is_file() else text


def _kept_data(text: str) -> str:
    """A file or a folder as it is found from anywhere; a built-in data set's name as it is."""
    from fcnship.data import BUILT_IN

    return text if text in BUILT_IN or not Path(text).exists() else str(Path(text).resolve())


def check_name(name: str) -> None:
    """Refuse a run's name that is no single, visible folder.

    Raises:
        UsageError: it has a character that a folder's name had better not have.
    """
    if set(name) & _FORBIDDEN_IN_NAMES or name.strip(". ") != name or not name:
        raise UsageError(
            f"{name!r} cannot name a folder",
            cause="a name has no slashes, quotes or control characters and no dots or spaces at its ends",
            next="give another --name",
        )


def _check_choice(option: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise UsageError(
            f"there is no {option} {given!r}",
            cause=f"it is one of {', '.join(known)}",
            next=f"give one of these as --{option}",
        )


def _check_range(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"{low:g},{high:g} is not a value range",
            cause="it goes from a lower to a higher number",
            next="write it like --value-range 0,255",
        )


def _check_between(option: str, given: float | None, most: float, meaning: str) -> None:
    if given is not None and not 0 <= given <= most:  # NaN is not
        raise UsageError(
            f"--{option} {given:g} is not between 0 and {most:g}",
            cause=f"it is counted in {meaning}",
            next=f"give another --{option}",
        )


def _check_slowdown(allowed: float) -> None:
    if not (math.isfinite(allowed) and allowed > 0):
        raise UsageError(
            f"{allowed:g} is not a slowdown",
            cause="it is a variant's time over the original's: 1.05 allows 5 % more",
            next="write it like --max-slowdown 1.05",
        )
