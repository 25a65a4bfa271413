"""Text from outside cannot add markup, steer a terminal or break a parser; numbers read as they should."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from fcnship.reports.console import print_report
from fcnship.reports.figures import (
    bytes_text,
    ms_text,
    percent_text,
    ratio_text,
    seconds_text,
    share_text,
    side_text,
    tolerance_text,
)
from fcnship.reports.html import html_text
from fcnship.reports.html_axis import ms_axis, percent_axis
from fcnship.reports.json_report import json_text
from fcnship.reports.junit import junit_text
from fcnship.reports.markdown import markdown_text
from fcnship.reports.order import variant_key

DATA = Path(__file__).parents[1] / "data" / "report"
EVIL = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    "`${x}` | [a](javascript:b) *c* $body \x1b[31m\x00\u202ered \udcff ünï 数 [bold]d[/bold] ]]> &amp;"
)


def sample(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((DATA / f"{name}.in.json").read_text(encoding="utf-8"))
    return report


def evil_report() -> dict[str, Any]:
    """A report in which every text that may come from outside is hostile."""
    report = sample("fail")
    report["name"] = report["fcnship"] = EVIL
    report["reasons"] = [{"code": 4, "text": EVIL}, {"code": 3, "text": EVIL, "next": EVIL}]
    report["warnings"] = [EVIL]
    report["environment"] |= dict.fromkeys(("python", "platform", "cpu", "gpu"), EVIL)
    report["environment"]["libraries"] = {EVIL: EVIL}
    report["model"] |= {"name": EVIL, "labels": [EVIL]}
    report["data"] |= {"name": EVIL, "sha256": EVIL}
    report["variants"][0] |= dict.fromkeys(("path", "sha256", "reason"), EVIL) | {"status": "not run"}
    for table in ("variants", "parity", "accuracy", "latency"):
        report[table][0]["variant"] = f"{EVIL}{table}"
    report["parity"][1]["reference"] = EVIL
    report["stages"][0] |= {"name": EVIL, "reason": EVIL, "status": "failed"}
    report["stages"][0]["artifacts"][0] |= {"path": EVIL, "sha256": EVIL}
    report[EVIL] = {EVIL: EVIL}
    return report


class Page(HTMLParser):
    """Collects tags, attributes and whether every element is closed."""

    VOID = ("meta", "br", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("make", [evil_report, lambda: sample("pass"), lambda: sample("fail")])
def test_html_is_well_formed_and_holds_no_script_and_no_address(make: Callable[[], dict[str, Any]]) -> None:
    page = Page(html_text(make()))
    assert not page.open
    assert not page.tags & {"script", "img", "iframe", "object", "embed", "link", "a", "form", "base"}
    names = {name for name, _ in page.attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "href", "style", "srcset")]
    assert not [
        value for _, value in page.attributes if value and value.strip().lower().startswith("javascript")
    ]


def test_html_shows_hostile_text_as_text() -> None:
    text = html_text(evil_report())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "$body" in text
    assert "url(" not in text and "@import" not in text and "http://" not in text and "https://" not in text


def test_markdown_escapes_what_would_be_markup() -> None:
    text = markdown_text(evil_report())
    assert "<script" not in text and "<img" not in text
    assert "[a](" not in text.replace("\\[a\\](", "")
    widths = [line.replace("\\|", "").count("|") for line in text.split("\n") if line.startswith("| ")]
    assert set(widths) <= {3, 4, 5, 6, 7, 8, 9, 10, 11, 12}


def test_junit_stays_well_formed() -> None:
    root = ET.fromstring(junit_text(evil_report()).encode())
    assert any(r"\x1b[31m\x00\u202ered \udcff" in case.attrib["name"] for case in root.iter("testcase"))


@pytest.mark.parametrize("render", [html_text, markdown_text, junit_text])
def test_no_control_character_reaches_a_reader(render: Callable[[dict[str, Any]], str]) -> None:
    text = render(evil_report())
    text.encode()
    assert not [char for char in text if char < " " and char not in "\n\t"] and "\u202e" not in text


def test_json_can_be_encoded_and_read_back() -> None:
    assert json.loads(json_text(evil_report()).encode())["name"] == EVIL.replace("\udcff", "\\udcff")


def test_console_prints_markup_as_text_and_no_escape_sequence() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor")
    print_report(evil_report(), console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[31m\x00" not in text and "\x00" not in text and "\u202e" not in text
    assert "[bold]d" in text


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    print_report(sample("fail"), console)
    assert "\x1b[3" not in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("render", [html_text, markdown_text, junit_text, json_text])
def test_a_report_with_nothing_measured_still_renders(render: Callable[[dict[str, Any]], str]) -> None:
    report = sample("fail")
    tables = ("profiles", "variants", "stages", "parity", "accuracy", "latency", "warnings")
    assert render(report | {table: [] for table in tables})


@pytest.mark.parametrize("table", ["accuracy", "latency"])
def test_sizes_that_are_not_square_make_the_curve_where_there_are_no_squares(table: str) -> None:
    report = sample("pass")
    for row in report[table]:
        row["width"] = row["width"] * 4 // 3
    text = html_text(report)
    assert "placed by the square root of its pixels" in text
    assert "224x298" in text


def test_one_size_alone_is_drawn() -> None:
    report = sample("pass")
    for table in ("accuracy", "latency", "parity"):
        report[table] = [row for row in report[table] if row["height"] == row["width"] == 28]
    report["profiles"] = [{"min": [28, 28], "opt": [28, 28], "max": [28, 28], "batch": [1, 1, 1]}]
    text = html_text(report)
    assert "28x28 only, batch 1" in text and "nan" not in text.lower()


def test_many_sizes_are_folded_and_the_worst_shown() -> None:
    report = sample("pass")
    row = report["parity"][0]
    report["parity"] = [row | {"height": 28 + i, "width": 30, "max_abs": 1e-9 * i} for i in range(200)]
    text = html_text(report)
    shown, _, folded = text.partition("<summary>Every size</summary>")
    assert "The 40 sizes that came closest to the tolerance" in shown
    assert (shown.count('scope="row">227x30'), shown.count('scope="row">30x30')) == (1, 0)
    assert folded.count('scope="row">30x30') == 1


def test_html_names_its_parts_for_those_who_cannot_see() -> None:
    text = html_text(sample("pass"))
    assert text.count("<h1>") == 1
    assert text.count('<section aria-labelledby="') == text.count("<h2 id=") == 7
    assert text.count('class="column"') == text.count('class="column" tabindex="0" role="img" aria-label="')
    assert 'aria-label="28. keras: 98.06 %. savedmodel: 98.06 %. onnx-fp32: 98.06 %"' in text


def test_order_of_variants() -> None:
    names = [
        "engine-int8",
        "zeta",
        "onnx-int8",
        "onnx-fp16",
        "engine-fp32",
        "onnx-fp32",
        "savedmodel",
        "keras",
    ]
    assert sorted(names, key=variant_key) == [
        "keras", "savedmodel", "onnx-fp32", "onnx-fp16", "onnx-int8", "engine-fp32", "engine-int8", "zeta",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (bytes_text(999), "999 B"),
        (bytes_text(1_204_332), "1.2 MB"),
        (bytes_text(999_600), "1.0 MB"),
        (bytes_text(None), "-"),
        (ms_text(0.01934), "0.0193 ms"),
        (ms_text(9.996), "10.0 ms"),
        (ms_text(0.44), "0.440 ms"),
        (ms_text(1520.4), "1520 ms"),
        (ratio_text(0.00687), "0.0069x"),
        (ratio_text(1.0), "1.00x"),
        (ratio_text(None), "-"),
        (seconds_text(0.0), "0.00 s"),
        (seconds_text(119.4), "119 s"),
        (seconds_text(312.2), "5 min 12 s"),
        (percent_text(0.98056), "98.06 %"),
        (side_text([32, 16]), "32x16"),
        (side_text(None), "-"),
    ],
)
def test_figures(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    ("error", "tolerance", "share", "times"),
    [
        (0.0, 1e-5, "0 %", "0x"),
        (1e-9, 1e-5, "<0.1 %", "0.0001x"),
        (4.7e-7, 1e-5, "4.7 %", "0.047x"),
        (1e-5, 1e-5, "100 %", "1x"),
        (3.4e-5, 1e-5, "3.40x", "3.4x"),
        (1e9, 1e-5, "1e+14x", "1e+14x"),
        ("nan", 1e-5, "NaN", "NaN"),
        ("inf", 1e-5, "inf", "inf"),
        (0.0, 0.0, "0 %", "0x"),
        (1e-9, 0.0, "inf", "inf"),
    ],
)
def test_share_of_the_tolerance(error: float | str, tolerance: float, share: str, times: str) -> None:
    row = {"max_abs": error, "tolerance": tolerance}
    assert (share_text(row), tolerance_text(row)) == (share, times)


@pytest.mark.parametrize("low", [0.0, 0.11, 0.5, 0.867, 0.94, 0.964, 1.0])
def test_accuracy_axis_covers_its_values_with_few_ticks(low: float) -> None:
    axis = percent_axis([low, 0.98])
    assert axis.ticks[0] <= low and axis.ticks[-1] == 1.0 and 4 <= len(axis.ticks) <= 7


@pytest.mark.parametrize("values", [(0.0193, 5.03), (1.0, 1.0), (2.0, 50.0), (0.9, 1.1), (0.001, 9000.0)])
def test_latency_axis_covers_its_values(values: tuple[float, float]) -> None:
    axis = ms_axis(values)
    assert axis.ticks[0] <= values[0] and axis.ticks[-1] >= values[1] and 2 <= len(axis.ticks) <= 9
