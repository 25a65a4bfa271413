"""fcnship build --data DIR: from a folder of images of many sizes to a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from builds import TINY, built, fcnship, read, records, redone

from fcnship import api
from fcnship.errors import DataRefused
from image_folders import folder_of, picture, saved

SIZES = ((12, 16), (20, 20), (30, 40), (9, 60))
BUILD = ("build", "tiny.py", "--profile", "8-32", "--data", "birds")
CALIBRATION = 'method = "mse"\nimages = 12\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and images: two bad, some in colour, and some to calibrate with."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "tiny.py").write_text(TINY, encoding="utf-8")
    (folder / "few.toml").write_text(CALIBRATION, encoding="utf-8")
    birds = folder_of(folder / "birds", {"train": 20, "test": 4, "calibration": 10}, SIZES, colour=True)
    saved(birds / "train" / "cat" / "grey.webp", picture(900))
    (birds / "train" / "bird" / "empty.jpg").touch()
    (birds / "test" / "bird" / "notes.txt").write_text("x")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """Built with all precisions, the bad files left out."""
    words = ("--skip-bad", "--precision", "fp32,int8", "--calibration", "few.toml")
    built(*BUILD, *words, cwd=folder)
    return folder / "artifacts" / "tiny"


def test_bad_files_stop_a_build_before_it_trains(folder: Path) -> None:
    done = fcnship(*BUILD, "--name", "strict", cwd=folder)
    assert done.returncode == 3
    assert (
        "birds has 2 files that cannot be used: train/bird/empty.jpg is empty (0 bytes); "
        "test/bird/notes.txt is no PNG, JPEG, BMP or WebP image by its name\n" in done.stderr
    )
    assert list(records(folder / "artifacts" / "strict")) == ["train"]


def test_the_report_says_what_the_folder_holds(run: Path) -> None:
    report = read(run / "report.json")
    data: dict[str, Any] = report["data"]
    assert data["skipped_files"] == [
        {"path": "train/bird/empty.jpg", "reason": "is empty (0 bytes)"},
        {"path": "test/bird/notes.txt", "reason": "is no PNG, JPEG, BMP or WebP image by its name"},
    ]
    counts = {key: data[key] for key in ("train", "test", "calibration", "classes", "skipped", "letterboxed")}
    assert counts == {
        "train": 41,
        "test": 8,
        "calibration": 20,
        "classes": 2,
        "skipped": 2,
        "letterboxed": 10,
    }
    assert data["sizes"] == {"different": 4, "smallest": [12, 16], "largest": [30, 40]}
    assert report["model"]["labels"] == ["bird", "cat"]
    assert report["model"]["channels"] == 3
    for file in ("report.md", "report.html"):
        text = (run / file).read_text(encoding="utf-8")
        assert "birds: 41 to train, 8 to test, 20 to calibrate" in text
        assert "train/bird/empty.jpg is empty (0 bytes)" in text.replace("\\", "")


def test_int8_ranges_come_from_the_calibration_part_alone(run: Path, folder: Path) -> None:
    from fcnship.data import find_data

    data = find_data(str(folder / "birds"), skip_bad=True).load()
    assert data.x_calibration is not None and not isinstance(data.x_calibration, np.ndarray)
    known = {data.x_calibration.sha256(place) for place in range(len(data.x_calibration))}
    used = {image["sha256"] for image in records(run)["int8"]["facts"]["audit"]["images"]}
    assert len(used) == 12
    assert used <= known


def test_the_network_takes_any_size_of_the_profile(run: Path) -> None:
    session = onnxruntime.InferenceSession(run / "onnx" / "fp32.onnx")
    for height, width in ((8, 8), (32, 9), (17, 30)):
        (scores,) = session.run(None, {"image": np.zeros((1, 3, height, width), np.float32)})
        assert scores.shape == (1, 2)


def test_files_are_compared_on_a_folder_with_bad_images(run: Path, folder: Path) -> None:
    files = (run / "keras" / "model.keras", run / "onnx" / "fp32.onnx")
    with pytest.raises(DataRefused, match=r"birds has 2 files that cannot be used: train/bird/empty\.jpg"):
        api.validate(*files, profile="8-16", data=folder / "birds")
    report = api.validate(*files, profile="8-16", data=folder / "birds", skip_bad=True).report
    assert report is not None
    assert (report["data"]["name"], report["data"]["test"], report["data"]["skipped"]) == ("birds", 8, 2)
    assert report["data"]["skipped_files"][0]["path"] == "train/bird/empty.jpg"
    told = "birds: 2 files are left out, first train/bird/empty.jpg, which is empty (0 bytes)"
    assert told in report["warnings"]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, saving
def test_a_conversion_is_proved_on_a_folder_with_bad_images(folder: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((12, 12, 3))
    scores = layers.Dense(2, activation="softmax")(layers.Flatten()(layers.Conv2D(4, 3)(image)))
    keras.Model(image, scores, name="dense").save(folder / "dense.keras")
    words = ("convert", "dense.keras", "-o", "fcn.keras", "--prove", "--data", "birds")
    refused = fcnship(*words, cwd=folder)
    assert refused.returncode == 3
    assert "add --skip-bad, which goes on without them" in refused.stderr
    done = built(*words, "--skip-bad", "--fit", "letterbox", "--json", cwd=folder)
    facts = json.loads(done.stdout)
    assert facts["certificate"]["verdict"] == "proved"
    assert facts["certificate"]["images"]["real"] == 8
    assert facts["notes"] == [
        "birds: 2 files are left out, first train/bird/empty.jpg, which is empty (0 bytes)"
    ]


def test_too_few_images_to_calibrate_are_told_before_the_training(folder: Path) -> None:
    words = ("--skip-bad", "--precision", "fp32,int8", "--name", "few")
    refused = fcnship(*BUILD, *words, cwd=folder)
    assert refused.returncode == 3
    assert "the calibration part of birds has 20 different ones" in refused.stderr
    assert list(records(folder / "artifacts" / "few")) == ["train"]


def test_nothing_is_built_again_and_a_changed_image_is_noticed(run: Path, folder: Path) -> None:
    words = ("--skip-bad", "--precision", "fp32,int8", "--calibration", "few.toml")
    assert redone(built(*BUILD, *words, cwd=folder)) == []
    saved(folder / "birds" / "test" / "cat" / "0.png", picture(901, (12, 16), colour=True))
    why = built("why", "tiny.py", "--profile", "8-32", "--data", "birds", *words, cwd=folder)
    assert "data" in why.stdout


def test_letterboxed_a_recipe_of_one_size_is_trained(folder: Path) -> None:
    text = TINY.replace('{"steps": 3, "pixels": 4096}', '{"epochs": 1, "batch": 16}')
    (folder / "fixed.py").write_text(text, encoding="utf-8")
    words = ("train", "fixed.py", "--profile", "8-32", "--data", "birds", "--skip-bad")
    refused = fcnship(*words, cwd=folder)
    assert refused.returncode == 3
    assert "fixed is trained on images of one size, those of birds have 4 sizes" in refused.stderr
    assert "--fit letterbox" in refused.stderr
    built(*words, "--fit", "letterbox", cwd=folder)
    trained = records(folder / "artifacts" / "fixed")["train"]
    assert trained["status"] == "done"
    assert "fit" in trained["inputs"]
