"""What calibration really used: checked before INT8 is made of it, and told in the report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fcnship.data.collection import sha256_of
from fcnship.errors import DataRefused
from fcnship.precision.calibration import CalibrationRecipe
from fcnship.precision.coverage import Cell, cells_of, check_sizes, listed
from fcnship.precision.drawing import CalibrationImage, CalibrationSet
from fcnship.sizes import Profile, Size

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class TensorAudit:
    """One tensor's range, and how it holds on images that were not used to find it.

    ``high``: the range is -high to high; ``largest`` is the largest absolute value seen in calibration.
    ``saturated`` is the share of values beyond it, the mean over held-out images, and ``worst`` that of the
    worst image, whose size is ``worst_size``. ``without`` has the range that each size group's absence gives.
    """

    tensor: str
    high: float
    largest: float
    saturated: float
    worst: float
    worst_size: Size
    without: Mapping[str, float]

    @property
    def moves_most(self) -> tuple[str, float] | None:
        """The size group whose absence changes the range most, and the factor; None with one group alone."""
        if not self.without:
            return None
        factors = {group: high / self.high for group, high in self.without.items()}
        group = max(factors, key=lambda one: _change(factors[one]))
        return group, factors[group]

    def as_json(self) -> dict[str, Any]:
        """As in ``Audit.as_json``."""
        return {
            "tensor": self.tensor,
            "high": self.high,
            "largest": self.largest,
            "saturated": self.saturated,
            "worst": self.worst,
            "worst_size": [self.worst_size.height, self.worst_size.width],
            "without": [
                {"sizes": group, "high": high, "factor": high / self.high}
                for group, high in self.without.items()
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What calibration really used, and how far its ranges can be trusted."""

    recipe: CalibrationRecipe
    drawn: CalibrationSet
    tensors: Sequence[TensorAudit]

    @property
    def distinct(self) -> int:
        """Images that differ in content."""
        return len({image.sha256 for image in self.drawn.images})

    @property
    def moves_most(self) -> tuple[str, str, float] | None:
        """The tensor whose range hangs most on one size group, the group, and the factor."""
        moves = [(one.tensor, *one.moves_most) for one in self.tensors if one.moves_most]
        return max(moves, key=lambda move: _change(move[2]), default=None)

    def as_json(self) -> dict[str, Any]:
        """For the report:

        ```
        {"recipe": {"name", "sha256", "method": "mse" | "percentile 99.99" | ..., "images": asked for,
                    "sizes": "profile" | "ladder" | "data" | ["28x28", ...], "seed", "keep_fp32": [...]},
         "images": [{"sha256", "height", "width"}, ...],       one for each image used
         "distinct": 256, "blank": 0,                           images by content; images of one grey alone
         "coverage": [{"profile": "28,80,224@1,1,8", "sizes": "28-47", "images": 64}, ...],
         "held_out": 64,                                        images that saturation was measured on
         "tensors": [{"tensor", "high", "largest", "saturated": 0.0001 (a share), "worst": 0.002,
                      "worst_size": [height, width],
                      "without": [{"sizes": "28-47", "high": 5.9, "factor": 0.98}, ...]}, ...],
         "moves_most": {"tensor", "sizes": "133-224", "factor": 0.7} | None}
        ```
        ``without`` is empty, and ``moves_most`` None, where all images are of one size group.
        """
        most = self.moves_most
        return {
            "recipe": self.recipe.as_json(),
            "images": [
                {"sha256": image.sha256, "height": image.size.height, "width": image.size.width}
                for image in self.drawn.images
            ],
            "distinct": self.distinct,
            "blank": sum(image.blank for image in self.drawn.images),
            "coverage": [
                {"profile": str(cell.profile), "sizes": str(cell), "images": count}
                for cell, count in coverage(self.drawn.profiles, self.drawn.images).items()
            ],
            "held_out": len(self.drawn.held_out),
            "tensors": [tensor.as_json() for tensor in self.tensors],
            "moves_most": dict(zip(("tensor", "sizes", "factor"), most, strict=True)) if most else None,
        }


def coverage(profiles: Iterable[Profile], images: Sequence[CalibrationImage]) -> dict[Cell, int]:
    """How many images lie in each part of each profile's range."""
    cells = [cell for profile in profiles for cell in cells_of(profile)]
    return {cell: sum(cell.holds(image.size) for image in images) for cell in cells}


def check_images(drawn: CalibrationSet, asked: int) -> None:
    """Refuse images that cannot give ranges for the whole range, or that accuracy is measured with.

    Raises:
        DataRefused: there are none, or only blank ones; one has a size that no profile takes; fewer are
            distinct than were asked for; a part of a profile's range has none; one is a test image, or held
            out as well.
    """
    images = drawn.images
    if not images:
        raise DataRefused(
            "there are no calibration images",
            cause="the training part of the data is empty",
            next="give a data set with training images: --data PATH.npz",
        )
    if all(image.blank for image in images):
        raise DataRefused(
            f"all {len(images)} calibration images are blank: every pixel of an image is the same",
            cause="the images were lost when the data set was made",
            next="look at them, and make the data set again",
        )
    check_sizes([image.size for image in images], drawn.profiles)
    _check_distinct(images, asked)
    _check_coverage(images, drawn.profiles)
    _check_apart(drawn)


def _check_distinct(images: Sequence[CalibrationImage], asked: int) -> None:
    counts = Counter(image.sha256 for image in images)
    if len(counts) < asked:
        again = [f"{sha256[:12]} {count} times" for sha256, count in counts.most_common(_NAMED) if count > 1]
        raise DataRefused(
            f"calibration was to use {asked} different images, and used {len(counts)}"
            + (f": {', '.join(again)}" if again else ""),
            cause="the same image was used again and again, or there are no more",
            next="give more training images, or ask for fewer in the recipe: images = N",
        )


def _check_coverage(images: Sequence[CalibrationImage], profiles: Sequence[Profile]) -> None:
    missing = [f"{cell} of {cell.profile}" for cell, count in coverage(profiles, images).items() if not count]
    if missing:
        raise DataRefused(
            f"no calibration image has a size in {listed(missing)}",
            cause="ranges found at other sizes need not hold there",
            next="write sizes = 'profile' into the recipe, or ask for more images",
        )


def _check_apart(drawn: CalibrationSet) -> None:
    test: dict[str, int] = {}
    for place in range(len(drawn.data.x_test)):
        test.setdefault(sha256_of(drawn.data.x_test, place), place)
    shared = [
        f"{image.sha256[:12]} (test image {test[image.sha256]})"
        for image in drawn.images
        if image.sha256 in test
    ]
    if shared:
        raise DataRefused(
            f"{len(shared)} calibration images are test images of {drawn.data.name} too: {listed(shared)}",
            cause="the training and the test part of the data overlap, so that accuracy would be flattered",
            next="take these images out of one of the two parts",
        )
    used = {image.sha256 for image in drawn.images}
    both = [image.sha256[:12] for image in drawn.held_out if image.sha256 in used]
    if both:
        raise DataRefused(
            f"{len(both)} held-out images were used to calibrate too: {listed(both)}",
            cause="saturation on them would say nothing of other images",
            next="hold out other images",
        )


def _change(factor: float) -> float:
    """How far a factor is from 1, up or down."""
    return abs(math.log(max(factor, 1e-12)))
