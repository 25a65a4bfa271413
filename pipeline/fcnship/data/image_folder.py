"""``--data DIR``: a folder of images, one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.data.cache import DecodedImages
from fcnship.data.collection import FolderImages
from fcnship.data.dataset import Dataset
from fcnship.data.examine import Examined, ImageFile, Progress, examine
from fcnship.data.folder import CALIBRATION, PARTS, TEST, TRAIN, Listing, fingerprint_of, listing_of, shown

_MOST_LISTED = 100


@dataclass(frozen=True)
class ImageFolder:
    """Images of their own sizes, in ``train/CLASS/`` and ``test/CLASS/``, or in ``CLASS/`` and split here."""

    path: Path
    skip_bad: bool = False
    cache_bytes: int | None = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return shown(self.path.resolve().name) or "images"

    @cached_property
    def listing(self) -> Listing:
        """The files, by part and class."""
        return listing_of(self.path)

    def fingerprint(self) -> str:
        """A hash of every file's path and bytes; no image is decoded for it."""
        return fingerprint_of(self.path, self.listing)

    def load(self, progress: Progress = lambda done, total, text: None) -> Dataset:
        """Look at every image once; their pixels are read again when they are asked for.

        Raises:
            DataRefused: an image cannot be used (and ``skip_bad`` is not set), a class or a part has none, or
                the same picture is in two parts.
        """
        found = examine(self.path, self.listing, skip_bad=self.skip_bad, progress=progress)
        cache = DecodedImages(self.cache_bytes)
        channels = 3 if any(image.picture.colour for image in found.images) else 1
        parts = {part: [image for image in found.images if image.part == part] for part in PARTS}

        def images(part: str) -> FolderImages:
            files = [(image.path, image.picture) for image in parts[part]]
            return FolderImages(self.path, files, channels, cache)

        return Dataset(
            name=self.name,
            x_train=images(TRAIN),
            y_train=_labels(parts[TRAIN]),
            x_test=images(TEST),
            y_test=_labels(parts[TEST]),
            x_calibration=images(CALIBRATION) if parts[CALIBRATION] else None,
            value_range=(0.0, 255.0),
            class_names=self.listing.labels,
            facts=self._facts(found),
        )

    def _facts(self, found: Examined) -> dict[str, Any]:
        bad = [{"path": path, "reason": reason} for path, reason in found.bad]
        facts = {
            "skipped": len(bad),
            "skipped_files": bad[:_MOST_LISTED],
            "transparent": sum(image.picture.transparent for image in found.images),
            "unused_folders": [shown(name) for name in self.listing.unused],
            "in_two_classes": len(found.in_two_classes),
            "in_two_classes_files": [list(map(shown, pair)) for pair in found.in_two_classes[:_MOST_LISTED]],
        }
        return {key: value for key, value in facts.items() if value}


def _labels(files: Sequence[ImageFile]) -> np.ndarray[Any, Any]:
    return np.array([file.label for file in files], np.int64)
