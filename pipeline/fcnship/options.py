"""What a build was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fcnship.errors import UsageError
from fcnship.sizes import Profile

Flavour = Literal["auto", "tensorrt", "tensorrt_rtx"]
Layout = Literal["nchw", "nhwc"]
Head = Literal["map", "average", "max"]
_FORBIDDEN_IN_NAMES = set('/\\\0\n\r\t"<>|:*?')


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a build, as the command line and Python give them."""

    model: str = "multiscale"
    data: str = "digits"
    profiles: tuple[Profile, ...] = (Profile.parse("28-224"),)
    seed: int = 0
    name: str = ""
    out: Path = Path("artifacts")
    flavour: Flavour = "auto"
    layout: Layout = "nchw"
    head: Head = "average"
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.profiles:
            raise UsageError("no profile is given", next="give one like --profile 28-224")
        if len(set(self.profiles)) != len(self.profiles):
            raise UsageError("the same profile is given twice", next="give each --profile once")
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"the seed {self.seed} is not between 0 and {2**31 - 1}")
        if self.name and (set(self.name) & _FORBIDDEN_IN_NAMES or self.name.strip(". ") != self.name):
            raise UsageError(
                f"{self.name!r} cannot name a folder",
                cause="a name has no slashes, quotes or control characters and no dots at its ends",
                next="give another --name",
            )
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise UsageError(f"the value range {self.value_range} does not rise", next="write it like 0,255")

    def as_json(self) -> dict[str, Any]:
        """The options as run.json keeps them, so that single steps can go on with them."""
        return {
            "model": self.model,
            "data": self.data,
            "profiles": [str(profile) for profile in self.profiles],
            "seed": self.seed,
            "flavour": self.flavour,
            "layout": self.layout,
            "head": self.head,
            "value_range": list(self.value_range) if self.value_range else None,
        }
