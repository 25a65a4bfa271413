"""Accuracy over the range and its gate, on a real build. A new floor measures nothing."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from builds import BUILD_TINY, built, fcnship, read, redone

RUN = Path("artifacts/tiny")
SIDES = (8, 10, 11, 13, 16)


def test_every_variant_is_measured_on_a_curve_and_a_grid(tiny_folder: Path) -> None:
    report = read(tiny_folder / RUN / "report.json")
    ran = {row["variant"] for row in report["variants"] if row["status"] == "run"}
    places = {(row["variant"], row["height"], row["width"]) for row in report["accuracy"]}
    assert places >= {(variant, h, w) for variant in ran for h in SIDES for w in SIDES}
    assert {row["images"] for row in report["accuracy"]} == {360}, "digits has no more"
    page = (tiny_folder / RUN / "report.html").read_text(encoding="utf-8")
    assert "Over height and width" in page
    assert "360 test images in each cell" in page
    by_variant = {
        variant: [r["accuracy"] for r in report["accuracy"] if r["variant"] == variant] for variant in ran
    }
    assert by_variant["savedmodel"] == by_variant["keras"]


def test_a_floor_that_is_not_reached_ends_with_code_5_and_names_the_worst_size(tiny_copy: Path) -> None:
    done = fcnship(*BUILD_TINY, "--min-accuracy", "0.99", cwd=tiny_copy)
    assert done.returncode == 5
    assert redone(done) == ["report"]
    report = read(tiny_copy / RUN / "report.json")
    assert (report["verdict"], {reason["code"] for reason in report["reasons"]}) == ("fail", {5})
    original = [row for row in report["accuracy"] if row["variant"] == "keras"]
    worst = min(original, key=lambda row: (row["accuracy"], row["height"], row["width"]))
    text = report["reasons"][0]["text"]
    assert "right less than 99 % of the time at" in text
    assert f"worst at {worst['height']}x{worst['width']}: " in text
    assert " of 360 images (95 % interval " in text
    assert text in done.stderr
    assert "the variant is less often right than was asked for" in done.stderr
    root = ET.parse(tiny_copy / RUN / "junit.xml").getroot()
    failed = next(suite for suite in root if suite.attrib["name"] == "accuracy").attrib["failures"]
    assert int(failed) == sum(not row["passed"] for row in report["accuracy"]) > 0
    assert report["must_not_use"][0]["variants"][0] == "keras"
    assert fcnship("report", str(RUN), cwd=tiny_copy).returncode == 5, "the gate is kept with the run"
    low = built(*BUILD_TINY, "--min-accuracy", "0.01", cwd=tiny_copy)
    assert redone(low) == ["report"]
    assert all(row["passed"] for row in read(tiny_copy / RUN / "report.json")["accuracy"])
