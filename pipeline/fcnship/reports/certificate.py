"""The certificate of a conversion as every renderer tells it."""

from __future__ import annotations

from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report

TITLE = "Certificate of the conversion"
_WARNING = "WARNING: "


def certificate_lines(report: Report) -> list[str]:
    """The certificate's lines; none where nothing was converted. Its warnings stand with the report's own."""
    certificate = report.get("certificate") or {"lines": []}
    return [line for line in certificate["lines"] if not line.startswith(_WARNING)]


def certificate_list(report: Report) -> Markup | None:
    """The lines as an HTML list."""
    items = [element("li", line) for line in certificate_lines(report)]
    return element("ul", joined(items)) if items else None
