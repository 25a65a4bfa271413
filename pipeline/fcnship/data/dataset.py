"""A data set in memory or on disk: images and labels, and how its images are brought to a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fcnship.data.collection import FolderImages, Images, at_size, channels_of, one_size
from fcnship.data.images import MOST_STRETCH, to_range
from fcnship.options import Fit
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]
# How far an image's shape may be changed to that of the batch in which it lies.
SHAPE_TOLERANCE = 1.1


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images (height, width, channels) as they came, labels (count,) from 0, and the pixels' range.

    ``class_names`` are empty where classes have numbers alone. ``x_calibration`` are images that INT8 ranges
    are found on and nothing else. ``fit`` says what becomes of an image at a size of another shape.
    """

    name: str
    x_train: Images
    y_train: Array
    x_test: Images
    y_test: Array
    value_range: tuple[float, float]
    class_names: tuple[str, ...] = ()
    x_calibration: Images | None = None
    fit: Fit = "bucket"
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the report says besides: files that were skipped, folders that were not used."""

    @property
    def channels(self) -> int:
        """Channels of every image."""
        return channels_of(self.x_train)

    @property
    def classes(self) -> int:
        """One more than the highest label."""
        return int(self.y_train.max()) + 1

    @cached_property
    def own_size(self) -> Size | None:
        """The size of all training images; None where they differ."""
        return one_size(self.x_train)

    @property
    def bucketed(self) -> bool:
        """Whether a batch takes images of nearly one shape: a folder's, unless they are to be letterboxed."""
        return isinstance(self.x_train, FolderImages) and self.fit == "bucket"

    @property
    def keeps_shape(self) -> bool:
        """Whether images keep their shapes. Those of an array are stretched up to ``MOST_STRETCH``."""
        return isinstance(self.x_train, FolderImages) or self.fit == "letterbox"

    @property
    def most_stretch(self) -> float:
        """How many times its shape an image may be stretched: beyond that, it lies on a background."""
        if not self.keeps_shape:
            return MOST_STRETCH
        return SHAPE_TOLERANCE if self.bucketed else 1.0

    def labels_for(self, classes: int) -> tuple[str, ...]:
        """The names of so many classes: a model may have more than the data, and those have numbers."""
        return tuple([*self.class_names, *map(str, range(len(self.class_names), classes))][:classes])

    def at_size(
        self, images: Images, places: Sequence[int] | Array, size: Size, value_range: tuple[float, float]
    ) -> Array:
        """(count, height, width, channels) float32: chosen images at a size, in the range of a network."""
        fill = self.value_range[0]
        fitted = at_size(images, places, size, fill=fill, most_stretch=self.most_stretch)
        return to_range(fitted, self.value_range, value_range)
