"""Calibration recipes: TOML files that say by which method, on which images and at which sizes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from fcnship.errors import UsageError
from fcnship.hashing import sha256_of_file
from fcnship.precision.methods import METHODS, Method
from fcnship.recipe import nearest
from fcnship.sizes import Size

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SizesWord = Literal["profile", "ladder", "data"]
SUFFIX = ".toml"
MOST_IMAGES = 1 << 14
_PACKAGE = Path(__file__).parents[1]
_KEYS = ("method", "percentile", "images", "sizes", "seed", "keep_fp32")


@dataclass(frozen=True, kw_only=True)
class CalibrationRecipe:
    """How INT8 ranges are collected.

    ``sizes``: ``profile`` spreads them evenly (in the logarithm) over each profile, ``ladder`` takes the
    steps of its ladder in turn, ``data`` leaves every image as it comes; or the sizes themselves, in turn.
    """

    path: Path
    method: Method
    images: int
    sizes: SizesWord | tuple[Size, ...] = "profile"
    seed: int = 0
    keep_fp32: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file."""
        return sha256_of_file(self.path)

    def as_json(self) -> dict[str, Any]:
        """The recipe as the report names it."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "method": str(self.method),
            "images": self.images,
            "sizes": self.sizes if isinstance(self.sizes, str) else [str(size) for size in self.sizes],
            "seed": self.seed,
            "keep_fp32": list(self.keep_fp32),
        }


def find_calibration(text: str) -> CalibrationRecipe:
    """What ``--calibration`` means: a recipe's name, or the path of a .toml file.

    Raises:
        UsageError: there is nothing of that name, or the file is not a recipe.
    """
    known = shipped_calibrations()
    path = known.get(text) or Path(text)
    try:
        if path.suffix == SUFFIX and path.is_file():
            return read_calibration(path)
    except OSError as error:
        raise UsageError(
            f"the calibration recipe {text[:80]!r} cannot be read: {error.strerror}",
            cause="it is no path, or it may not be read",
            next=f"name one of {', '.join(known)}, or the path of a {SUFFIX} file",
        ) from None
    if path.suffix == SUFFIX:
        raise UsageError(
            f"there is no file {text}",
            cause="the path is misspelt, or relative to another folder",
            next=f"look at what is there: ls {shlex.quote(str(path.parent))}",
        )
    raise UsageError(
        f"there is no calibration recipe {text!r}",
        cause=f"it is neither a {SUFFIX} file nor one of {', '.join(known)}{nearest(text, known)}",
        next=f"name one of these, or the path of a {SUFFIX} file",
    )


def shipped_calibrations() -> dict[str, Path]:
    """Recipes by name: those in ``calibration/`` of the current folder, then those that came with fcnship."""
    folders = [_PACKAGE / "shipped" / "calibration", _PACKAGE.parents[1] / "calibration", Path("calibration")]
    return {path.stem: path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))}


def read_calibration(path: Path) -> CalibrationRecipe:
    """The recipe in a file.

    Raises:
        UsageError: it is no TOML, or a key is unknown, missing or wrong.
        OSError: it cannot be read.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"is no TOML: {error}") from None
    for key in table:
        if key not in _KEYS:
            raise _wrong(path, f"has an unknown key {key!r}{nearest(key, _KEYS)}")
    return CalibrationRecipe(
        path=path,
        method=_method(path, table),
        images=_whole(path, table, "images", None, 1, MOST_IMAGES),
        sizes=_sizes(path, table.get("sizes", "profile")),
        seed=_whole(path, table, "seed", 0, 0, 2**31 - 1),
        keep_fp32=_layers(path, table.get("keep_fp32", [])),
    )


def _method(path: Path, table: Mapping[str, Any]) -> Method:
    name = table.get("method")
    if name is None:
        raise _wrong(path, "method is missing")
    if name not in METHODS:
        close = nearest(name, METHODS) if isinstance(name, str) else ""
        raise _wrong(path, f"method is {name!r}, not one of {', '.join(METHODS)}{close}")
    percentile = table.get("percentile")
    if percentile is None:
        return Method(name=name)
    if name != "percentile":
        raise _wrong(path, f"percentile belongs to the method percentile, and method is {name!r}")
    if isinstance(percentile, bool) or not isinstance(percentile, int | float) or not 50 <= percentile <= 100:
        raise _wrong(path, f"percentile is {percentile!r}, not a number from 50 to 100")
    return Method(name=name, percentile=float(percentile))


def _whole(path: Path, table: Mapping[str, Any], key: str, default: int | None, least: int, most: int) -> int:
    value = table.get(key, default)
    if value is None:
        raise _wrong(path, f"{key} is missing")
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(path, f"{key} is {value!r}, not a whole number from {least} to {most}")
    return value


def _sizes(path: Path, value: Any) -> SizesWord | tuple[Size, ...]:
    words = get_args(SizesWord)
    if isinstance(value, str):
        if value in words:
            return value  # type: ignore[return-value]
        raise _wrong(path, f"sizes is {value!r}, not one of {', '.join(words)}{nearest(value, words)}")
    if not isinstance(value, list) or not value:
        raise _wrong(path, f"sizes is {value!r}, neither {', '.join(words)} nor a list like [28, '40x56']")
    return tuple(_size(path, one) for one in value)


def _size(path: Path, value: Any) -> Size:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _wrong(path, f"sizes has {value!r}, which is neither a whole number nor a text like '28x40'")
    try:
        return Size.parse(str(value))
    except UsageError as error:
        raise _wrong(path, f"sizes: {error.what}") from None


def _layers(path: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _wrong(path, f"keep_fp32 is {value!r}, not a list of Keras layers' names")
    return tuple(dict.fromkeys(value))


def _wrong(path: Path, what: str) -> UsageError:
    return UsageError(
        f"{path}: {what}",
        cause="the file is not a calibration recipe, or not a whole one",
        next="compare it with calibration/default.toml",
    )
