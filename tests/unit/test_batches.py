"""Training batches: sizes inside the profiles, about the same pixels, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcnship.data.batches import Batch, draw_size, fixed_batches, mixed_batches
from fcnship.data.npz import Dataset, dataset_from_arrays
from fcnship.recipe import Augment, Training
from fcnship.sizes import Profile, Size

PIXELS = 3000
TRAINING = Training(steps=40, pixels=PIXELS, most_images=50)
TURN = Augment(rotate=10)


def dataset(images: int = 100) -> Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 16, (images, 8, 8)), np.arange(images) % 3
    arrays = {"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3]}
    return dataset_from_arrays("data", arrays, value_range=(0.0, 16.0))


def mixed(profile: str = "6-48", training: Training = TRAINING, seed: int = 0, start: int = 0) -> list[Batch]:
    profiles = [Profile.parse(text) for text in profile.split()]
    made = mixed_batches(dataset(), profiles, training, TURN, (0.0, 1.0), seed)
    return [made(step) for step in range(start, start + 40)]


def same(a: list[Batch], b: list[Batch]) -> bool:
    return all(
        x.shape == other.shape and (x == other).all() and (y == labels).all()
        for (x, y), (other, labels) in zip(a, b, strict=True)
    )


SIDES = st.integers(1, 3000)


@settings(max_examples=200)
@given(st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), min_size=1, max_size=3), st.integers(0, 2**32))
def test_a_size_lies_in_a_profile(corners: list[tuple[int, ...]], seed: int) -> None:
    profiles = []
    for a, b, c, d in corners:
        low, high = Size(min(a, b), min(c, d)), Size(max(a, b), max(c, d))
        profiles.append(Profile(low, low, high))
    size = draw_size(profiles, np.random.default_rng(seed), Training(any_shape=0.5))
    assert any(size.within(profile.min, profile.max) for profile in profiles)


def test_sizes_reach_over_the_whole_range_and_its_edges_most() -> None:
    rng, profile = np.random.default_rng(0), Profile.parse("28-224")
    sizes = [draw_size([profile], rng, TRAINING) for _ in range(4000)]
    heights = np.array([size.height for size in sizes])
    assert (heights.min(), heights.max()) == (28, 224)
    near_min, near_max = (heights < 36).mean(), (heights > 172).mean()
    assert 0.2 < near_min < 0.5  # an even choice would give 0.12
    assert 0.2 < near_max < 0.5
    aspects = np.array([size.height / size.width for size in sizes])
    assert (aspects.min(), aspects.max()) == (pytest.approx(1 / 2.2, rel=0.05), pytest.approx(2.2, rel=0.05))


def test_a_recipe_says_how_many_are_large_and_how_many_have_any_shape() -> None:
    rng, profile = np.random.default_rng(0), Profile.parse("28-224")
    few = [draw_size([profile], rng, Training(steps=1, near_largest=0.0)) for _ in range(2000)]
    assert np.mean([size.height > 172 for size in few]) < 0.12
    free = [draw_size([profile], rng, Training(steps=1, any_shape=1.0)) for _ in range(2000)]
    aspects = [size.height / size.width for size in free]
    assert max(aspects) > 6 and min(aspects) < 1 / 6


def test_batches_have_one_size_each_inside_the_profile_and_about_the_same_pixels() -> None:
    low, high = Size(6, 6), Size(48, 48)
    sizes = set()
    for images, labels in mixed():
        size = Size(*images.shape[1:3])
        sizes.add(size)
        assert size.within(low, high)
        assert len(images) == len(labels) == min(PIXELS // size.pixels, 50)
        assert (images.dtype, labels.dtype, images.shape[3]) == (np.float32, np.int32, 1)
        assert 0 <= images.min() <= images.max() <= 1
    assert len(sizes) > 20


def test_a_size_of_more_pixels_than_a_batch_comes_one_at_a_time() -> None:
    assert {len(images) for images, _ in mixed("60-80")} == {1}


def test_no_image_comes_twice_in_a_batch() -> None:
    data = dataset(5)
    images, labels = mixed_batches(data, [Profile.parse("8")], TRAINING, Augment(), (0, 16), 0)(0)
    assert len(images) == 5
    assert sorted(labels) == sorted(data.y_train)
    assert len({image.tobytes() for image in images}) == 5


def test_labels_belong_to_their_images() -> None:
    data = dataset()
    known = {
        image.astype(np.float32).tobytes(): label
        for image, label in zip(data.x_train, data.y_train, strict=True)
    }
    for batches in (
        mixed_batches(data, [Profile.parse("8")], TRAINING, Augment(), (0, 16), 0),
        fixed_batches(data, Size(8, 8), Training(epochs=1, batch=30), Augment(), (0, 16), 0),
    ):
        images, labels = batches(0)
        assert [known[image.tobytes()] for image in images] == list(labels)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first = mixed()
    assert same(first, mixed())
    assert same(first[7:], mixed(start=7)[: 40 - 7])
    assert not same(first[:1], mixed(seed=1)[:1])


def test_two_profiles_are_both_drawn_from() -> None:
    heights = {images.shape[1] for images, _ in mixed("6-8 40-48")}
    assert heights <= {6, 7, 8, *range(40, 49)}
    assert heights & {6, 7, 8}
    assert heights & set(range(40, 49))


def test_sizes_grow_from_the_minimum() -> None:
    growing = mixed(training=Training(steps=40, pixels=PIXELS, growth=1.0))
    reach = [max(images.shape[1:3]) for images, _ in growing]
    assert max(reach[:10]) < 20 < max(reach[30:])


def test_fixed_batches_show_every_image_once_an_epoch() -> None:
    data, training = dataset(), Training(epochs=2, batch=30)
    made = list(map(fixed_batches(data, Size(8, 8), training, Augment(), (0, 16), 0), range(8)))
    assert [len(images) for images, _ in made] == [30, 30, 30, 10] * 2
    epochs = [[image.tobytes() for images, _ in made[i : i + 4] for image in images] for i in (0, 4)]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert len(set(epochs[0])) == 100
    assert epochs[0] != epochs[1]


def test_fixed_batches_go_on_at_any_step() -> None:
    data, training = dataset(), Training(epochs=3, batch=30)

    def batches(seed: int, start: int = 0) -> list[Batch]:
        return list(map(fixed_batches(data, Size(9, 12), training, TURN, (0, 1), seed), range(start, 6)))

    assert same(batches(seed=4)[2:], batches(seed=4, start=2))
    assert {images.shape[1:] for images, _ in batches(seed=4)} == {(9, 12, 1)}
    assert not same(batches(seed=4)[:1], batches(seed=5)[:1])
