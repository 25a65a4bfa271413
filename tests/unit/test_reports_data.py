"""What a report says of its data."""

from __future__ import annotations

from typing import Any

import pytest

from fcnship.reports.data_rows import data_rows

DIGITS: dict[str, Any] = {"name": "digits", "train": 1437, "test": 360, "sha256": "0"}
SIZES = {"different": 40, "smallest": [24, 31], "largest": [480, 640]}
FOLDER = {**DIGITS, "name": "birds", "fit": "bucket", "sizes": SIZES, "buckets": 7, "letterboxed": 0}


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (DIGITS, [("Data", "digits: 1,437 to train, 360 to test")]),
        (
            {**DIGITS, "fit": "bucket", "sizes": {"different": 1, "smallest": [8, 8], "largest": [8, 8]}},
            [("Data", "digits: 1,437 to train, 360 to test"), ("Image sizes", "all 8x8")],
        ),
        (
            {**FOLDER, "calibration": 100, "letterboxed": 3, "unused_folders": ["val"]},
            [
                ("Data", "birds: 1,437 to train, 360 to test, 100 to calibrate"),
                (
                    "Image sizes",
                    "40 sizes from 24x31 to 480x640; 7 shapes to train with, "
                    "3 images of a shape that no profile holds lie on a background",
                ),
                ("Not used", "val"),
            ],
        ),
        (
            {**FOLDER, "fit": "letterbox"},
            [
                ("Data", "birds: 1,437 to train, 360 to test"),
                (
                    "Image sizes",
                    "40 sizes from 24x31 to 480x640; letterboxed: shapes are kept, on a background",
                ),
            ],
        ),
    ],
    ids=["older report", "array", "folder", "letterboxed"],
)
def test_the_facts_of_the_data(data: dict[str, Any], rows: list[tuple[str, str]]) -> None:
    assert data_rows(data) == rows


def test_pictures_of_two_classes_are_counted() -> None:
    twice = {
        **FOLDER,
        "in_two_classes": 2,
        "in_two_classes_files": [["a/1.png", "b/1.png"], ["a/2.png", "b/3.png"]],
    }
    assert dict(data_rows(twice))["In two classes"] == "2 pictures, first a/1.png = b/1.png"


def test_files_that_were_left_out_are_named_and_counted() -> None:
    bad = [{"path": f"cat/{number}.png", "reason": "is empty (0 bytes)"} for number in range(8)]
    named = "; ".join(f"cat/{number}.png is empty (0 bytes)" for number in range(5))
    skipped = {**FOLDER, "skipped": 8, "skipped_files": bad}
    assert dict(data_rows(skipped))["Left out"] == f"{named}; and 3 more"
    one = {**FOLDER, "skipped": 1, "skipped_files": bad[:1]}
    assert dict(data_rows(one))["Left out"] == "cat/0.png is empty (0 bytes)"
