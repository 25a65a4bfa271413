"""Accuracy over the range in every report: the curve, the map of heights and widths, where not to use it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from fcnship.reports.accuracy_map import accuracy_maps
from fcnship.reports.accuracy_text import curve_lines
from fcnship.reports.console import print_report
from fcnship.reports.html import html_text
from fcnship.reports.junit import junit_text
from fcnship.reports.markdown import markdown_text
from fcnship.sizes import Profile, short
from fcnship.verify.accuracy_grid import accuracy_sizes, curve

DATA = Path(__file__).parents[1] / "data" / "report"
Report = dict[str, Any]


def sample(name: str) -> Report:
    report: Report = json.loads((DATA / f"{name}.in.json").read_text(encoding="utf-8"))
    return report


def measured(*profiles: str, oblong: int = 400, variants: tuple[str, ...] = ("keras",)) -> Report:
    """The good sample with the accuracy rows of a real build of these profiles."""
    wanted = [Profile.parse(text) for text in profiles]
    report = sample("pass")
    report["profiles"] = [profile.as_json() for profile in wanted]
    report["accuracy"] = [
        {
            "variant": variant,
            "height": size.height,
            "width": size.width,
            "images": 2000 if size.height == size.width else oblong,
            "accuracy": 0.97,
        }
        for variant in variants
        for size in accuracy_sizes(wanted)
    ]
    return report


def text_of(report: Report) -> str:
    file = io.StringIO()
    print_report(report, Console(file=file, width=80, no_color=True, highlight=False))
    return file.getvalue()


def section(text: str, name: str) -> str:
    """A section of the page."""
    found = re.search(rf'<section aria-labelledby="{name}">.*?</section>', text, re.DOTALL)
    assert found
    return found[0]


def test_a_map_has_every_height_with_every_width_and_its_images() -> None:
    (found,) = accuracy_maps(measured("28-224", variants=("keras", "savedmodel")))
    assert found.heights == found.widths == [28, 47, 79, 133, 224]
    assert len(found.rows) == 25
    assert found.caption == "keras, savedmodel. 400 test images in each cell, 2,000 in the square ones"
    (even,) = accuracy_maps(measured("28-224", oblong=2000))
    assert even.caption == "keras. 2,000 test images in each cell"


def test_variants_that_are_right_alike_share_a_map() -> None:
    report = measured("28-224", variants=("keras", "onnx-fp32", "onnx-int8"))
    report["accuracy"][-1]["accuracy"] = 0.9
    assert [found.variants for found in accuracy_maps(report)] == [["keras", "onnx-fp32"], ["onnx-int8"]]


def test_each_profile_has_its_map_and_a_single_size_none() -> None:
    report = measured("28-56", "112x64-224x128", "300")
    heights = [found.heights for found in accuracy_maps(report)]
    assert heights == [[28, 33, 40, 47, 56], [112, 133, 158, 188, 224]]
    assert accuracy_maps(measured("64")) == accuracy_maps(measured("64x32-64x128")) == []


def test_profiles_that_overlap_have_each_a_map_without_holes() -> None:
    found = accuracy_maps(measured("28-224", "64-112", "40x100-80x300"))
    assert [len(each.rows) for each in found] == [25, 25, 25]
    assert [(each.heights[0], each.widths[-1]) for each in found] == [(28, 224), (64, 112), (40, 300)]


def test_the_page_draws_every_cell_and_marks_where_not_to_use_it() -> None:
    report = measured("28-224")
    report["accuracy"][4]["accuracy"] = 0.5
    told = {"text": "Do not use the network at 28x224", "variants": ["keras"], "sizes": [[28, 224]]}
    plain, marked = html_text(report), html_text(report | {"must_not_use": [told]})
    heat = section(marked, "accuracy").partition("Over height and width")[2]
    assert heat.count('class="column" tabindex="0"') == 25
    assert heat.count(">97.0<") == 24
    label = "28x224, height x width: 50.00 % of 400 images, 95 % interval 45.1 to 54.9 %"
    assert f'aria-label="{label}, must not be used"' in heat
    assert f'aria-label="{label}"' in plain
    assert (marked.count('class="edge"'), plain.count('class="edge"')) == (1, 0)
    assert "<li>" in heat
    assert ("must not be used</li>" in heat, "must not be used</li>" in plain) == (True, False)


@pytest.mark.parametrize("profile", ["28-224", "28x40-224x320", "28x100-90x320"])
def test_the_curve_is_of_squares_or_else_of_the_diagonal(profile: str) -> None:
    wanted = [short(size) for size in curve(Profile.parse(profile))]
    drawn = section(html_text(measured(profile)), "accuracy").partition("Over height and width")[0]
    wide = drawn.partition('class="plot narrow"')[0]
    assert re.findall(r'role="img" aria-label="(\w+)\. ', wide) == wanted
    assert len(wanted) == 9
    assert "Sizes beside the curve" not in drawn


def test_where_not_to_use_it_comes_first() -> None:
    report = sample("fail")
    first, second = (told["text"] for told in report["must_not_use"])
    page, summary, console = html_text(report), markdown_text(report), text_of(report)
    assert page.index(first) < page.index(second) < page.index("What is wrong, and what to do")
    assert summary.index(first) < summary.index("What is wrong, and what to do")
    flat = " ".join(console.split())
    assert flat.index(first) < flat.index("1. onnx-int8 disagrees")
    verdict = next(ET.fromstring(junit_text(report).encode()).iter("testcase"))
    assert [node.text for node in verdict.iter("system-out")][:2] == [f"{first}.", f"{second}."]


@pytest.mark.parametrize("render", [html_text, markdown_text, junit_text, text_of])
def test_a_report_from_before_has_no_such_list(render: Any) -> None:
    report = sample("fail")
    del report["must_not_use"]
    assert "Do not use" not in render(report)
    assert "Where not to use it" not in render(report | {"must_not_use": []})


def test_what_is_below_the_floor_fails_in_every_form() -> None:
    report = sample("fail")
    page, summary = section(html_text(report), "accuracy"), markdown_text(report)
    assert "the floor, 95 %" in page
    assert 'class="fails"' in page.partition("Over height and width")[0], "a cross on the curve"
    assert "fails, 86.67 %" in page
    assert "| onnx-int8 | 224x224 | 86.67 % | 85.1 to 88.1 % | 2,000 | **fail** |" in summary
    assert "| **32** | 97.1 | 96.8 | ~~91.0~~ |" in summary
    cases = {
        (case.attrib["classname"], case.attrib["name"]): case.find("failure")
        for case in ET.fromstring(junit_text(report).encode()).iter("testcase")
    }
    failed = cases["fcnship.accuracy.onnx-int8", "224x224"]
    assert failed is not None
    assert failed.attrib["message"] == (
        "onnx-int8 at 224x224: accuracy 86.67 % over 2000 images (95 % interval 85.1 to 88.1 %), "
        "the floor is 95.00 %"
    )
    assert cases["fcnship.accuracy.keras", "224x224"] is None
    assert "the floor" not in section(html_text(sample("pass")), "accuracy")


def test_a_terminal_and_a_job_summary_have_the_curve_and_a_terminal_the_map() -> None:
    report = sample("fail")
    text, summary = text_of(report), markdown_text(report)
    bars = ["  32x32   96.88 %  ########################        onnx-int8"]
    bars += ["224x224   86.67 %  ###                             onnx-int8, do not use"]
    for bar in bars:
        assert bar in text.splitlines() and bar in summary.splitlines()
    assert "   32  96.9   96.2   90.5*" in [line.rstrip() for line in text.splitlines()]
    assert "* must not be used there" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_curve_in_letters_is_of_the_lowest_variant_and_says_what_fails() -> None:
    report = measured("28-224", variants=("keras", "onnx-fp32"))
    assert [line.split()[:3:2] for line in curve_lines(report)[1:3]] == [["28x28", "%"], ["36x36", "%"]]
    assert curve_lines(report)[1].rstrip("#") == "  28x28   97.00 %  "
    report["accuracy"][-1] |= {"accuracy": 0.5, "floor": 0.9, "passed": False}
    assert curve_lines(report)[-1].split() == ["224x224", "50.00", "%", "onnx-fp32,", "below", "the", "floor"]
    for row in report["accuracy"]:
        row["accuracy"] = "nan"
    assert curve_lines(report) == []
    assert "Accuracy over image size" not in text_of(report)


def test_a_variants_name_does_not_end_the_block_that_the_curve_is_in() -> None:
    report = measured("28-224", variants=("keras", "```\n# onnx"))
    report["accuracy"][-1]["accuracy"] = 0.5
    block = markdown_text(report).partition("```text\n")[2].partition("\n```\n")[0]
    assert "'''" in block and len(block.splitlines()) == 10


@pytest.mark.parametrize("profile", ["64", "28x14-56x20", "64x32-64x128", "28x100-90x320"])
def test_every_kind_of_profile_is_drawn_at_80_columns(profile: str) -> None:
    report = measured(profile)
    lines = text_of(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert ("Accuracy over image size, the lowest of the variants" in text_of(report)) == (profile != "64")
