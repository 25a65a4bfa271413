"""How long a training lasts, what is held out of it, and how a batch is shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fcnship.data import Dataset
from fcnship.errors import InputRefused
from fcnship.recipe import Augment, Recipe, Training
from fcnship.training.course import Course, Unaugmented, epoch_of, split, validation_batches
from fcnship.training.replicas import Replicas

RECIPE = """
VALUE_RANGE = (0, 1)
TRAINING = {"epochs": 5, "batch": 8, "validation_share": 0.25, "patience": 2}
AUGMENT = {"shift": 0.1}
"""


def data(counts: tuple[int, ...]) -> Dataset:
    """So many images of each class; each image is its own number."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.arange(len(labels), dtype=np.float32)[:, None, None, None]
    return Dataset(
        name="n", x_train=images, y_train=labels, x_test=images, y_test=labels, value_range=(0.0, 255.0)
    )


@pytest.mark.parametrize(
    ("training", "images", "steps"),
    [
        (Training(epochs=5, batch=64), 60_000, 938),
        (Training(steps=1300, pixels=1), 1437, 65),
        (Training(steps=7, pixels=1), 1437, 1),
        (Training(steps=30, pixels=1), 1437, 2),
    ],
)
def test_an_epoch_is_once_through_the_images_or_a_twentieth(
    training: Training, images: int, steps: int
) -> None:
    assert epoch_of(training, images) == steps


def test_epochs_end_where_their_steps_do() -> None:
    ends = [step for step in range(1, 12) if Course(steps=11, epoch=4).ends_epoch(step)]
    assert ends == [4, 8, 11]
    assert [step for step in range(1, 12) if Course(steps=11).ends_epoch(step)] == [11]


def test_each_class_gives_its_share() -> None:
    whole = data((40, 20, 4, 2))
    kept, held = split(whole, 0.25, seed=3)
    assert np.bincount(held.y_train).tolist() == [10, 5, 1, 1]
    numbers = np.concatenate([np.ravel(part.x_train[:]) for part in (kept, held)])
    assert sorted(numbers.tolist()) == list(range(66))
    again, other = split(whole, 0.25, seed=3)[1], split(whole, 0.25, seed=4)[1]
    assert np.array_equal(held.x_train[:], again.x_train[:])
    assert not np.array_equal(held.x_train[:], other.x_train[:])


def test_a_class_of_one_image_keeps_it() -> None:
    kept, held = split(data((8, 1)), 0.5, seed=0)
    assert np.bincount(kept.y_train).tolist() == [4, 1]
    assert np.bincount(held.y_train).tolist() == [4]


def test_held_out_images_are_seen_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "r.py"
    path.write_text(RECIPE, encoding="utf-8")
    recipe = Recipe(path)
    plain = Unaugmented(path=path, of=recipe)
    assert (recipe.augment, plain.augment) == (Augment(shift=0.1), Augment())
    assert (recipe.training.epochs, plain.training.epochs) == (5, 1)
    assert plain.module is recipe.module
    assert validation_batches(recipe.training, 17) == 3


@pytest.mark.parametrize(("images", "replicas"), [(1, 1), (7, 2), (8, 4), (3, 4), (1, 8)])
def test_the_shares_make_the_whole_batch(images: int, replicas: int) -> None:
    pixels = np.arange(images, dtype=np.float32)[:, None, None, None]
    labels = np.arange(images, dtype=np.int32)
    shared = Replicas(strategy=None, count=replicas)
    shares = [shared.share(pixels, labels, place) for place in range(replicas)]
    seen = [int(label) for _, own, weights in shares for label in own[weights == 1]]
    assert seen == list(range(images))
    assert all(len(own) == len(weights) == len(image) >= 1 for image, own, weights in shares)
    assert sum(float(weights.sum()) for _, _, weights in shares) == images


def test_classes_of_one_image_have_none_to_spare() -> None:
    with pytest.raises(InputRefused, match="no image can be held out"):
        split(data((1, 1, 1)), 0.25, seed=0)
    kept, held = split(data((1, 2)), 0.25, seed=0)
    assert (sorted(kept.y_train.tolist()), held.y_train.tolist()) == ([0, 1], [1])
