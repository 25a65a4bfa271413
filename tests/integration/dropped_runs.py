"""A small trained run of every precision, to make drops of."""

from __future__ import annotations

from pathlib import Path

from builds import built

RECIPE = '''\
"""small: two convolutions, trained for a moment: enough to have opinions."""

import keras
from keras import layers

VALUE_RANGE = (0, 1)
TRAINING = {"steps": 150, "pixels": 8192}


def model(channels, classes):
    image = keras.Input((None, None, channels))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x), name="small")


def optimizer(steps):
    return keras.optimizers.Adam(3e-3)
'''
CALIBRATION = 'method = "minmax"\nimages = 24\nsizes = "profile"\n'
PRECISIONS = ("fp32", "fp16", "int8")


def build_small(folder: Path) -> Path:
    """Build ``folder/artifacts/small`` with an ONNX file and an engine of each precision."""
    (folder / "small.py").write_text(RECIPE, encoding="utf-8")
    (folder / "few.toml").write_text(CALIBRATION, encoding="utf-8")
    words = ("build", "small.py", "--profile", "8-16", "--precision", ",".join(PRECISIONS))
    built(*words, "--calibration", "few.toml", cwd=folder)
    return folder / "artifacts" / "small"


def held(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
