"""At which sizes and batches a drop proves itself, and with what: few enough for a device, and telling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fcnship.sizes import Profile, Size

Kind = Literal["typical", "doubtful", "noise"]
# What is drawn at random hardly shrinks in the file: noise of one case, and a batch's input, are bounded.
MOST_NOISE_BYTES = 1 << 20
MOST_BATCH_BYTES = 8 << 20
# Shares of the range, of height and of width: one size that is wide and one that is high.
_WIDE, _HIGH = (0.25, 0.7), (0.6, 0.3)
_FLOAT32_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """One golden file: a size and a batch of a profile, and what is on its images.

    ``typical``: real images, and noise as the last of several; ``doubtful``: real ones on which the network
    is least sure; ``noise``: that alone.
    """

    profile: int
    size: Size
    batch: int
    kind: Kind = "typical"

    @property
    def file(self) -> str:
        """Its path in the drop."""
        kind = "" if self.kind == "typical" else f"-{self.kind}"
        return f"golden/p{self.profile}-{self.size}-b{self.batch}{kind}.npz"


def golden_cases(
    profiles: Sequence[Profile],
    stride: Size,
    channels: int,
    legal: Callable[[Size], bool],
    fits: Callable[[Size, int], bool],
) -> list[Case]:
    """Each profile's min, opt and max; a wide and a high size off the stride's lattice; its largest batch.

    Minimum and maximum are doubtful, the optimum and the largest batch typical.

    ``legal``: whether the network runs at a size. ``fits``: whether a batch may be run at once. The wide size
    has real images, the high one noise, where its noise is small enough; else the minimum has.
    """
    each = (
        case
        for index, profile in enumerate(profiles)
        for case in _of_profile(index, profile, stride, channels, legal, fits)
    )
    return list(dict.fromkeys(each))


def _of_profile(
    index: int,
    profile: Profile,
    stride: Size,
    channels: int,
    legal: Callable[[Size], bool],
    fits: Callable[[Size, int], bool],
) -> Iterator[Case]:
    least, _, most = profile.batch
    edges = (profile.min, profile.opt, profile.max)
    wide, high = (_between(profile, stride, shares, edges, legal) for shares in (_WIDE, _HIGH))
    sizes = dict.fromkeys([*edges, *(size for size in (wide,) if size)])
    for place, size in enumerate(sizes):
        yield Case(profile=index, size=size, batch=least, kind="typical" if place % 2 else "doubtful")

    def pixel_bytes(size: Size, batch: int) -> int:
        return size.pixels * channels * _FLOAT32_BYTES * batch

    noisy = high if high and pixel_bytes(high, least) <= MOST_NOISE_BYTES else profile.min
    yield Case(profile=index, size=noisy, batch=least, kind="noise")
    large = fits(profile.opt, most) and pixel_bytes(profile.opt, most) <= MOST_BATCH_BYTES
    yield Case(profile=index, size=profile.opt if large else profile.min, batch=most)


def _between(
    profile: Profile,
    stride: Size,
    shares: tuple[float, float],
    taken: Sequence[Size],
    legal: Callable[[Size], bool],
) -> Size | None:
    """The size nearest to these shares of the range, its sides no multiples of the stride; None: no such."""
    low, high = profile.min, profile.max
    heights = _off(low.height, high.height, shares[0], stride.height)
    widths = _off(low.width, high.width, shares[1], stride.width)
    found = (Size(height, width) for height in heights for width in widths)
    return next((size for size in found if size not in taken and legal(size)), None)


def _off(low: int, high: int, share: float, stride: int) -> list[int]:
    """A few sides near a share of the range, nearest first: no multiples of the stride where others are."""
    wanted = low + (high - low) * share
    near = sorted(range(low, high + 1), key=lambda side: abs(side - wanted))[: 4 * max(stride, 2)]
    return sorted(near, key=lambda side: stride > 1 and side % stride == 0)[:8]
