"""A small training, in this process or through the command line, and what came of it."""

from __future__ import annotations

import io
import signal
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.training import Course, Validation, fit
from fcnship.training.keeper import Keeper
from fcnship.training.replicas import Replicas
from fcnship.training.standing import Standing
from fcnship.workspace import Workspace

CLASSES = 3
# Everything that has a state of its own: seeds, running statistics, momenta, averaged weights, a schedule.
STATEFUL = """\
import keras
from keras import layers

VALUE_RANGE = (0, 1)
TRAINING = {"steps": STEPS, "pixels": 2048, "validation_share": 0.1, "patience": 30}
AUGMENT = {"shift": 0.1}


def model(channels, classes):
    image = keras.Input((None, None, channels))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    MORE
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x), name="stateful")


def optimizer(steps):
    rate = keras.optimizers.schedules.CosineDecay(0.02, steps)
    return keras.optimizers.AdamW(
        rate, weight_decay=1e-3, global_clipnorm=0.5, use_ema=True, ema_momentum=0.9
    )
"""
RANDOM = "x = layers.Dropout(0.2)(layers.BatchNormalization()(x))"


def recipe(steps: int, more: str = RANDOM) -> str:
    """A recipe's text; ``more`` are lines of its network."""
    return STATEFUL.replace("STEPS", str(steps)).replace("MORE", more)


def network(seed: int = 0, random: bool = True) -> tuple[Any, Any]:
    """The network of that recipe for three classes, and its optimiser."""
    import keras

    keras.utils.set_random_seed(seed)
    space: dict[str, Any] = {}
    exec(recipe(60, RANDOM if random else ""), space)
    return space["model"](1, CLASSES), space["optimizer"](60)


def batches(step: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images whose brightness tells their class; one alone in every fifth batch."""
    rng = np.random.default_rng((5, step))
    count = 1 if step % 5 == 4 else int(rng.integers(2, 8))
    labels = rng.integers(0, CLASSES, count).astype(np.int32)
    size = rng.integers(6, 12, 2)
    images = rng.uniform(0, 0.3, (count, *size, 1)) + labels[:, None, None, None] * 0.3
    return images.astype(np.float32), labels


def course(steps: int = 60, patience: int = 0) -> Course:
    """Epochs of ten steps, each with a look at two other batches."""
    validation = Validation(batches=lambda step: batches(10_000 + step), count=2, patience=patience)
    return Course(steps=steps, epoch=10, validation=validation)


@dataclass(kw_only=True)
class Trained:
    """What a training left: the network's and the optimiser's variables, how it went, and what was said."""

    weights: list[Any]
    variables: list[Any]
    standing: Standing
    said: list[str] = field(default_factory=list)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Trained)
            and self.standing == other.standing
            and all(np.array_equal(a, b) for a, b in zip(self.variables, other.variables, strict=True))
        )


def trained(
    folder: Path | None = None,
    *,
    inputs: dict[str, str] | None = None,
    stop_at: int = 0,
    number: signal.Signals = signal.SIGINT,
    plan: Course | None = None,
    replicas: Replicas | None = None,
    net: Callable[[], tuple[Any, Any]] = network,
) -> Trained:
    """Train, with a checkpoint in ``folder``; a signal comes in the middle of the step ``stop_at``."""
    from fcnship.training.checkpoint import bytes_of

    said: list[str] = []
    keeper = None
    if folder:
        keeper = Keeper(workspace=Workspace(folder), inputs=inputs or {"recipe": "r"}, say=said.append)
    if replicas:
        with replicas.strategy.scope():
            model, optimizer = net()
    else:
        model, optimizer = net()

    def progress(done: int, total: int, text: str) -> None:
        if done == stop_at:
            signal.raise_signal(number)

    standing = fit(model, optimizer, batches, plan or course(), progress, keeper=keeper, replicas=replicas)
    kept = bytes_of([*model.variables, *optimizer.variables])
    return Trained(weights=kept[: len(model.variables)], variables=kept, standing=standing, said=said)


def weights(path: Path) -> dict[str, Any]:
    """The weights in a .keras file; the file itself also holds the hour at which it was written."""
    import h5py

    found: dict[str, Any] = {}
    content = zipfile.ZipFile(path).read("model.weights.h5")
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def same_weights(one: Path, other: Path) -> bool:
    """Whether two .keras files hold the same weights, to the bit."""
    mine, theirs = weights(one), weights(other)
    assert mine
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)
