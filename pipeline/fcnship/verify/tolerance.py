"""How far a float32 variant may be from the original before it counts as wrong: a multiple of the noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcnship.verify.noise import MULTIPLE, float64_copy

Array = np.ndarray[Any, Any]

# A floor measured on few numbers may be small by luck: 16 roundings of the largest output never count.
LEAST_RELATIVE = 16 * 2.0**-24
# Where no float64 copy can be made.
ASSUMED_RELATIVE = 1e-4
_MULTIPLY_ADDS_IN_FLOAT64 = 2 * 10**10


class Tolerance:
    """Measures the noise floor of a Keras network, case by case, and turns it into a bound.

    Another runtime rounds as often as the original, in another order: over fcn, multiscale, EfficientNetB0
    and a converted dense network at 24 sizes each its difference was at most 5 floors. The bound is
    ``MULTIPLE`` floors.
    """

    def __init__(self, model: Any) -> None:
        self._wide = float64_copy(model)
        self._largest: float | None = None

    def at(self, images: Array, outputs: Array, multiply_adds: int) -> tuple[float, float | None]:
        """(tolerance, noise floor) for the original's ``outputs`` on ``images``; None: it was not measured.

        ``multiply_adds`` of one image bound the work: float64 takes several times as long, so that only
        some images of an expensive batch are looked at, and none where one alone is too expensive. The
        largest floor of the cases before is used then.
        """
        largest_output = float(np.abs(outputs).max(initial=0.0))
        count = min(len(images), _MULTIPLY_ADDS_IN_FLOAT64 // max(multiply_adds, 1))
        floor = None
        if self._wide is not None and count and np.isfinite(outputs).all():
            exact = np.asarray(self._wide(images[:count].astype(np.float64), training=False))
            floor = float(np.abs(exact - outputs[:count].astype(np.float64)).max(initial=0.0))
            self._largest = max(floor, self._largest or 0.0)
        known = floor if floor is not None else self._largest
        if known is None:
            return ASSUMED_RELATIVE * max(1.0, largest_output), None
        return max(MULTIPLE * known, LEAST_RELATIVE * max(1.0, largest_output)), floor
