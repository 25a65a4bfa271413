"""Which layers to leave in FP32, from the errors that they add."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

from fcnship.verify.attribution.layer_errors import LayerError, ranked

# What adds at least half as much as the worst layer is one of the worst. Where these are more than three,
# nothing stands out.
_SHARE_OF_WORST = 0.5
MOST_LAYERS = 3


def suggested(
    errors: Sequence[LayerError], paths: dict[int, tuple[str, ...]], most: float = math.inf
) -> list[str]:
    """The paths of the layers whose error dominates, the worst first; none where nothing is added.

    ``paths``: for each place the layers that have nodes in the candidate, and so can be kept. ``most``: the
    largest number of its precision. Who reads what does not fit has to be kept too.
    """
    candidates = [error for error in ranked(errors) if paths.get(error.place) and error.local > 0]
    if not candidates:
        return []
    worst = candidates[0].local
    dominating = [error for error in candidates if error.local >= _SHARE_OF_WORST * worst]
    if len(dominating) > MOST_LAYERS:
        dominating = dominating[:1]
    made = {cut.tensor for error in dominating if error.largest > most for cut in error.cuts}
    readers = [error for error in errors if any(made & set(cut.edges) for cut in error.cuts)]
    return list(dict.fromkeys(path for error in (*dominating, *readers) for path in paths[error.place]))


def next_suggested(
    errors: Sequence[LayerError], paths: dict[int, tuple[str, ...]], kept: Sequence[str]
) -> list[str]:
    """The same layers and the worst of the others."""
    for error in ranked(errors):
        more = [path for path in paths.get(error.place, ()) if path not in kept]
        if more and error.local > 0:
            return [*kept, *more]
    return list(kept)


def flags(layers: Sequence[str]) -> str:
    """The layers as words of a command line."""
    return " ".join(f"--keep-fp32 {shlex.quote(layer)}" for layer in layers)


def stands_out(errors: Sequence[LayerError]) -> bool:
    """Whether few layers add much more than the others."""
    worst = max(error.local for error in errors)
    return sum(error.local >= _SHARE_OF_WORST * worst for error in errors) <= MOST_LAYERS


def suggestion(
    variant: str, precision: str, layers: Sequence[str], errors: Sequence[LayerError]
) -> dict[str, Any] | None:
    """What the report says of it; None for FP32, where there is nothing to keep."""
    if precision not in ("fp16", "int8") or not layers:
        return None
    how = "build it again" if stands_out(errors) else "no layer stands out; it is more exact if built again"
    return {
        "layers": list(layers),
        "flags": flags(layers),
        "text": f"{variant}: {how} with {flags(layers)}",
    }
