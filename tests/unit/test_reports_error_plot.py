"""The plot of error over size: a share of the tolerance for each variant, failures visible by their shape."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fcnship.reports.html import html_text
from fcnship.reports.html_axis import share_axis
from fcnship.reports.html_error import error_plot

DATA = Path(__file__).parents[1] / "data" / "report"


def sample(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((DATA / f"{name}.in.json").read_text(encoding="utf-8"))
    return report


def row(height: int, error: float, width: int = 0, **more: Any) -> dict[str, Any]:
    facts = {"variant": "onnx-fp32", "reference": "keras", "batch": 1, "mean_abs": error, "cosine": 1.0}
    size = {"height": height, "width": width or height, "max_abs": error, "tolerance": 1.0}
    return {**facts, **size, "argmax_flips": 0, "floors": error * 16, "passed": error <= 1, **more}


def drawn(*rows: dict[str, Any]) -> str:
    """The wide plot of these rows."""
    return error_plot({**sample("pass"), "parity": list(rows)}).partition('class="plot narrow"')[0]


def columns(text: str) -> list[str]:
    return re.findall(r'class="column" tabindex="0" role="img" aria-label="(.*?)"', text)


def test_every_size_can_be_pointed_at_and_tells_share_and_error() -> None:
    text = drawn(row(28, 0.25), row(56, 0.5), row(224, 0.125))
    assert columns(text) == [
        "28. onnx-fp32: 25 %, 0.25",
        "56. onnx-fp32: 50 %, 0.5",
        "224. onnx-fp32: 12 %, 0.125",
    ]
    assert "the tolerance" in text
    assert 'class="fails"' not in text


def test_a_failure_has_a_cross_and_a_word() -> None:
    text = drawn(row(28, 0.25), row(56, 3.0), row(224, 0.5, passed=False))
    assert text.count('class="fails"') == 3, "two points and the legend's sample"
    assert columns(text)[1:] == ["56. onnx-fp32: fails, 3.00x, 3", "224. onnx-fp32: fails, 50 %, 0.5"]
    assert "<li>" in text
    assert "failed</li>" in text


@pytest.mark.parametrize("error", ["nan", "inf"])
def test_what_is_no_number_is_drawn_at_the_top(error: str) -> None:
    text = drawn(row(28, 0.25), {**row(224, 1.0, passed=False), "max_abs": error})
    top = re.search(r'y="([\d.]+)" class="tick end">NaN, inf<', text)
    assert top
    cross = re.search(r'd="M([\d.]+) ([\d.]+)l10 10m0 -10l-10 10" class="fails"/></g>', text)
    assert cross
    assert float(cross[2]) + 5 == float(top[1]) - 4
    assert "NaN" in columns(text)[1] or "inf" in columns(text)[1]


def test_an_error_of_nothing_is_drawn_at_the_bottom() -> None:
    text = drawn(row(28, 0.0), row(224, 1e-9))
    assert "\u2264 0.01 %" in text
    assert columns(text) == ["28. onnx-fp32: 0 %, 0", "224. onnx-fp32: &lt;0.1 %, 1e-09"]


def test_of_several_batches_the_worst_is_drawn() -> None:
    text = drawn(row(28, 0.25), row(28, 0.75, batch=8), row(28, 0.5, batch=4), row(224, 0.1))
    assert columns(text)[0] == "28. onnx-fp32: 75 %, 0.75"


def test_sizes_that_are_not_square_are_dots_beside_the_line() -> None:
    text = drawn(row(28, 0.25), row(100, 0.5, 110), row(224, 0.125))
    assert text.count('class="dot') == 1
    lines = re.findall(r'd="M[^"HV]*" class="line', text)
    assert [line.count("L") for line in lines] == [1], "two squares on the line"
    assert ">100x110</text>" not in text.partition('class="column"')[0], "the axis names squares"
    only = drawn(row(28, 0.25, 30), row(100, 0.5, 110))
    assert 'class="dot' not in only


def test_sizes_that_a_pointer_cannot_tell_apart_share_a_note_that_names_the_worst() -> None:
    near = [row(100, 0.1), row(100, 0.6, 101), row(101, 0.2)]
    (_, together, _) = columns(drawn(row(28, 0.1), *near, row(224, 0.1)))
    assert together == "worst of 3 sizes, 100 to 101. onnx-fp32: 60 %, 0.6 at 100x101"


def test_several_references_are_told_apart() -> None:
    text = drawn(row(28, 0.1), row(56, 0.1), row(28, 0.2, reference="original"))
    assert "onnx-fp32 against keras" in text
    assert "onnx-fp32 against original" in text


def test_the_table_under_it_has_the_worst_of_each_variant() -> None:
    text = html_text(sample("fail"))
    table = text.partition('aria-label="The worst of each variant"')[2].partition("</table>")[0]
    cells = [re.sub("<.*?>", "|", line) for line in re.findall(r"<tr.*?</tr>", table)]
    assert [re.sub(r"\|+", "|", line) for line in cells] == [
        "|variant|against|failed|worst share|at|error|tolerance|x noise|",
        "|onnx-fp16|keras|0 of 6|17 %|224x320|0.000348|0.002|-|",
        "|onnx-int8|keras|3 of 6|NaN|224x320|nan|0.02|-|",
        "|device-fp16@orin|keras|0 of 4|26 %|128x128|0.00052|0.002|-|",
    ]


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ((0.2, 0.4), 0.1, 1.0),
        ((0.004, 30.0), 0.001, 100.0),
        ((0.0, 0.5), 1e-4, 1.0),
        ((1e-20, 1e14), 1e-4, 1e14),
        ((), 0.1, 1.0),
    ],
)
def test_the_axis_has_the_tolerance_on_it_and_few_ticks(
    values: tuple[float, ...], low: float, high: float
) -> None:
    axis = share_axis(values)
    assert axis.ticks[0] <= low * 1.0001
    assert axis.ticks[-1] >= high * 0.9999
    assert 2 <= len(axis.ticks) <= 9
    assert any(tick == pytest.approx(1.0) for tick in axis.ticks)
    assert "100 %" in map(axis.text, axis.ticks)
    assert (axis.share(0.0), axis.share(float("inf"))) == (0.0, 1.0)
