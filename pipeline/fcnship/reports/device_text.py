"""The devices in Markdown and on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fcnship.reports.device_facts import (
    EXPLANATION,
    HEADS,
    STATE_HEADS,
    TITLE,
    DeviceFacts,
    device_facts,
)
from fcnship.reports.figures import ABSENT, ms_text, where_text
from fcnship.reports.markdown_form import escaped, folded, table
from fcnship.reports.order import Report
from fcnship.reports.summary import key_latency


def device_blocks(report: Report) -> list[str]:
    """Markdown; nothing where nothing was deployed."""
    found = device_facts(report)
    if not found:
        return []
    rows = [tuple(map(escaped, (device.host, *device.overview))) for device in found]
    return [f"### {TITLE}", table(HEADS, rows), *map(_folded, found), EXPLANATION]


def _folded(device: DeviceFacts) -> str:
    facts = table(("", ""), [(escaped(term), escaped(text)) for term, text in device.facts])
    state = table(STATE_HEADS, [tuple(map(escaped, row)) for row in device.state], right=(1, 2))
    return folded(device.host, f"{facts}\n\n{state}" if device.state else f"{facts}\n\nIt was not timed.")


def print_devices(report: Report, console: Console) -> None:
    """A paragraph for each device, for a terminal of 80 columns; what is not known is left out."""
    for device in device_facts(report):
        console.print()
        console.print(Text(f"Device {device.host}", style="bold"))
        for line in (*_lines(device), *_times(report, device)):
            console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))


def _lines(device: DeviceFacts) -> list[str]:
    lines = [f"{term}: {text}" for term, text in device.facts if text != ABSENT]
    if not device.power:
        return [*lines, "It was not timed."]
    known = [row for row in device.power if set(row[1:]) != {ABSENT}]
    lines += [f"{name}: {_change(before, after)}" for name, before, after in known]
    named = (("Clocks", device.clocks), ("Temperatures", device.temperatures))
    for kind, rows in named:
        told = [f"{name} {_change(before, after)}" for name, before, after in rows]
        lines += [f"{kind}, before and after the bench: {'; '.join(told)}"] if told else []
    return lines


def _times(report: Report, device: DeviceFacts) -> list[str]:
    """Its latency at the ends and the optimum of the profiles, or wherever it was timed."""
    own = [row for row in report["latency"] if row["variant"] == device.variant]
    rows = key_latency({**report, "latency": own})
    told = [f"{ms_text(row['p50_ms'])} at {where_text(row)}" for row in rows]
    return [f"Median times: {', '.join(told)}"] if told else []


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"
