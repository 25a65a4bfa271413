"""The devices in the reports: what each is, its power, clocks and temperatures, whatever it says."""

from __future__ import annotations

import copy
import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fcnship.reports.console import print_report
from fcnship.reports.device_facts import device_facts
from fcnship.reports.html import html_text
from fcnship.reports.json_report import canonical_report
from fcnship.reports.markdown import markdown_text

DATA = Path(__file__).parents[1] / "data" / "report"
Report = dict[str, Any]
# What a report has to say of a Jetson.
FACTS = (
    *("orin", "2026.11.21 (70a565997cf3)", "fp16, TensorRT 10.3.0", "5f0c2d6e8b7a", "84 s"),
    *("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "36.4.3, JetPack 6.2"),
    *("Orin, compute capability 8.7, 8 SMs", "540.4.0, CUDA 12.6", "15W", "918 MHz (306 to 918)"),
    *("730 MHz (730 to 1,510)", "1,510 MHz (730 to 1,510)", "47.5 \u00b0C", "56.5 \u00b0C", "aarch64"),
)


def sample(name: str = "fail") -> Report:
    report: Report = json.loads((DATA / f"{name}.in.json").read_text(encoding="utf-8"))
    return report


def console_text(report: Report, width: int = 80) -> str:
    file = io.StringIO()
    print_report(report, Console(file=file, width=width, no_color=True, highlight=False))
    return file.getvalue()


def section_of(page: str) -> str:
    found = re.search(r'<section aria-labelledby="devices">.*?</section>', page, re.DOTALL)
    return found[0] if found else ""


def plain(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "\n", markup))


def changed(table: str, value: Any) -> Report:
    report = sample()
    report["devices"][0][table] = value
    return report


@pytest.mark.parametrize("render", [html_text, markdown_text, lambda r: console_text(r, 200)])
def test_every_report_tells_what_a_device_is(render: Callable[[Report], str]) -> None:
    text = html.unescape(render(sample()))
    assert [fact for fact in FACTS if fact not in text] == []
    assert "its install failed" in text


def test_a_report_without_devices_says_nothing_of_them() -> None:
    report = sample("pass")
    assert device_facts(report) == []
    assert "evices" not in markdown_text(report) + console_text(report) and not section_of(html_text(report))


def test_one_device_lies_open_and_several_are_folded() -> None:
    report = sample()
    several = section_of(html_text(report))
    assert several.count("<details>") == 2
    report["devices"].pop()
    one = section_of(html_text(report))
    assert "<details>" not in one and "<h3>orin</h3>" in one


def test_names_of_a_device_add_no_markup() -> None:
    report = sample()
    evil = "<script>alert(1)</script>|**x**\x1b[31m\n# head"
    report["devices"] = [report["devices"][0]]
    device = report["devices"][0]
    device["host"] = device["version"] = device["engine"]["key"] = evil
    device["probe"] |= dict.fromkeys(("board", "gpu", "l4t", "tensorrt", "machine"), evil)
    for state in device["power"].values():
        state |= {"power_mode": evil, "temperatures_c": {evil: 40.0}}
        state["clocks"][0]["name"] = evil
    page, summary, text = html_text(report), markdown_text(report), console_text(report)
    assert "<script" not in page + summary and "\x1b" not in page + summary + text
    cells = [line for line in summary.splitlines() if line.startswith("|") and "alert" in line]
    assert cells and not [line for line in cells if "|**x**" in line.replace(r"\|\*\*x\*\*", "")]
    assert not [line for line in summary.splitlines() if line.startswith("# head")]
    assert "alert(1)" in plain(section_of(page))


@pytest.mark.parametrize("value", [None, {}, [], "x", 3, {"before": 7, "after": []}], ids=repr)
@pytest.mark.parametrize("table", ["engine", "probe", "power"])
def test_whatever_a_device_says_is_rendered(table: str, value: Any) -> None:
    report = changed(table, value)
    for render in (html_text, markdown_text, console_text):
        assert "orin" in render(report)
    if value is None or isinstance(value, dict):
        canonical_report(report)


@pytest.mark.parametrize(
    "odd", [None, True, [], {}, "nan", -1, 10**400, 1e300, "x" * 5000], ids=lambda v: str(v)[:8]
)
def test_odd_values_deep_down_are_rendered(odd: Any) -> None:
    report = sample()
    device = report["devices"][0]
    device["probe"] = dict.fromkeys(device["probe"], odd)
    device["engine"] = dict.fromkeys(device["engine"], odd)
    for state in device["power"].values():
        state |= {"power_mode": odd, "clocks_locked": odd, "temperatures_c": {"cpu": odd}}
        state["clocks"] = [dict.fromkeys(state["clocks"][0], odd), odd]
    for render in (html_text, markdown_text, console_text):
        assert "orin" in render(report) and "x" * 1000 not in render(report)


def test_a_device_that_tells_no_temperature_is_not_given_one() -> None:
    report = sample()
    for state in report["devices"][0]["power"].values():
        state |= {"power_mode": None, "temperatures_c": {}, "clocks": [], "clocks_locked": None}
    (found, _) = device_facts(report)
    assert found.overview[-2:] == ("-", "-")
    assert found.state == [("Power mode", "-", "-"), ("Clocks held at one value", "-", "-")]


def test_a_cpu_board_runs_with_onnx_runtime() -> None:
    report = sample()
    device = report["devices"][0]
    device |= {"backend": "onnxruntime", "engine": None}
    fault = "libcuda.so.1 is not installed"
    device["probe"] |= {"gpu": None, "gpu_fault": fault, "onnxruntime": "1.19.2", "board": "Raspberry Pi 5"}
    facts = dict(device_facts(report)[0].facts)
    assert (facts["Runs with"], facts["GPU"]) == ("fp16, ONNX Runtime 1.19.2", f"none: {fault}")
    assert "Engine key" not in facts


def test_a_devices_times_stand_with_it_on_a_terminal_and_are_called_alone_elsewhere() -> None:
    report = sample()
    before, _, after = console_text(report).partition("Device orin")
    assert "Median times: 0.620 ms at 32x32, 0.690 ms at 64x64, 0.970 ms at 128x128" in " ".join(
        after.split()
    )
    assert "device-fp16@orin" not in before.partition("Latency")[2]
    told = "What stands alone was timed by a device itself"
    assert told in html_text(report) and told in markdown_text(report)
    without = copy.deepcopy(report)
    without["latency"] = [row for row in report["latency"] if row["verdict"] != "alone"]
    assert told not in html_text(without) + markdown_text(without)
    assert max(map(len, console_text(report).splitlines())) <= 80
