"""Files of Keras 2 and older load as the same function; ``tf_keras`` writes them and is the reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from convert_checks import TOLERANCE

from fcnship.graph.convert import convert
from fcnship.graph.loading import load_model, load_model_with_notes

tf_keras = pytest.importorskip("tf_keras", reason="writes the files of Keras 2")
layers = tf_keras.layers

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
BATCH = np.random.default_rng(0).normal(size=(3, 10, 10, 2)).astype("float32")


def _sequential() -> Any:
    return tf_keras.Sequential(
        [layers.Conv2D(4, 3, activation="relu", input_shape=(10, 10, 2), name="conv"), layers.MaxPooling2D(),
         layers.DepthwiseConv2D(3, name="depthwise"), layers.BatchNormalization(), layers.LeakyReLU(0.2),
         layers.Flatten(), layers.Dropout(0.5), layers.Dense(3, activation="softmax")]
    )  # fmt: skip


def _functional() -> Any:
    x = start = tf_keras.Input((10, 10, 2))
    x = layers.Conv2D(4, 3, padding="same", kernel_regularizer="l2")(x)
    x = layers.add([x, layers.SeparableConv2D(4, 3, padding="same")(x)])
    inner = tf_keras.Sequential([layers.Conv2D(3, 3, input_shape=(10, 10, 4)), layers.ReLU()], name="inner")
    return tf_keras.Model(start, layers.Softmax()(layers.Dense(3)(layers.Flatten()(inner(x)))))


def _randomised(model: Any) -> Any:
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.2, 0.8, w.shape) if "variance" in w.name else rng.normal(size=w.shape) * 0.3
               for w in model.weights]  # fmt: skip
    model.set_weights(weights)
    return model


def _saved(model: Any, path: Path, rewrite: Callable[[Any], Any] | None = None) -> Path:
    model.save(path)
    if rewrite:
        with h5py.File(path, "r+") as file:
            config = rewrite(json.loads(file.attrs["model_config"]))
            file.attrs["model_config"] = json.dumps(config).encode()
    return path


def _difference(reference: Any, path: Path) -> float:
    expected = np.asarray(reference(BATCH))
    model = load_model(path)
    cells = np.asarray(convert(model)(BATCH))
    assert np.abs(cells.reshape(expected.shape) - expected).max() < TOLERANCE
    return float(np.abs(np.asarray(model(BATCH)) - expected).max())


@pytest.mark.parametrize("build", [_sequential, _functional])
@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_files_of_keras_2(build, name, tmp_path, capfd):
    model = _randomised(build())
    path = _saved(model, tmp_path / name)
    capfd.readouterr()
    assert _difference(model, path) < TOLERANCE
    assert capfd.readouterr() == ("", "")


def _bare_list(config: Any) -> Any:
    return {**config, "config": config["config"]["layers"][1:]}


def _first_layer_carries_the_shape(config: Any) -> Any:
    del config["config"]["layers"][0]
    return config


def _initializers_have_a_dtype(config: Any) -> Any:
    config["config"]["layers"][1]["config"]["kernel_initializer"]["config"]["dtype"] = "float32"
    return config


@pytest.mark.parametrize(
    ("rewrite", "note"),
    [
        (_bare_list, "Sequential was a bare list of layers (Keras 2.2.2 or older)"),
        (_first_layer_carries_the_shape, "the first layer carried batch_input_shape (Keras 2)"),
        (_initializers_have_a_dtype, "initializers had a dtype (Keras 2.2.4-tf)"),
        (None, "DepthwiseConv2D had groups (TensorFlow 2.4 and later 2.x)"),
    ],
)
def test_older_forms_load_as_the_same_function(rewrite, note, tmp_path):
    model = _randomised(_sequential())
    path = _saved(model, tmp_path / "model.h5", rewrite)
    assert note in load_model_with_notes(path).notes
    assert _difference(model, path) < TOLERANCE


def test_the_file_is_left_as_it_is(tmp_path):
    path = _saved(_sequential(), tmp_path / "model.h5", _bare_list)
    before = path.read_bytes()
    load_model(path)
    assert path.read_bytes() == before


def test_theano_kernels_are_flipped(tmp_path):
    model = _randomised(_sequential())
    path = _saved(model, tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["backend"] = b"theano"
        group = file["model_weights"]["conv"]
        (name,) = (n for n in group.attrs["weight_names"] if "kernel" in str(n))
        kernel = group[name]
        kernel[...] = kernel[()][::-1, ::-1]
    loaded = load_model_with_notes(path)
    assert loaded.notes[-1] == "written by the theano backend: 1 convolution kernels were flipped"
    assert _difference(model, path) < TOLERANCE


def test_keras_1_with_kernels_that_stand_first(tmp_path):
    order = {"data_format": "channels_first"}
    model = tf_keras.Sequential([layers.Conv2D(4, 3, input_shape=(2, 10, 10), name="conv", **order)])
    for layer in (layers.ReLU(), layers.Flatten(), layers.Dense(3, name="dense")):
        model.add(layer)
    _randomised(model)
    path = tmp_path / "model.h5"
    convolution = {"name": "conv", "nb_filter": 4, "nb_row": 3, "nb_col": 3, "border_mode": "valid",
                   "dim_ordering": "th", "batch_input_shape": [None, 2, 10, 10]}  # fmt: skip
    config = [{"class_name": "Convolution2D", "config": convolution},
              {"class_name": "Activation", "config": {"name": "relu", "activation": "relu"}},
              {"class_name": "Flatten", "config": {"name": "flatten"}},
              {"class_name": "Dense", "config": {"name": "dense", "output_dim": 3}}]  # fmt: skip
    _saved(model, path, lambda _: {"class_name": "Sequential", "config": config})
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = file["model_weights"].attrs["keras_version"] = b"1.2.2"
        group = file["model_weights"]["conv"]
        (name,) = (n for n in group.attrs["weight_names"] if "kernel" in str(n))
        kernel = group[name][()]
        del group[name]
        group[name] = kernel.transpose(3, 2, 0, 1)
    loaded = load_model_with_notes(path)
    assert "layers were in the words of Keras 1" in loaded.notes
    kernel, bias = model.get_layer("conv").get_weights()
    assert np.array_equal(loaded.model.get_layer("conv").get_weights()[0], kernel)
    # TensorFlow cannot run channels_first of tf_keras on a CPU: the same network in the other layout can.
    last = tf_keras.Sequential([layers.Conv2D(4, 3, activation="relu", input_shape=(10, 10, 2))])
    last.set_weights([kernel, bias])
    maps = np.asarray(last(BATCH)).transpose(0, 3, 1, 2).reshape(3, -1)
    expected = maps @ model.layers[-1].get_weights()[0] + model.layers[-1].get_weights()[1]
    answer = np.asarray(loaded.model(BATCH.transpose(0, 3, 1, 2)))
    assert np.abs(answer - expected).max() < 1e-5
