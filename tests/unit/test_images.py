"""Resizing and random changes of images."""

from __future__ import annotations

import numpy as np
import pytest

from fcnship.data.images import MOST_STRETCH, augmented, fitted, resize, to_range, unstretched
from fcnship.recipe import Augment
from fcnship.sizes import Size

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 16, (3, 8, 10, 2)).astype(np.float32)


def column(values: list[float]) -> np.ndarray:
    """One image, as wide as one pixel."""
    return np.array(values, np.float32)[None, :, None, None]


@pytest.mark.parametrize(
    ("values", "height", "known"),
    [
        # Half-pixel centres: the four new ones lie at -1/4, 1/4, 3/4 and 5/4 of the old; edges are held.
        ([0, 1], 4, [0, 0.25, 0.75, 1]),
        ([0, 1], 3, [0, 0.5, 1]),
        # Shrinking by two, a triangle four pixels wide: weights 3, 3, 1 of 7 where the edge cuts it off.
        ([0, 1, 2, 3], 2, [5 / 7, 16 / 7]),
        ([4, 4, 4, 4], 3, [4, 4, 4]),
        ([1, 2, 3], 3, [1, 2, 3]),
    ],
)
def test_known_answers(values: list[float], height: int, known: list[float]) -> None:
    tall = resize(column(values), Size(height, 1))
    assert tall.dtype == np.float32
    assert tall[0, :, 0, 0] == pytest.approx(known)
    wide = resize(column(values).transpose(0, 2, 1, 3), Size(1, height))
    assert wide[0, 0, :, 0] == pytest.approx(known)


def test_a_plane_stays_a_plane_inside() -> None:
    rows, columns = np.mgrid[0:6, 0:8] + 0.5
    plane = (2 * rows + 3 * columns)[None, ..., None]
    large = resize(plane, Size(18, 32))[0, ..., 0]
    rows, columns = (np.mgrid[0:18, 0:32] + 0.5) / np.array([3, 4])[:, None, None]
    inside = np.s_[3:-3, 4:-4]
    assert large[inside] == pytest.approx((2 * rows + 3 * columns)[inside], abs=1e-4)


def test_images_and_channels_are_kept_apart() -> None:
    together = resize(IMAGES, Size(5, 13))
    assert together.shape == (3, 5, 13, 2)
    for index, channel in np.ndindex(3, 2):
        alone = resize(IMAGES[index, None, ..., channel, None], Size(5, 13))
        assert together[index, ..., channel] == pytest.approx(alone[0, ..., 0])


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64])
def test_any_number_type_is_taken(kind: type) -> None:
    images: np.ndarray = IMAGES.astype(kind)
    assert resize(images, Size(16, 16)) == pytest.approx(resize(images.astype(np.float32), Size(16, 16)))


def test_moving_to_another_range() -> None:
    moved = to_range(np.array([0, 8, 16], np.uint8), (0, 16), (-1, 1))
    assert moved.tolist() == [-1, 0, 1]
    assert moved.dtype == np.float32
    same = to_range(np.array([0, 255], np.uint8), (0, 255), (0, 255))
    assert (same.tolist(), same.dtype) == ([0, 255], np.float32)
    assert to_range(to_range(IMAGES, (0, 16), (-3, 9)), (-3, 9), (0, 16)) == pytest.approx(IMAGES, abs=1e-4)


EVERYTHING = Augment(shift=0.3, scale=0.5, rotate=180, shear=0.5)


@pytest.mark.parametrize("size", [Size(8, 10), Size(5, 7), Size(40, 33), Size(4, 33), Size(1, 1)])
@pytest.mark.parametrize("augment", [Augment(), Augment(shift=0.1), Augment(rotate=20), EVERYTHING], ids=str)
def test_changed_images_keep_shape_and_range(size: Size, augment: Augment) -> None:
    changed = augmented(IMAGES, size, augment, np.random.default_rng(1), fill=0)
    assert changed.shape == (3, size.height, size.width, 2)
    assert changed.dtype == np.float32
    assert 0 <= changed.min() <= changed.max() <= 16


def test_no_change_is_a_resize() -> None:
    plain = augmented(IMAGES, Size(9, 9), Augment(), np.random.default_rng(1), fill=0)
    assert (plain == resize(IMAGES, Size(9, 9))).all()


def test_the_smallest_change_is_nearly_a_resize() -> None:
    barely = augmented(IMAGES, Size(16, 20), Augment(shift=1e-7), np.random.default_rng(1), fill=0)
    inside = np.s_[:, 2:-2, 2:-2]
    assert barely[inside] == pytest.approx(resize(IMAGES, Size(16, 20))[inside], abs=1e-3)


def test_what_lies_outside_is_filled() -> None:
    far = augmented(IMAGES, Size(8, 10), Augment(shift=1e6), np.random.default_rng(1), fill=-7)
    assert (far == -7).all()


def test_the_same_chance_gives_the_same_changes() -> None:
    first, second, other = (
        augmented(IMAGES, Size(12, 12), EVERYTHING, np.random.default_rng(seed), fill=0) for seed in (1, 1, 2)
    )
    assert (first == second).all()
    assert (first != other).any()
    assert not np.allclose(first[0] - first[0].mean(), first[1] - first[1].mean(), atol=0.1)


@pytest.mark.parametrize(
    ("own", "size", "known"),
    [
        ("8", "28x224", "28x56"),
        ("8", "224x28", "56x28"),
        ("8", "40x80", "40x80"),  # 2 to 1 is still stretched
        ("8x16", "28x224", "28x112"),
        ("16x8", "28x224", "28x28"),
        ("8", "1x100", "1x2"),
    ],
)
def test_an_image_is_not_stretched_too_much(own: str, size: str, known: str) -> None:
    assert unstretched(Size.parse(own), Size.parse(size)) == Size.parse(known)


def test_what_is_left_beside_an_image_is_filled() -> None:
    placed = fitted(IMAGES, Size(10, 100), fill=-5.0)
    inner = unstretched(Size(8, 10), Size(10, 100))
    left = (100 - inner.width) // 2
    assert placed.shape == (3, 10, 100, 2)
    assert (placed[:, :, left : left + inner.width] == resize(IMAGES, inner)).all()
    assert (placed[:, :, :left] == -5).all() and (placed[:, :, left + inner.width :] == -5).all()
    assert (fitted(IMAGES, Size(16, 40), fill=-5.0) == resize(IMAGES, Size(16, 40))).all()


def test_a_changed_image_lies_anywhere_along_a_long_size() -> None:
    """As much of it as its shape allows, whole, and not always at the same place."""
    bright = np.full((200, 8, 8, 1), 3.0, np.float32)
    made = augmented(bright, Size(12, 120), Augment(shift=1e-6), np.random.default_rng(0), fill=0.0)
    lit = made[:, 6, :, 0] > 1.5
    assert lit.sum(axis=1) == pytest.approx(np.full(200, 12 * MOST_STRETCH), abs=2)
    first = lit.argmax(axis=1)
    assert (first.min(), first.max()) == (
        pytest.approx(0, abs=3),
        pytest.approx(120 - 12 * MOST_STRETCH, abs=3),
    )
    assert first.std() > 20
