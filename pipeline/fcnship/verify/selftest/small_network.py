"""A small network with random weights in a run of its own: it has a place for every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fcnship.frameworks import import_keras
from fcnship.verify.selftest.specimen import Specimen

NAME = "built-in"
_PROFILE, _CHANNELS, _CLASSES, _SIDE = "16-40@4", 3, 5, 24
_IMAGES, _BLOCK = 64, 6


def small_network(folder: Path) -> Specimen:
    """Make it, export it and build its engine, with the stages of every build; nothing is trained.

    Three 3x3 convolutions in colour with biases, total stride 4, a dense head of five classes.
    """
    from fcnship.api import engine

    model, data = folder / f"{NAME}.keras", folder / "images.npz"
    _network().save(model)
    images = _pictures()
    np.savez(data, x_train=images, y_train=_labels(), x_test=images, y_test=_labels())
    run = engine(model, data=data, profile=_PROFILE, out=folder / "runs", value_range=(0.0, 1.0))
    return Specimen(NAME, run.folder)


def _network() -> Any:
    keras = import_keras()
    drawn, image = keras.initializers, keras.Input((None, None, _CHANNELS), name="image")
    x = image
    for seed, (filters, stride) in enumerate(((8, 2), (12, 2), (16, 1))):
        x = keras.layers.Conv2D(
            filters,
            3,
            strides=stride,
            padding="same",
            activation="relu",
            kernel_initializer=drawn.HeNormal(seed=seed),
            bias_initializer=drawn.RandomUniform(-0.5, 0.5, seed=seed),
        )(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(
        _CLASSES,
        activation="softmax",
        kernel_initializer=drawn.RandomNormal(stddev=1.0, seed=8),
        bias_initializer=drawn.RandomUniform(-0.5, 0.5, seed=9),
    )(x)
    return keras.Model(image, x, name=NAME)


def _pictures() -> Any:
    """Coarse blocks of colour, (images, side, side, channels): unlike each other, dark and bright."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (_IMAGES, _SIDE // _BLOCK, _SIDE // _BLOCK, _CHANNELS), np.uint8)
    return blocks.repeat(_BLOCK, axis=1).repeat(_BLOCK, axis=2)


def _labels() -> Any:
    return np.arange(_IMAGES) % _CLASSES
