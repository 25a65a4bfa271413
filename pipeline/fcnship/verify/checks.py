"""What a validation was asked for, besides what it validates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from fcnship.errors import UsageError
from fcnship.sizes import Size
from fcnship.verify.sizes_that_find import SizeSet


@dataclass(frozen=True, kw_only=True)
class Checks:
    """Which sizes, which tolerance, outputs to keep or to take from another machine, and whether to look for
    the layer that an error comes from (at which size, in which variants, and whether to try a fix).
    """

    sizes: SizeSet = "default"
    atol: float | None = None
    rtol: float | None = None
    save_outputs: Path | None = None
    load_outputs: Path | None = None
    attribute: bool = False
    attribute_size: Size | None = None
    attribute_variants: tuple[str, ...] = ()
    try_fix: bool = False

    def __post_init__(self) -> None:
        if self.sizes not in get_args(SizeSet):
            raise UsageError(
                f"there is no set of sizes {self.sizes!r}",
                cause=f"it is one of {', '.join(get_args(SizeSet))}",
                next="give --sizes all for every size",
            )
        at, which = self.attribute_size, self.attribute_variants
        given = {"--size": at, "--variant": which, "--try-fix": self.try_fix}
        for flag, value in given.items():
            if value and not self.attribute:
                raise UsageError(
                    f"{flag} goes with --attribute",
                    cause="it says how the layers are looked into",
                    next="add --attribute",
                )

    @property
    def fixed(self) -> bool:
        """Whether the tolerance was given."""
        return self.atol is not None or self.rtol is not None

    def __str__(self) -> str:
        """What of it decides the verdict, for a stage's record."""
        given = {"sizes": self.sizes, "atol": self.atol, "rtol": self.rtol, "outputs": self.load_outputs}
        told = [f"{key} {value}" for key, value in given.items() if value not in (None, "default")]
        return ", ".join(told) or "default"
