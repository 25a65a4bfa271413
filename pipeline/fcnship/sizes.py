"""Image sizes and profiles, and their grammar.

A size is ``28`` (28x28) or ``28x40`` (height x width). A profile is ``28-224`` (the optimum lies between),
``28,64,224`` (min, opt, max) or one size alone; ``@8`` or ``@1,4,16`` after it sets the batch (max, or
min, opt, max).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fcnship.errors import UsageError

DEFAULT_BATCH = (1, 1, 8)
LADDER_STEPS = 8
_SIZE = re.compile(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", re.ASCII)
_EXAMPLES = "28-224, 28,64,224 or 28x40-224x320"


@dataclass(frozen=True, order=True)
class Size:
    """An image's height and width in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.height * self.width

    @property
    def transposed(self) -> Size:
        """Width and height swapped."""
        return Size(self.width, self.height)

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read ``28`` or ``28x40``.

        Raises:
            UsageError: the text is no size, or a side is zero.
        """
        match = _SIZE.fullmatch(text.strip())
        if not match:
            raise UsageError(
                f"{text!r} is not a size",
                cause="a size is a whole number of pixels of at most nine digits, or height x width",
                next="write it like 28 or 28x40",
            )
        height, width = int(match[1]), int(match[2] or match[1])
        if not (height and width):
            raise UsageError(
                f"{text!r} is not a size", cause="an image has at least one pixel a side", next="start at 1"
            )
        return cls(height, width)

    def within(self, low: Size, high: Size) -> bool:
        """Whether both sides lie between those of ``low`` and ``high``, edges included."""
        return low.height <= self.height <= high.height and low.width <= self.width <= high.width


@dataclass(frozen=True)
class Profile:
    """The sizes and batches that an engine accepts, and those it is tuned for."""

    min: Size
    opt: Size
    max: Size
    batch: tuple[int, int, int] = DEFAULT_BATCH

    def __post_init__(self) -> None:
        wrong = _disorder(self.min, self.opt, self.max) or _batch_disorder(*self.batch)
        if wrong:
            raise _bad_profile(str(self), wrong)

    def __str__(self) -> str:
        sizes = f"{short(self.min)},{short(self.opt)},{short(self.max)}"
        return f"{sizes}@{','.join(map(str, self.batch))}"

    @classmethod
    def parse(cls, text: str) -> Profile:
        """Read ``28-224``, ``28,64,224``, ``28x40-224x320``, ``64``, each with an optional ``@batch``.

        Raises:
            UsageError: the text is no profile, or its sizes or batches are not in rising order.
        """
        body, _, batch_text = text.strip().partition("@")
        if "@" in text and not batch_text:
            raise _bad_profile(text, "nothing stands behind the @")
        try:
            sizes = _sizes_from(body)
        except UsageError as error:
            raise _bad_profile(
                text, error.what if error.cause == "" else f"{error.what}: {error.cause}"
            ) from None
        wrong = _disorder(*sizes)
        if wrong:
            raise _bad_profile(text, wrong)
        return cls(*sizes, _batch_from(text, batch_text))

    def serves(self, size: Size, batch: int = 1) -> bool:
        """Whether an engine with this profile accepts the size and the batch."""
        return size.within(self.min, self.max) and self.batch[0] <= batch <= self.batch[2]

    def as_json(self) -> dict[str, list[int]]:
        """The profile as the report's schema writes it."""
        return {
            "min": [self.min.height, self.min.width],
            "opt": [self.opt.height, self.opt.width],
            "max": [self.max.height, self.max.width],
            "batch": list(self.batch),
        }


def short(size: Size) -> str:
    """``28`` for a square, else ``28x40``."""
    return str(size.height) if size.height == size.width else str(size)


def profile_serving(profiles: Sequence[Profile], size: Size, batch: int = 1) -> Profile | None:
    """The profile that serves a size: of those that accept it, the one whose optimum is nearest in pixels."""
    fitting = [p for p in profiles if p.serves(size, batch)]
    return min(fitting, key=lambda p: abs(math.log(p.opt.pixels / size.pixels)), default=None)


def covering(profiles: Iterable[Profile]) -> tuple[Size, Size]:
    """The smallest and the largest side lengths over all profiles, as (min, max)."""
    low, high = zip(*((p.min, p.max) for p in profiles), strict=True)
    smallest = Size(min(s.height for s in low), min(s.width for s in low))
    largest = Size(max(s.height for s in high), max(s.width for s in high))
    return smallest, largest


def ladder(profile: Profile, steps: int = LADDER_STEPS) -> list[Size]:
    """Sizes from min to max in equal ratios, both ends included, rising, without repeats."""
    share = [i / (steps - 1) for i in range(steps)]
    low, high = profile.min, profile.max
    return sorted(
        {Size(_between(low.height, high.height, t), _between(low.width, high.width, t)) for t in share}
    )


def _between(low: int, high: int, share: float) -> int:
    return round(float(low * (high / low) ** share))


def _sizes_from(body: str) -> tuple[Size, Size, Size]:
    if not all(part.strip() for part in re.split("[,-]", body)):
        raise UsageError("a size is missing")
    if "," in body:
        parts = [Size.parse(part) for part in body.split(",")]
        if len(parts) != 3:
            raise UsageError(f"{body!r} has {len(parts)} sizes: min,opt,max are three")
        return parts[0], parts[1], parts[2]
    parts = [Size.parse(part) for part in body.split("-")]
    if len(parts) > 2:
        raise UsageError(f"{body!r} has {len(parts)} sizes: min-max are two, and min,opt,max take commas")
    low, high = parts[0], parts[-1]
    return low, Size(_optimum(low.height, high.height), _optimum(low.width, high.width)), high


def _optimum(low: int, high: int) -> int:
    """The geometric mean, moved to a multiple of 8 where one lies in the range: kernels tile by eights."""
    middle = math.sqrt(low * high)
    eighth = round(middle / 8) * 8
    return eighth if low <= eighth <= high and low != high else min(max(round(middle), low), high)


def _batch_from(text: str, batch_text: str) -> tuple[int, int, int]:
    if not batch_text:
        return DEFAULT_BATCH
    parts = batch_text.split(",")
    if not all(re.fullmatch(r"[0-9]{1,6}", part, re.ASCII) for part in parts) or len(parts) not in (1, 3):
        raise _bad_profile(text, f"the batch {batch_text!r} is neither max nor min,opt,max")
    values = [int(part) for part in parts]
    low, opt, high = (1, 1, values[0]) if len(values) == 1 else (values[0], values[1], values[2])
    wrong = _batch_disorder(low, opt, high)
    if wrong:
        raise _bad_profile(text, wrong)
    return low, opt, high


def _disorder(low: Size, opt: Size, high: Size) -> str:
    """What is wrong with the order of a profile's sizes; '' if nothing."""
    if not low.within(Size(1, 1), high):
        return f"its maximum {high} is smaller than its minimum {low}"
    return "" if opt.within(low, high) else f"its optimum {opt} does not lie between {low} and {high}"


def _batch_disorder(low: int, opt: int, high: int) -> str:
    if min(low, opt, high) < 1:
        return "a batch holds at least one image"
    return "" if low <= opt <= high else f"the batches {low}, {opt}, {high} do not rise"


def _bad_profile(text: str, cause: str) -> UsageError:
    return UsageError(f"{text!r} is not a profile", cause=cause, next=f"write --profile {_EXAMPLES}")
