"""The images of golden data: real ones that the network is sure of, ones that it is not, and noise.

Where a network is sure, its probabilities stay at 0 and 1 whatever becomes of a weight; where it is not, they
move, and narrow precisions move them too. Some files have the one kind, some the other: a fault has to escape
both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fcnship.runners import Runner, run
from fcnship.ship.golden_cases import Case
from fcnship.sizes import Size
from fcnship.verify.image_batches import ImageBatches

Array = np.ndarray[Any, Any]
_MOST_CANDIDATES = 48
_MULTIPLY_ADDS = 2 * 10**10


class GoldenImages:
    """Draws them; the same for the same network, data and case."""

    def __init__(self, real: ImageBatches, reference: Runner, multiply_adds: Callable[[Size], int]) -> None:
        self._real, self._reference = real, reference
        self._noise = replace(real, pictures=None)
        self._multiply_adds = multiply_adds

    def __call__(self, case: Case) -> Array:
        """(batch, height, width, channels) float32."""
        if case.kind == "noise":
            return self._noise(case.size, case.batch)
        if case.kind == "doubtful" and self._real.pictures is not None:
            return self._doubtful(self._real.pictures, case)
        return self._real(case.size, case.batch)

    def _doubtful(self, pictures: Any, case: Case) -> Array:
        """Those of some candidates whose best class leads the next by least."""
        affordable = _MULTIPLY_ADDS // max(self._multiply_adds(case.size), 1)
        count = max(min(affordable, _MOST_CANDIDATES, len(pictures)), case.batch)
        rng = np.random.default_rng((case.profile, case.size.height, case.size.width))
        places = rng.choice(len(pictures), count, replace=count > len(pictures))
        # One at a time: pictures of a folder may be large.
        alone = [replace(self._real, pictures=pictures[int(place)][None])(case.size, 1) for place in places]
        leads = [_lead(run(self._reference, image)) for image in alone]
        chosen = np.argsort(leads, kind="stable")[: case.batch]
        return np.concatenate([alone[place] for place in chosen])


def _lead(outputs: Array) -> float:
    """By how much the best class leads the next, on average over a map."""
    if outputs.shape[-1] < 2:
        return 0.0
    best = np.partition(outputs, -2, axis=-1)
    return float((best[..., -1] - best[..., -2]).mean())
