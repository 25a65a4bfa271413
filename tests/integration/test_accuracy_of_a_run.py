"""Accuracy over the range and its gate, on a real build. A new floor measures nothing."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from builds import BUILD_TINY, built, fcnship, read, redone, sha256

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


def test_a_run_of_another_version_is_measured_again(tiny_copy: Path) -> None:
    """Its latency.json says what an older fcnship wrote there: all but when it was measured."""
    run = tiny_copy / RUN
    timed = read(run / "latency.json")
    del timed["measured"]
    (run / "latency.json").write_text(json.dumps(timed), encoding="utf-8")
    records, file = read(run / "run.json"), run / "latency.json"
    for artifact in next(s for s in records["stages"] if s["name"] == "validate")["artifacts"]:
        if artifact["path"] == "latency.json":
            artifact |= {"bytes": file.stat().st_size, "sha256": sha256(file)}
    (run / "run.json").write_text(json.dumps(records), encoding="utf-8")
    done = fcnship("report", str(RUN), cwd=tiny_copy)
    assert done.returncode == 8
    assert "latency.json has no 'measured'" in done.stderr
    assert f"measure again: fcnship validate {run}\n" in done.stderr
    assert "Traceback" not in done.stderr
    built("validate", str(RUN), cwd=tiny_copy)
    built("report", str(RUN), cwd=tiny_copy)


def test_the_range_of_pixels_is_measured_at_a_size_where_the_network_is_right() -> None:
    """Stripes of two pixels, told apart by a difference over four: at 8x8 it is 0 in every range."""
    import keras
    from keras import layers

    from fcnship.data import Dataset
    from fcnship.graph.facts import facts_of
    from fcnship.stages.value_range import measured_value_range

    labels = np.arange(96) % 2
    stripes = np.tile(np.arange(8) // 2 % 2 * 16.0, (8, 1)).astype(np.float32)
    images = np.stack([stripes.T if label else stripes for label in labels])[..., None]
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(2, 5, activation="relu", use_bias=False, name="across")(
        layers.Rescaling(1 / 255)(image)
    )
    scores = layers.Rescaling(40.0)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Softmax()(scores))
    kernel = np.zeros((5, 5, 1, 2), np.float32)
    kernel[2, 0, 0, 0] = kernel[0, 2, 0, 1] = 1
    kernel[2, 4, 0, 0] = kernel[4, 2, 0, 1] = -1
    model.get_layer("across").set_weights([kernel])
    data = Dataset(
        name="stripes",
        x_train=images,
        y_train=labels,
        x_test=images,
        y_test=labels,
        value_range=(0, 16),
    )
    assert measured_value_range(model, facts_of(model), data) == (0, 255)
