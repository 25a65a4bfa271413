"""The devices on the report's page: an overview, and for each what it is and its state around the bench."""

from __future__ import annotations

from fcnship.reports.device_facts import (
    EXPLANATION,
    HEADS,
    STATE_HEADS,
    TITLE,
    DeviceFacts,
    device_facts,
)
from fcnship.reports.figures import ABSENT
from fcnship.reports.html_table import definitions, folded, section, stacked_table
from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report


def devices_section(report: Report) -> Markup | None:
    """A line for each device, and its facts; of several they are folded. None where nothing was deployed."""
    found = device_facts(report)
    if not found:
        return None
    rows = [tuple(map(_wrapping, (device.host, *device.overview))) for device in found]
    overview = stacked_table(HEADS, rows, "Devices")
    every = [_open(found[0])] if len(found) == 1 else [folded(d.host, _facts(d)) for d in found]
    return section(TITLE, "devices", element("p", EXPLANATION), overview, *every)


def _wrapping(text: str) -> str:
    return text if text == ABSENT else element("span", text, class_="words")


def _open(device: DeviceFacts) -> Markup:
    return joined([element("h3", device.host), _facts(device)])


def _facts(device: DeviceFacts) -> Markup:
    label = f"Power, clocks and temperature of {device.host}"
    state = stacked_table(STATE_HEADS, device.state, label, (1, 2)) if device.state else None
    not_timed = element("p", "It was not timed.", class_="dim")
    return joined([definitions(device.facts), state or not_timed])
