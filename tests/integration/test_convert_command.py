"""``fcnship convert``: what it writes, what it says, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from convert_models import with_weights
from keras import layers

import fcnship
from fcnship import cli
from fcnship.errors import ParityFailed, UsageError
from fcnship.graph.loading import load_model


def _dense(**settings: Any) -> Any:
    net = keras.Sequential([keras.Input((12, 12, 1)), layers.Conv2D(4, 3, activation="relu", **settings)])
    net.add(layers.MaxPooling2D())
    net.add(layers.Flatten())
    net.add(layers.Dense(6, activation="relu", name="hidden"))
    net.add(layers.Dense(3, activation="softmax", name="scores"))
    return with_weights(net)


# Keras saves under numpy 2 with a warning of its own.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "dense.keras"
    _dense().save(path)
    return path


def _ran(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_it_writes_a_model_that_answers_with_a_map(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = model.parent / "fcn.keras"
    code, told, err = _ran(capsys, "convert", model, "-o", out)
    assert (code, err) == (0, "")
    assert "hidden" in told
    assert "Dense 6 -> Conv2D 6, 5x5 valid" in told
    assert told.endswith(f"written to {out}\n")
    assert load_model(out)(np.zeros((1, 20, 32, 1), "float32")).shape == (1, 5, 11, 3)
    assert {path.name for path in model.parent.iterdir()} == {"dense.keras", "fcn.keras"}


@pytest.mark.parametrize("head", ["average", "max"])
def test_heads_and_their_certificate(model: Path, head: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = model.parent / "fcn.keras"
    code, told, _ = _ran(capsys, "convert", model, "-o", out, "--head", head, "--prove", "--json")
    found = json.loads(told)
    assert code == 0
    assert found["certificate"]["verdict"] == "proved"
    proof = json.loads((model.parent / "fcn.certificate.json").read_text())
    assert proof["schema"] == "fcnship.certificate/1"
    assert proof["trained"][0]["head"] == head
    assert proof["lines"] == found["certificate"]["lines"]
    assert load_model(out)(np.zeros((1, 20, 32, 1), "float32")).shape == (1, 3)


def test_real_images_take_part(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, data = np.random.default_rng(0), model.parent / "my.npz"
    images, labels = rng.integers(0, 256, (9, 8, 8)).astype("uint8"), np.arange(9) % 3
    np.savez(data, x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    out = model.parent / "fcn.keras"
    code, told, _ = _ran(capsys, "convert", model, "-o", out, "--prove", "--data", data)
    assert code == 0
    assert "At 12x12: 4 real and 16 random images" in told
    assert _ran(capsys, "convert", model, "-o", out, "--data", data)[0] == 2


def test_a_recipe_is_untrained_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.keras"
    code, told, _ = _ran(capsys, "convert", "dense", "-o", out)
    assert code == 0
    assert "dense is a recipe: its weights are random, not trained" in told
    assert out.is_file()


def test_nothing_to_do_is_fine_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.keras"
    code, told, err = _ran(capsys, "convert", "fcn", "-o", out)
    assert (code, err) == (0, "")
    assert "fcn is fully convolutional already: nothing to do, nothing written" in told
    assert list(tmp_path.iterdir()) == []


def test_a_failed_certificate_writes_nothing(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flatten order is broken inside the converter; an older OUT stays as it was."""
    net = keras.Sequential([keras.Input((8, 9, 1)), layers.Conv2D(4, 3)])
    net.add(layers.Flatten(data_format="channels_first"))
    net.add(layers.Dense(3))
    with_weights(net).save(model)
    out = model.parent / "fcn.keras"
    out.write_text("older")
    monkeypatch.setattr("fcnship.graph.surgery.flatten.flat_order", lambda surgeon, op: "hwc")
    code, told, err = _ran(capsys, "convert", model, "-o", out, "--prove")
    assert code == 4
    assert "FAILED: " in told
    assert "written to" not in told
    assert "is not proved: output 'dense" in err
    assert out.read_text() == "older"
    assert {path.name for path in model.parent.iterdir()} == {"dense.keras", "fcn.keras"}
    with pytest.raises(ParityFailed) as failed:
        fcnship.convert_file(model, out, prove=True)
    assert failed.value.run.out is None
    assert failed.value.run.certificate.reasons


def test_a_certificate_does_not_outlive_its_model(model: Path) -> None:
    out = model.parent / "fcn.keras"
    fcnship.convert_file(model, out, prove=True)
    assert (model.parent / "fcn.certificate.json").is_file()
    fcnship.convert_file(model, out)
    assert not (model.parent / "fcn.certificate.json").exists()


@pytest.mark.parametrize(
    ("name", "what"), [("out.h5", "its name ends in .h5"), ("out", "its name ends in nothing")]
)
def test_out_is_a_keras_file(model: Path, name: str, what: str) -> None:
    with pytest.raises(UsageError) as refused:
        fcnship.convert_file(model, model.parent / name)
    assert refused.value.cause == what


def test_the_input_is_never_overwritten(model: Path) -> None:
    before = model.read_bytes()
    link = model.parent / "link.keras"
    link.symlink_to(model)
    for out in (model, link):
        with pytest.raises(UsageError, match="is the model itself"):
            fcnship.convert_file(model, out)
    assert model.read_bytes() == before


def test_a_folder_that_cannot_be_written(model: Path) -> None:
    (model.parent / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        fcnship.convert_file(model, model.parent / "file" / "out.keras")


def test_old_files_say_what_was_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import h5py

    path = tmp_path / "old.h5"
    net = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)])
    with_weights(net).save(path)
    with h5py.File(path, "a") as file:
        file.attrs["backend"] = "theano"
    code, told, _ = _ran(capsys, "convert", path, "-o", tmp_path / "out.keras", "--prove")
    assert code == 0
    assert "note: written by the theano backend: 1 convolution kernels were flipped" in told


def test_prove_from_python() -> None:
    original = _dense()
    assert fcnship.prove(original, fcnship.convert(original)).proved
    averaged = fcnship.convert(original, head="average", average_of="scores")
    assert fcnship.prove(original, averaged, head="average").proved
