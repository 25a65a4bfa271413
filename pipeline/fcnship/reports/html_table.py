"""HTML tables and the small pieces that stand in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fcnship.reports.figures import ABSENT
from fcnship.reports.markup import Markup, element

_SHORT_SHA = 12


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], label: str, right: Sequence[int] = ()
) -> Markup:
    """A table whose first column heads its rows; it scrolls by itself where the page is too narrow.

    Args:
        heads: the column's names.
        rows: the cells; text is escaped.
        label: what the table is, for those who cannot see it.
        right: the columns of numbers.
    """
    kinds = ["number" if column in right else None for column in range(len(heads))]
    columns = list(zip(heads, kinds, strict=True))
    head = element("tr", *(element("th", name, scope="col", class_=kind) for name, kind in columns))
    body = [
        element(
            "tr",
            element("th", cells[0], scope="row"),
            *(element("td", cell, class_=kind) for cell, kind in zip(cells[1:], kinds[1:], strict=True)),
        )
        for cells in rows
    ]
    return scrolling(element("table", element("thead", head), element("tbody", *body)), label)


def stacked_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], label: str, right: Sequence[int] = ()
) -> Markup:
    """A table that becomes a list of cards on a phone, each cell after its column's name.

    The roles are written out because the cards' style sheet takes the table's own away.
    """

    def cell(tag: str, column: int, text: str, **attributes: str) -> Markup:
        kinds = ["absent"] if text == ABSENT else []
        kinds += ["number"] if column in right else []
        kind = " ".join(kinds) or None
        return element(tag, text, class_=kind, data_head=heads[column] or None, **attributes)

    names = [
        element("th", h, scope="col", role="columnheader", class_="number" if i in right else None)
        for i, h in enumerate(heads)
    ]
    body = [
        element(
            "tr",
            element("th", cells[0], scope="row", role="rowheader"),
            *(cell("td", i, text, role="cell") for i, text in enumerate(cells[1:], start=1)),
            role="row",
        )
        for cells in rows
    ]
    head = element("thead", element("tr", *names, role="row"), role="rowgroup")
    body_part = element("tbody", *body, role="rowgroup")
    return scrolling(element("table", head, body_part, role="table", class_="stack"), label)


def scrolling(content: Markup, label: str) -> Markup:
    """A region that scrolls sideways, so that the page does not."""
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def folded(title: str, *content: str) -> Markup:
    """Content that opens on a click, and in print."""
    return element("details", element("summary", title), *content)


def section(title: str, name: str, *content: str | None) -> Markup:
    """A part of the page under its heading."""
    return element("section", element("h2", title, id=name), *content, aria_labelledby=name)


def definitions(pairs: Iterable[tuple[str, str]], class_: str = "facts") -> Markup:
    """Terms and what they are."""
    items = [element("div", element("dt", term), element("dd", text)) for term, text in pairs]
    return element("dl", *items, class_=class_)


def status(word: str) -> Markup:
    """A word that tells how something came out; its colour only repeats it."""
    kinds = {"done": "good", "run": "good", "faster": "good", "pass": "good"}
    kinds |= {"failed": "bad", "fail": "bad", "slower": "bad", "skipped": "dim", "not run": "dim"}
    return element("span", word, class_=f"status {kinds.get(word, 'dim')}")


def sha(digest: str | None) -> Markup:
    """The first digits of a SHA-256, the whole on a click."""
    if not digest:
        return element("span", "-")
    summary = element("summary", element("code", digest[:_SHORT_SHA]))
    return element("details", summary, element("code", digest), class_="sha")
