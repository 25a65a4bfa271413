"""Training on a folder of mixed sizes: in buckets, against every batch padded to the largest image.

    python tests/benchmarks/bucketing.py                   # about a minute
    python tests/benchmarks/bucketing.py --steps 10 --images 60

Makes a folder of JPEG photos, 32 to 224 pixels high in equal ratios and of five shapes, and trains
models/multiscale.py on it with batches of about the same number of pixels: buckets as the product draws them,
half of which have sizes of the profile that are not the images' own; buckets at the images' own sizes alone;
and images of any size together, each on a background as large as the largest. They take turns. Exit code 0 if
buckets of either kind train at least twice as many images a second as that.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fcnship.data import Dataset, find_data
from fcnship.data.batches import Batch, Batches, training_batches
from fcnship.data.buckets import Buckets
from fcnship.data.collection import at_size, sides_of
from fcnship.data.images import to_range
from fcnship.frameworks import prepare
from fcnship.recipe import Recipe
from fcnship.sizes import Profile, Size

SHAPES = ((1, 1), (3, 4), (4, 3), (2, 3), (9, 16))
SMALLEST, LARGEST = 32, 224
LEAST = 2.0
RECIPE = Path(__file__).parents[2] / "models" / "multiscale.py"
WARM = 3  # steps that are not timed: in the first of them the network is traced


def main(words: Sequence[str] | None = None) -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("--images", type=int, default=400)
    asked.add_argument("--steps", type=int, default=60, help="of each way, in each round")
    asked.add_argument("--rounds", type=int, default=3)
    given = asked.parse_args(words)
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        data = photos(Path(folder), mixed_sizes(given.images))
        ways = {
            "buckets, as the product trains": bucketed(data),
            "buckets, own sizes alone": own_sizes(data),
            "padded to the largest": padded(data),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        sizes: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, batches in ways.items():
                images, pixels, seconds = trained(data, batches, given.steps)
                rates[way].append(images / seconds)
                sizes[way].append(pixels / images)
    return told(len(data.x_train), rates, sizes)


def mixed_sizes(count: int) -> list[Size]:
    """Sizes in equal ratios from the smallest height to the largest, the shapes in turn."""
    heights = np.geomspace(SMALLEST, LARGEST, count)
    shapes = [SHAPES[number % len(SHAPES)] for number in range(count)]
    return [Size(round(h), round(h * w / high)) for h, (high, w) in zip(heights, shapes, strict=True)]


def photos(folder: Path, sizes: list[Size]) -> Dataset:
    """A folder of two classes with a JPEG of each size, and the data set that it is."""
    rng = np.random.default_rng(0)
    for number, size in enumerate(sizes):
        coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
        path = folder / ("train", "test")[number % 8 == 7] / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        resampling = Image.Resampling.BICUBIC
        Image.fromarray(coarse).resize((size.width, size.height), resampling).save(path, quality=90)
    for label in "ab":  # one of eight is for testing, and they would all be of one class
        number = len(sizes) + ord(label)
        path = folder / "test" / label / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    return find_data(str(folder)).load()


def bucketed(data: Dataset) -> Batches:
    """As the product trains: profiles from the smallest to the largest size of the folder."""
    profile = Profile.parse(f"{SMALLEST}-{LARGEST}x{LARGEST * 16 // 9}")
    return grown(training_batches(data, Recipe(RECIPE), [profile], seed=0), data)


def grown(batches: Batches, data: Dataset) -> Batches:
    """The batches from the step on at which all sizes are in use: the first ones are small."""
    training = Recipe(RECIPE).training
    first = round(training.growth * training.steps_for(len(data.x_train)))
    return lambda step: batches(first + step)


def own_sizes(data: Dataset) -> Batches:
    """Images of one bucket at the size that one of them has."""
    recipe, sides = Recipe(RECIPE), sides_of(data.x_train)
    buckets = Buckets(sides, [])

    def batch(step: int) -> Batch:
        rng = np.random.default_rng((0, step))
        first = int(rng.integers(len(sides)))
        size = Size(*map(int, sides[first]))
        count = min(max(recipe.training.pixels // size.pixels, 1), recipe.training.most_images)
        chosen = buckets.neighbours(first, count, rng)
        images = data.at_size(data.x_train, chosen, size, recipe.value_range)
        return images, data.y_train[chosen].astype(np.int32)

    return batch


def padded(data: Dataset) -> Batches:
    """Any images together, each at its own size on a background of the largest height and width."""
    recipe, sides = Recipe(RECIPE), sides_of(data.x_train)
    largest = Size(*map(int, sides.max(axis=0)))
    count = max(recipe.training.pixels // largest.pixels, 1)

    def batch(step: int) -> Batch:
        chosen = np.random.default_rng((0, step)).choice(len(data.x_train), count, replace=False)
        images = np.zeros((count, largest.height, largest.width, data.channels), np.float32)
        for place, (height, width) in enumerate(sides[chosen]):
            own = at_size(
                data.x_train, chosen[place : place + 1], Size(height, width), fill=0, most_stretch=1
            )
            images[place, :height, :width] = own[0]
        images = to_range(images, data.value_range, recipe.value_range)
        return images, data.y_train[chosen].astype(np.int32)

    return batch


def trained(data: Dataset, batches: Batches, steps: int) -> tuple[int, int, float]:
    """Images, their pixels and seconds of so many steps, once the first ones are over."""
    seen: dict[int, tuple[int, int]] = {}

    def counted(step: int) -> Batch:
        images, labels = batches(step)
        seen[step] = len(images), images.shape[0] * images.shape[1] * images.shape[2]
        return images, labels

    seconds = timed(data, counted, steps)
    rows = [seen[step] for step in range(WARM, WARM + steps)]
    return sum(images for images, _ in rows), sum(pixels for _, pixels in rows), seconds


def timed(data: Dataset, batches: Batches, steps: int, on_step: Callable[[], Any] = lambda: None) -> float:
    """Seconds of so many steps of training, once the first ones are over."""
    import keras

    from fcnship.training import Course, fit

    keras.utils.set_random_seed(0)
    recipe, times = Recipe(RECIPE), list[float]()
    model = recipe.build(data.channels, data.classes)

    def stepped(done: int, total: int, text: str) -> None:
        times.append(time.perf_counter())
        on_step()

    fit(model, recipe.optimizer(1000), batches, Course(steps=WARM + steps), stepped)
    return times[-1] - times[WARM - 1]


def told(images: int, rates: dict[str, list[float]], sizes: dict[str, list[float]]) -> int:
    middle = {way: statistics.median(found) for way, found in rates.items()}
    *_, least = middle.values()
    print(f"{images} images to train with, {SMALLEST} to {LARGEST} pixels high\n")
    print("| | images a second (least-most of the rounds) | ratio | pixels an image in training |")
    print("|---|---|---|---|")
    for way, found in rates.items():
        span = f"{min(found):.1f}-{max(found):.1f}"
        pixels = statistics.median(sizes[way])
        print(f"| {way} | {middle[way]:.0f} ({span}) | {middle[way] / least:.1f} | {pixels:,.0f} |")
    others = [rate for way, rate in middle.items() if way.startswith("buckets")]
    return 0 if min(others) >= LEAST * least else 1


if __name__ == "__main__":
    sys.exit(main())
