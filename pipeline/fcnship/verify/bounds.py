"""What is tolerated at a case: a multiple of the original's measured noise, or what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fcnship.errors import UsageError
from fcnship.runners import Runner, precision_of, run
from fcnship.sizes import Size
from fcnship.verify.noise import MULTIPLE
from fcnship.verify.tolerance import LEAST_RELATIVE, Tolerance

Array = np.ndarray[Any, Any]

# A result rounded to a narrower type moves by a step that is as many times larger: half a unit in the last
# place is 2^-24 of a number in float32, 2^-11 in float16; a symmetric 8-bit step is 1/127 of the range, half
# of it about 2^-8. To first order the error of the outputs grows with the step.
POOLED_IMAGES = 16
_STEP_RATIOS = {"fp16": 2.0**13, "int8": 2.0**16}
# Where the network itself can be run with such steps (verify/steps.py), that is the prediction. In multiscale
# at 46 cases an honest FP16 file came to 1.25 times it, and the least of 34 faults to 6.7 times.
# An engine may sum in float16 too, which rounds a sum of 288 products some 18 times where a file does once.
_PREDICTED_MULTIPLES = {"onnx": 4.0, "engine": 16.0}
# INT8 (verify/int8_noise.py): over 720 cases of multiscale an honest file came to 4.8 times its
# prediction. Quiet faults stay below ten too: precision/qdq_check.py finds those.
_INT8_MULTIPLE = 10.0


class Bounds(Protocol):
    """Says what is tolerated."""

    def at(self, size: Size, images: Array, outputs: Array) -> tuple[float, float | None]:
        """(tolerance of a float32 variant, noise floor) for the original's ``outputs`` on ``images``."""
        ...

    def text(self) -> str:
        """How the tolerance comes about, in words."""
        ...


def step_ratio(variant: str) -> float:
    """How many times larger the rounding steps of a variant's precision are than those of float32."""
    return _STEP_RATIOS.get(precision_of(variant), 1.0)


class Prediction(Protocol):
    """Says how far a precision's steps may move the outputs."""

    def at(self, size: Size, images: Array, outputs: Array) -> float:
        """The predicted error of a variant of that precision, held against the original's ``outputs``."""
        ...


def tolerance_of(variant: str, tolerance: float, predicted: float | None) -> float:
    """What is tolerated of a variant: of float32 ``tolerance``, else what its steps predict.

    ``predicted``: by the network run with such steps; None: by the ratio of the steps alone.
    """
    if predicted is None or not np.isfinite(predicted):
        return tolerance * step_ratio(variant)
    narrow = precision_of(variant) == "int8"
    multiple = _INT8_MULTIPLE if narrow else _PREDICTED_MULTIPLES[variant.partition("-")[0]]
    return max(tolerance, multiple * predicted)


@dataclass(frozen=True, kw_only=True)
class MeasuredBounds:
    """From the original's float64 copy."""

    tolerance: Tolerance
    multiply_adds: Callable[[Size], int]

    def at(self, size: Size, images: Array, outputs: Array) -> tuple[float, float | None]:
        """As ``Tolerance.at``."""
        return self.tolerance.at(images, outputs, self.multiply_adds(size))

    def text(self) -> str:
        """How the tolerance comes about, in words."""
        return f"{MULTIPLE} times the original's noise, measured against a copy of it in float64"


@dataclass(frozen=True, kw_only=True)
class PooledBounds:
    """The noise of a case or of many images at the optimum, whichever is more.

    One image's ten probabilities may happen to be rounded well: over 92 cases of multiscale the floor of a
    case went from 1e-22 to 7e-7, and an honest error came to 15 such floors.
    """

    measured: Bounds
    typical: float | None

    def at(self, size: Size, images: Array, outputs: Array) -> tuple[float, float | None]:
        """(tolerance, noise floor)."""
        tolerance, floor = self.measured.at(size, images, outputs)
        if self.typical is None or not np.isfinite(outputs).all():
            return tolerance, floor
        return max(tolerance, MULTIPLE * self.typical), max(floor or 0.0, self.typical)

    def text(self) -> str:
        """How the tolerance comes about, in words."""
        return self.measured.text()


def pooled(
    measured: Bounds, reference: Runner, images: Callable[[Size, int], Array], size: Size, batch: int
) -> PooledBounds:
    """Bounds that know the noise on as many images of ``size`` as are affordable, ``POOLED_IMAGES`` at most.

    They are run in batches of ``batch``.
    """
    floors = []
    drawn = images(size, POOLED_IMAGES)
    for start in range(0, POOLED_IMAGES, batch):
        some = drawn[start : start + batch]
        if len(some) == batch:
            floors.append(measured.at(size, some, run(reference, some))[1])
    known = [floor for floor in floors if floor is not None]
    return PooledBounds(measured=measured, typical=max(known, default=None))


class RepeatedBounds:
    """From the reference's own repetitions, where it has no float64 copy.

    It is run again with each image alone, on images whose pixels are moved by their last bit, and, where its
    runtime can, without optimisation and on one thread (``plain``).
    """

    def __init__(self, reference: Runner, plain: Runner | None) -> None:
        self._reference, self._plain = reference, plain

    def at(self, size: Size, images: Array, outputs: Array) -> tuple[float, float | None]:
        """(tolerance, noise floor), the largest difference that a repetition made."""
        largest = float(np.abs(outputs).max(initial=0.0))
        if not np.isfinite(outputs).all():
            return LEAST_RELATIVE * max(1.0, largest) if np.isfinite(largest) else LEAST_RELATIVE, None
        others = [run(self._reference, np.nextafter(images, np.inf, dtype=np.float32))]
        if len(images) > 1:
            others.append(np.concatenate([run(self._reference, image[None]) for image in images]))
        if self._plain is not None:
            others.append(run(self._plain, images))
        differences = [float(np.abs(np.subtract(o, outputs, dtype=np.float64)).max()) for o in others]
        floor = max(2.0**-24 * largest, *differences)
        return max(MULTIPLE * floor, LEAST_RELATIVE * max(1.0, largest)), floor

    def text(self) -> str:
        """How the tolerance comes about, in words."""
        how = "without optimisation on one thread, " if self._plain else ""
        return (
            f"{MULTIPLE} times the reference's noise, measured by running it again {how}image by image "
            "and on images moved by their last bit"
        )


@dataclass(frozen=True, kw_only=True)
class FixedBounds:
    """``atol + rtol`` times the largest output, as asked for; the noise floor is measured all the same."""

    measured: Bounds
    atol: float = 0.0
    rtol: float = 0.0

    def __post_init__(self) -> None:
        for name in ("atol", "rtol"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise UsageError(
                    f"--{name} {value:g} is not a tolerance",
                    cause="it is a number from 0 on",
                    next=f"write it like --{name} 1e-4, or leave it out: the tolerance is measured then",
                )

    def at(self, size: Size, images: Array, outputs: Array) -> tuple[float, float | None]:
        """(what was asked for, the measured noise floor)."""
        _, floor = self.measured.at(size, images, outputs)
        finite = np.abs(outputs[np.isfinite(outputs)])
        return self.atol + self.rtol * float(finite.max(initial=0.0)), floor

    def text(self) -> str:
        """How the tolerance comes about, in words."""
        return f"fixed: {self.atol:g} plus {self.rtol:g} times the largest output, as asked for"
