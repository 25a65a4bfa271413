"""What a report says of a data set, and what a person should know before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fcnship.data.buckets import buckets_of, reaches
from fcnship.data.collection import FolderImages, sides_of
from fcnship.data.dataset import Dataset
from fcnship.sizes import Profile, Size


def summary_of(data: Dataset, profiles: Sequence[Profile]) -> dict[str, Any]:
    """How many images there are, of which sizes, how they were fitted, and what was left out.

    ``buckets`` and ``letterboxed`` are there for a folder alone: how many shapes its training images have,
    and how many of these images have a shape that no profile holds.
    """
    parts = [images for images in (data.x_train, data.x_test, data.x_calibration) if images is not None]
    sides = np.concatenate([sides_of(images) for images in parts])
    order = sides[np.argsort(sides.prod(axis=1), kind="stable")]
    found: dict[str, Any] = {
        "train": len(data.x_train),
        "test": len(data.x_test),
        "classes": data.classes,
        "sizes": {
            "different": len(np.unique(sides, axis=0)),
            "smallest": order[0].tolist(),
            "largest": order[-1].tolist(),
        },
        "fit": data.fit,
        **data.facts,
    }
    if data.x_calibration is not None:
        found["calibration"] = len(data.x_calibration)
    if data.bucketed:
        found["buckets"] = len(buckets_of(sides_of(data.x_train)))
        found["letterboxed"] = letterboxed(data, profiles)
    return found


def notes_on(data: Dataset, profiles: Sequence[Profile]) -> list[str]:
    """Lines on a folder of images: what was left out, and what lies on a background. None on arrays."""
    if not isinstance(data.x_train, FolderImages):
        return []
    facts, lines = data.facts, left_out(data)
    if twice := facts.get("in_two_classes"):
        has = "1 picture is" if twice == 1 else f"{twice} pictures are"
        first = " = ".join(facts["in_two_classes_files"][0])
        lines.append(f"{data.name}: {has} in two classes, which cannot both be right; first {first}")
    if transparent := facts.get("transparent"):
        images = "1 image is" if transparent == 1 else f"{transparent} images are"
        lines.append(f"{data.name}: {images} transparent in places: white is put behind")
    outside = letterboxed(data, profiles) if data.bucketed else 0
    if outside:
        lines.append(
            f"{data.name}: {outside} of {len(data.x_train)} training images have a shape that no profile "
            "holds: they keep it, and lie on a background"
        )
    return lines


def left_out(data: Dataset) -> list[str]:
    """Lines on the files that ``--skip-bad`` left out, and on folders that are no part of the data."""
    facts, lines = data.facts, []
    if skipped := facts.get("skipped"):
        first = facts["skipped_files"][0]
        files = "1 file is" if skipped == 1 else f"{skipped} files are"
        lines.append(f"{data.name}: {files} left out, first {first['path']}, which {first['reason']}")
    if folders := facts.get("unused_folders"):
        lines.append(f"{data.name}: not used: {', '.join(folders)}")
    return lines


def letterboxed(data: Dataset, profiles: Sequence[Profile]) -> int:
    """How many training images have a shape that no profile holds."""
    shapes, counts = np.unique(sides_of(data.x_train), axis=0, return_counts=True)
    outside = [not reaches(Size(*map(int, shape)), profiles) for shape in shapes]
    return int(counts[outside].sum())
