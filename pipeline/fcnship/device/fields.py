"""Reads JSON that a stranger may have written: strictly, with the place in every complaint."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NoReturn

_MOST = 1 << 50
_DIGITS = 20
_TEXT = 1000


class Malformed(ValueError):
    """Something in a JSON text is not as its schema says; the message names the place."""


def strict_json(text: bytes) -> object:
    """A JSON value without duplicate keys, NaN or infinities, huge numbers or bytes that are not UTF-8.

    Raises:
        Malformed: it is not such a text, or is nested too deep.
    """
    try:
        return json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise Malformed(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise Malformed("it is nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Malformed(f"the key {_shown(key)} stands twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is no number")


def _whole(digits: str) -> int:
    # Python 3.10 takes quadratic time over a number of a million digits.
    if len(digits) > _DIGITS:
        raise Malformed(f"a number has {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Malformed(f"{digits[:_DIGITS]} is too large")
    return value


class Record:
    """One JSON object. A reader takes a key, refuses what does not fit, and notes that it was read."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{where} is {_kind(value)}, not an object")
        self.where = where
        self._values = value
        self._read: set[str] = set()

    def place(self, key: str) -> str:
        """A key's place, as messages write it."""
        return f"{self.where}.{key}"

    def any(self, key: str) -> Any:
        """Whatever stands under a key that must be there."""
        self._read.add(key)
        if key not in self._values:
            raise Malformed(f"{self.place(key)} is missing")
        return self._values[key]

    def text(self, key: str, pattern: str = r".+") -> str:
        """Printable text that matches the whole of a pattern."""
        return text_in(self.any(key), self.place(key), pattern)

    def one_of(self, key: str, choices: Iterable[str]) -> str:
        """One of a closed set of words."""
        words = list(choices)
        value = self.any(key)
        if value not in words:
            raise Malformed(f"{self.place(key)} is {_shown(value)}, not one of {', '.join(words)}")
        return str(value)

    def whole(self, key: str, least: int = 0, most: int = _MOST) -> int:
        """A whole number within bounds."""
        return whole_in(self.any(key), self.place(key), least, most)

    def number(self, key: str, least: float = -math.inf) -> float:
        """A finite number."""
        return number_in(self.any(key), self.place(key), least)

    def pair(self, key: str) -> tuple[int, int]:
        """(height, width): one whole number for both, or a list of two; each at least 1."""
        value = self.any(key)
        if not isinstance(value, list):
            side = whole_in(value, self.place(key), 1)
            return side, side
        return self._wholes(value, key, 2)  # type: ignore[return-value]

    def wholes(self, key: str, count: int) -> tuple[int, ...]:
        """A list of so many whole numbers, each at least 1."""
        return self._wholes(self.any(key), key, count)

    def items(self, key: str, least: int = 0, most: int = 100_000) -> list[tuple[Any, str]]:
        """The values of a list, each with its place."""
        value = self.any(key)
        if not isinstance(value, list):
            raise Malformed(f"{self.place(key)} is {_kind(value)}, not a list")
        if not least <= len(value) <= most:
            raise Malformed(f"{self.place(key)} has {len(value)} entries, not {least} to {most}")
        return [(item, f"{self.place(key)}[{index}]") for index, item in enumerate(value)]

    def record(self, key: str) -> Record:
        """The object under a key."""
        return Record(self.any(key), self.place(key))

    def records(self, key: str, least: int = 0, most: int = 100_000) -> list[Record]:
        """The objects of a list."""
        return [Record(item, place) for item, place in self.items(key, least, most)]

    def keys(self) -> list[str]:
        """Every key of the object."""
        return list(self._values)

    def values(self) -> dict[str, Any]:
        """The object as it is, for parts that any content may have."""
        return dict(self._values)

    def closed(self) -> None:
        """Refuse keys that nobody read: what is not understood may not be passed over."""
        unknown = sorted(set(self._values) - self._read)
        if unknown:
            raise Malformed(f"{self.where} has an unknown key {_shown(unknown[0])}")

    def _wholes(self, value: object, key: str, count: int) -> tuple[int, ...]:
        if not isinstance(value, list) or len(value) != count:
            raise Malformed(f"{self.place(key)} is {_shown(value)}, not a list of {count} whole numbers")
        return tuple(whole_in(item, f"{self.place(key)}[{i}]", 1) for i, item in enumerate(value))


def text_in(value: object, where: str, pattern: str = r".+") -> str:
    """A value that is printable text and matches the whole of a pattern; control characters are none."""
    if not isinstance(value, str):
        raise Malformed(f"{where} is {_kind(value)}, not text")
    if len(value) > _TEXT or not value.isprintable() or not re.fullmatch(pattern, value, re.ASCII):
        raise Malformed(f"{where} is {_shown(value)}, which does not fit")
    return value


def whole_in(value: object, where: str, least: int = 0, most: int = _MOST) -> int:
    """A value that is a whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"{where} is {_shown(value)}, not a whole number")
    if not least <= value <= most:
        raise Malformed(f"{where} is {value}, not between {least} and {most}")
    return value


def number_in(value: object, where: str, least: float = -math.inf) -> float:
    """A value that is a finite number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{where} is {_shown(value)}, not a number")
    if value < least:
        raise Malformed(f"{where} is {value}, less than {least:g}")
    return float(value)


def _shown(value: object) -> str:
    """A value as a message may show it: short, and safe for a terminal."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
