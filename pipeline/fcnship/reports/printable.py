"""Text that is safe to show: what would steer a terminal, a parser or a reader's eye is written out."""

from __future__ import annotations

import re
from typing import Any

# Control characters but tab and newline, lone surrogates, the two non-characters that XML forbids, and the
# marks that turn the direction of writing (https://trojansource.codes).
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def printable(value: Any) -> Any:
    """The value with every unsafe character, in strings and keys at any depth, written as ``\\x1b``."""
    match value:
        case str():
            return _UNSAFE.sub(_written_out, value)
        case dict():
            return {printable(key): printable(item) for key, item in value.items()}
        case list() | tuple():
            return [printable(item) for item in value]
        case _:
            return value


def one_line(text: str) -> str:
    """The text on one line, for a table's cell."""
    return " ".join(text.split())


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
