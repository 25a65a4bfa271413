"""Numbers with their nouns, for messages."""

from __future__ import annotations

_PLURALS = {"class": "classes"}


def counted(number: int, noun: str) -> str:
    """``1 class``, ``10 classes``, ``3 channels``."""
    return f"{number:,} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"
