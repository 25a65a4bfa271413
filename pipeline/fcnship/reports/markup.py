"""HTML and SVG elements as text that is escaped unless it was made here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = {"br", "hr", "rect", "line", "circle", "path", "polyline"}


class Markup(str):
    """Text that is markup already. Only ``element`` and ``joined`` make it."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: object) -> Markup:
    """An element; children that are not ``Markup`` are escaped, ``None`` is left out.

    Attribute names lose an underscore at the end (``class_``) and turn the others into hyphens. An
    attribute that is ``None`` is left out.
    """
    pairs = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID and not children:
        return Markup(f"<{tag}{pairs}/>")
    return Markup(f"<{tag}{pairs}>{joined(children)}</{tag}>")


def _attribute(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def joined(parts: Iterable[str | None]) -> Markup:
    """The parts one after another, escaped where they are not ``Markup``."""
    return Markup(
        "".join(part if isinstance(part, Markup) else escape(part) for part in parts if part is not None)
    )
