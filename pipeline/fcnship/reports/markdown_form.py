"""Markdown's own forms: tables, folded parts and text that cannot become markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from fcnship.reports.printable import one_line

Cells = Sequence[str]
_MARKS = re.compile(r"([\\`*_\[\]|~#])")


def table(heads: Cells, rows: Iterable[Cells], right: Sequence[int] = ()) -> str:
    rules = ["---:" if column in right else "---" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows))


def folded(title: str, body: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n\n{body}\n\n</details>"


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return _MARKS.sub(r"\\\1", escape(one_line(text), quote=False))
