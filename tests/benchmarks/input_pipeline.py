"""How much longer training on a folder of photos takes because its images must be read, decoded and changed.

    python tests/benchmarks/input_pipeline.py              # about two minutes
    python tests/benchmarks/input_pipeline.py --steps 10 --images 40

Trains models/multiscale.py for sizes from 28 to 224 on JPEG photos of 500x375 pixels: with the product's
input pipeline, which keeps the photos that it used last; with one that keeps none, as for a folder that is
much larger than memory; and with the very same batches ready in memory. What takes longer than the last is
the cost of the input; on two cores it is not only waiting, because decoding takes a part of them. Exit code 0
if the input takes at most a third of the time with the product's pipeline.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bucketing import RECIPE, WARM, grown, photos, timed

from fcnship.data import Dataset
from fcnship.data.batches import Batches, training_batches
from fcnship.data.image_folder import ImageFolder
from fcnship.frameworks import prepare
from fcnship.recipe import Recipe
from fcnship.sizes import Profile, Size

PHOTO = Size(375, 500)
MOST = 1 / 3


def main(words: Sequence[str] | None = None) -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("--images", type=int, default=300)
    asked.add_argument("--steps", type=int, default=100, help="of each way, in each round")
    asked.add_argument("--rounds", type=int, default=3)
    given = asked.parse_args(words)
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        photos(Path(folder), [PHOTO] * given.images)
        kept, fresh = (ImageFolder(Path(folder), cache_bytes=size).load() for size in (None, 0))
        ready = [drawn(kept)(step) for step in range(WARM + given.steps)]
        ways = {
            "photos that were used last are kept": drawn(kept),
            "each photo is decoded anew": drawn(fresh),
            "the same batches from memory": ready.__getitem__,
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, batches in ways.items():
                seconds[way].append(timed(kept, batches, given.steps))
    return told(seconds, given.steps, sum(len(labels) for _, labels in ready[WARM:]))


def drawn(data: Dataset) -> Batches:
    return grown(training_batches(data, Recipe(RECIPE), [Profile.parse("28-224")], seed=0), data)


def told(seconds: dict[str, list[float]], steps: int, images: int) -> int:
    middle = {way: statistics.median(found) for way, found in seconds.items()}
    *_, least = middle.values()
    print(f"{steps} steps, {images} images of {PHOTO.width}x{PHOTO.height}, median of the rounds\n")
    print("| | seconds (least-most) | images a second | share of the input |\n|---|---|---|---|")
    for way, found in seconds.items():
        span = f"{min(found):.1f}-{max(found):.1f}"
        share = 1 - least / middle[way]
        print(f"| {way} | {middle[way]:.1f} ({span}) | {images / middle[way]:,.0f} | {share:.0%} |")
    first, *_ = middle.values()
    return 0 if 1 - least / first <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
