"""How long a training lasts, and when it ends before that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from fcnship.data import Dataset
from fcnship.data.batches import Batches
from fcnship.data.collection import part_of
from fcnship.errors import InputRefused
from fcnship.recipe import Augment, Recipe, Training

_EPOCHS = 20
_VALIDATION_BATCHES = 24


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What is held out of the training images, as ``count`` batches: those of the steps 0 to ``count`` - 1.

    With ``patience`` training ends after so many epochs without a lower loss, and the best weights are kept.
    """

    batches: Batches
    count: int
    patience: int = 0


@dataclass(frozen=True, kw_only=True)
class Course:
    """So many steps, in epochs of ``epoch`` steps (0: one epoch); at the end of each is a checkpoint."""

    steps: int
    epoch: int = 0
    validation: Validation | None = None

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch is over after so many steps."""
        return step == self.steps or bool(self.epoch and step % self.epoch == 0)


def epoch_of(training: Training, images: int) -> int:
    """The steps of an epoch: once through the images, or a twentieth of a training that counts steps."""
    steps = training.steps_for(images)
    return steps // training.epochs if training.epochs else -(-steps // _EPOCHS)


def validation_batches(training: Training, images: int) -> int:
    """How many batches the held-out images make: all of them once, or so many that each size has its say."""
    return -(-images // training.batch) if training.epochs else _VALIDATION_BATCHES


def split(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """The data set to train on, and the one with the held-out share of each class's training images.

    Raises:
        InputRefused: no class can spare an image.
    """
    rng = np.random.default_rng((seed, len(data.y_train)))
    held = np.zeros(len(data.y_train), bool)
    for label in np.unique(data.y_train):
        places = np.flatnonzero(data.y_train == label)
        count = min(max(round(share * len(places)), 1), len(places) - 1)
        held[rng.choice(places, count, replace=False)] = True
    if not held.any():
        raise InputRefused(
            "no image can be held out of training",
            cause="no class has two training images, and the recipe has a validation_share",
            next="add images, or take validation_share out of TRAINING",
        )
    return _of(data, np.flatnonzero(~held)), _of(data, np.flatnonzero(held))


def _of(data: Dataset, places: np.ndarray[Any, Any]) -> Dataset:
    return replace(data, x_train=part_of(data.x_train, places), y_train=data.y_train[places])


@dataclass(frozen=True)
class Unaugmented(Recipe):
    """A recipe without its random changes to images, and with all sizes from the first step."""

    of: Recipe

    @cached_property
    def module(self) -> ModuleType:
        """The executed file; it is not executed again."""
        return self.of.module

    @property
    def augment(self) -> Augment:
        """None."""
        return Augment()

    @property
    def training(self) -> Training:
        """The recipe's own, in one epoch."""
        training = self.of.training
        return replace(training, growth=0.0, epochs=min(training.epochs, 1))
