"""How sure a share of so many images is."""

from __future__ import annotations

import math

_Z95 = 1.959964


def interval_of_share(share: float, of: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted over ``of`` images.

    Wilson's score interval, which holds for few images and near 0 and 1 as well (Wilson 1927; Brown, Cai and
    DasGupta 2001, "Interval Estimation for a Binomial Proportion").
    """
    if of < 1:
        return 0.0, 1.0
    spread = _Z95**2 / of
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
