"""The benchmarks run, on networks of a moment, and each can fail."""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fcnship.sizes import Size

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, saving
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY = """
import keras
from keras import layers

SIZE = (16, 16)


def model(channels, classes):
    image = keras.Input((*SIZE, channels), name="image")
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.Flatten()(layers.MaxPooling2D(2)(x))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x), name="tiny")
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A recipe with a dense head."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY, encoding="utf-8")
    return path


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark as a module; run as a script, its folder is on the path too."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module(name)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A data set in the shape of MNIST."""
    rng, path = np.random.default_rng(0), tmp_path / "images.npz"
    train, test = (rng.integers(0, 256, (count, 28, 28), np.uint8) for count in (80, 20))
    np.savez(path, x_train=train, y_train=np.arange(80) % 10, x_test=test, y_test=np.arange(20) % 10)
    return path


def test_published_networks(
    images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published = load("published_networks", monkeypatch)
    few = "--epochs 1 --images 40 --test-images 10 --sizes 28 32"
    words = ["--mnist", str(images), *few.split()]
    assert published.main(words) == 0
    rows = {line.split(" | ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["| dense"].startswith("| dense | 2,770,634 | 2,770,634 | 98.3 |")
    assert rows["| fcn"].count("|") == 4  # the last row of that name: accuracy at two sizes
    monkeypatch.setitem(published.PUBLISHED, "fcn", replace(published.PUBLISHED["fcn"], parameters=1))
    assert published.main([*words, "--networks", "fcn"]) == 1


def test_accuracy_by_size(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    by_size = load("accuracy_by_size", monkeypatch)
    few = "--networks variable --sizes 28 40x30 --images 20"
    words = ["--mnist", str(images), "--runs", str(tmp_path), *few.split()]
    assert by_size.main(words) == 0
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    assert row[:2] == ["| variable", "5,130"]
    assert len(row) == 6
    good = by_size.Measured(parameters=58_163, seconds=300.0, accuracy={Size(28, 28): 0.99, Size(9, 8): 0.98})
    assert not by_size.broken(good)
    for fault in ({"parameters": 75_001}, {"seconds": 361.0}, {"accuracy": {Size(28, 28): 0.9799}}):
        assert by_size.broken(replace(good, **fault))


def test_bucketing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bucketing = load("bucketing", monkeypatch)
    monkeypatch.setattr(bucketing, "LEAST", 0.01)
    assert bucketing.main(["--images", "40", "--steps", "3", "--rounds", "1"]) == 0
    rows = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    ways = ["buckets, as the product trains", "buckets, own sizes alone", "padded to the largest"]
    assert rows[1:] == [f"| {way}" for way in ways]
    monkeypatch.setattr(bucketing, "LEAST", 2.0)
    for rates, code in ((200.0, 250.0, 100.0), 0), ((250.0, 199.0, 100.0), 1):
        found = {way: [rate] for way, rate in zip(ways, rates, strict=True)}
        assert bucketing.told(40, found, found) == code


def test_input_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = load("input_pipeline", monkeypatch)
    monkeypatch.setattr(pipeline, "MOST", 1.0)
    assert pipeline.main(["--images", "12", "--steps", "3", "--rounds", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" 0% |")
    monkeypatch.setattr(pipeline, "MOST", 1 / 3)
    for with_input, code in (1.4, 0), (1.6, 1):
        seconds = {"kept": [with_input], "anew": [3.0], "memory": [1.0]}
        assert pipeline.told(seconds, steps=1, images=1) == code


def test_precision(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    precision = load("precision", monkeypatch)
    model = tiny_folder / "artifacts" / "tiny" / "onnx" / "fp32.onnx"
    few = "--profile 8-16 --images 40 --sizes 8 9x12 --timed 8 --seconds 0.1"
    assert precision.main([str(model), *few.split()]) == 1, "a file so small has more names than weights"
    out = capsys.readouterr().out
    assert "| size | fp32 | fp16 | int8 default | " in out
    assert "\n| 9x12 | " in out
    assert "int8 default loses at most" in out
    monkeypatch.setattr(precision, "MOST_BYTES", 2.0)
    monkeypatch.setattr(precision, "MOST_LOST", dict.fromkeys(precision.MOST_LOST, 100.0))
    assert precision.main([str(model), *few.split()]) == 0
    monkeypatch.setattr(precision, "MOST_LOST", dict.fromkeys(precision.MOST_LOST, -1.0))
    assert precision.main([str(model), *few.split()]) == 1


def test_one_pass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    one_pass = load("one_pass", monkeypatch)
    assert one_pass.main(["--networks", "fcn", "--most-size", "56", "--rounds", "3"]) == 0
    out = capsys.readouterr().out
    assert "| fcn 56x56 | 64 of 28x28 by 256 | 68.3 million / 7.3 million | 9.4 |" in out
    assert "- fcn 56x56: 36 of 64 cells against crops with their surroundings, 36x36: largest error" in out
    assert "WRONG" not in out
    assert "2.8 million for each of 38,809 cells" in out
    assert "fcn: 191,268,096" in out


def test_one_pass_compares_a_dense_head_with_its_own_layers(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_pass = load("one_pass", monkeypatch)
    monkeypatch.setattr(one_pass, "MODELS", tiny.parent)
    subject = one_pass.Subject(
        name="tiny", channels=3, classes=5, trained=Size(16, 16), batch=4, sizes=(Size(16, 16),), rounds=2
    )
    pair = one_pass.pair_of(subject)
    checks = one_pass.measure(subject, pair, Size(40, 32), 2).checks
    assert [(check.cells, check.of) for check in checks] == [(0, 35), (35, 35), (15, 35), (35, 35)]
    assert all(check.passed for check in checks)
    shifted = replace(pair, by_pass=lambda image: pair.by_pass(image) + np.float32(1e-4))
    wrong = one_pass.measure(subject, shifted, Size(40, 32), 2)
    assert not wrong.passed
    assert not wrong.checks[3].passed
    slow = replace(wrong, checks=(), ratios=np.array([wrong.saving.ratio * 0.4]))
    assert slow.passed
    assert not replace(slow, subject=replace(subject, sizes=(Size(40, 32),))).passed


def test_vgg16_any_size(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    vgg16 = load("vgg16_any_size", monkeypatch)
    words = ["--model", str(tiny), "--channels", "3", "--classes", "5", "--larger", "24x40"]
    assert vgg16.main([*words, "--most-gb", "1e3"]) == 0
    out = capfd.readouterr().out
    assert "| export to ONNX |" in out
    assert "| ONNX Runtime against Keras at 24x40: error" in out
    assert "model.onnx: 0 MB" in out
    for code, most_gb in (("pass", 1e-3), ("raise SystemExit(1)", 1e3)):
        wanted = argparse.Namespace(most_gb=most_gb, most_seconds=60)
        assert vgg16._whole_way(wanted, [sys.executable, "-c", code], tiny.parent) == 1
    with pytest.raises(SystemExit, match="here: WRONG"):
        vgg16.report("here", np.full((1, 5), 0.2), np.full((1, 5), 0.2001), 1e-7)


def test_the_plain_call_is_watched(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vgg16 = load("vgg16_any_size", monkeypatch)
    assert vgg16.main(["--plain", "--model", str(tiny), "--channels", "3", "--classes", "5"]) == 0
    assert "of tiny: ended with exit code 0 after" in capsys.readouterr().out
    hungry = "import time; x = bytearray(400_000_000); time.sleep(60)"
    code, seconds, peak = vgg16.watched([sys.executable, "-c", hungry], 2e8)
    assert code is None
    assert seconds < 30
    assert peak > 2e8
