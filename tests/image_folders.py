"""Folders of images for tests: pictures that differ, made with Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("bird", "cat")


def picture(
    seed: int, size: tuple[int, int] = (12, 16), colour: bool = False, bright: int = 0
) -> Image.Image:
    """A smooth random picture, ``size`` as (height, width), in grey or RGB; ``bright`` is added to it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (4, 4, 3) if colour else (4, 4), np.uint8)
    image = Image.fromarray(coarse + np.uint8(bright))
    return image.resize((size[1], size[0]), Image.Resampling.BICUBIC)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    """The image in a file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def folder_of(
    root: Path,
    parts: Mapping[str, int] | None = None,
    sizes: Sequence[tuple[int, int]] = ((12, 16),),
    classes: Sequence[str] = CLASSES,
    colour: bool = False,
    suffix: str = ".png",
) -> Path:
    """``part/class/0.png`` and on: so many a class in each part, sizes in turn; classes differ in light."""
    seed = 0
    for part, count in (parts or {"train": 6, "test": 2}).items():
        for label, name in enumerate(classes):
            for number in range(count):
                size = sizes[seed % len(sizes)]
                image = picture(seed, size, colour, bright=50 * label // max(len(classes) - 1, 1))
                saved(root / part / name / f"{number}{suffix}", image)
                seed += 1
    return root
