"""Do one pass over an image and crops of it answer the same, cell by cell, where they must?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.graph.crops import cells_as_on_crop
from fcnship.graph.geometry import map_stride, trace
from fcnship.graph.nodes import Network
from fcnship.sizes import Size
from fcnship.verify.noise import MULTIPLE
from fcnship.verify.original import original_at

Array = np.ndarray[Any, Any]
Ask = Callable[[Array], Array]
_MOST_SURROUNDING, _BATCH = 16, 16


@dataclass(frozen=True, kw_only=True)
class Check:
    """A comparison with some cells of the map of one pass: how many of how many, and the largest error.

    ``allowed`` is None where answers may differ by right.
    """

    what: str
    cells: int
    of: int
    error: float
    allowed: float | None

    @property
    def passed(self) -> bool:
        """Whether the error is allowed."""
        return self.allowed is None or self.error <= self.allowed

    def __str__(self) -> str:
        told = f"{self.cells:,} of {self.of:,} cells against {self.what}"
        if not self.cells:
            return told
        bound = "differs by right" if self.allowed is None else f"allowed {self.allowed:.1e}"
        return f"{told}: largest error {self.error:.1e}, {bound}{'' if self.passed else ', WRONG'}"


def noise_floor(ask: Ask, image: Array, answer: Array) -> float:
    """By how much answers move when each pixel moves by its last bit; at least their own resolution."""
    moved = ask(np.nextafter(image, np.float32(2)))
    spacing = float(np.finfo(np.float32).eps * np.abs(answer).max())
    return max(float(np.abs(answer - moved).max()), spacing)


def against_crops(
    network: Network, size: Size, crop: Size, answer: Array, by_crops: Array, floor: float
) -> list[Check]:
    """The map (rows, columns, classes) of one pass against the original on the crop of each cell.

    Where layers pad, a crop has zeros at its border and the larger image has pixels: those cells may differ.
    """
    must = cells_as_on_crop(network, size, crop)
    gap = np.abs(answer - by_crops).max(axis=-1)
    kinds = (
        ("their crop, where they must agree", must, MULTIPLE * floor),
        ("their crop, padded", ~must, None),
    )
    return [
        Check(
            what=what,
            cells=int(cells.sum()),
            of=cells.size,
            error=float(gap[cells].max(initial=0.0)),
            allowed=allowed,
        )
        for what, cells, allowed in kinds
    ]


def against_wider_crops(
    network: Network, size: Size, crop: Size, ask: Ask, image: Array, answer: Array, floor: float
) -> Check:
    """Against crops taken with so much of their surroundings that no padding reaches their middle cell.

    Only cells that no padding reaches in the large image either, and whose wider crop lies inside it.
    """
    stride, whole = map_stride(network), trace(network, size)
    around = surroundings(network, crop)
    wide = Size(crop.height + 2 * around * stride[0], crop.width + 2 * around * stride[1])
    sides = ((size.height, wide.height, whole.rows), (size.width, wide.width, whole.columns))
    rows, columns = (
        [
            cell
            for cell in np.flatnonzero(~seen.touches_padding)
            if 0 <= (cell - around) * step <= side - wide_side
        ]
        for (side, wide_side, seen), step in zip(sides, stride, strict=True)
    )
    cells = [(i, j) for i in rows for j in columns]
    error = 0.0
    for start in range(0, len(cells), _BATCH):
        part = cells[start : start + _BATCH]
        corners = [((i - around) * stride[0], (j - around) * stride[1]) for i, j in part]
        crops = np.concatenate([image[:, y : y + wide.height, x : x + wide.width] for y, x in corners])
        middle = ask(crops)[:, around, around]
        error = max(error, float(np.abs(middle - np.stack([answer[cell] for cell in part])).max()))
    return Check(
        what=f"crops with their surroundings, {wide}",
        cells=len(cells),
        of=answer.shape[0] * answer.shape[1],
        error=error,
        allowed=MULTIPLE * floor,
    )


def surroundings(network: Network, crop: Size) -> int:
    """Total strides to add on each side of a crop until no padding reaches its middle cell."""
    stride = map_stride(network)
    for around in range(_MOST_SURROUNDING):
        seen = trace(network, Size(crop.height + 2 * around * stride[0], crop.width + 2 * around * stride[1]))
        if not (seen.rows.touches_padding[around] or seen.columns.touches_padding[around]):
            return around
    raise AssertionError(f"padding reaches further than {_MOST_SURROUNDING} cells into the map")


def against_own_layers(original: Any, image: Array, answer: Array, floor: float) -> Check:
    """Every cell against the original's own layers on the large image, its dense head window by window."""
    rows, columns, _ = answer.shape
    cells = [(i, j) for i in range(rows) for j in range(columns)]
    (own,) = original_at(original, image, cells, channels_first=False)
    assert own.values is not None
    expected = own.values.reshape(answer.shape)
    return Check(
        what="the original's own layers on the whole image",
        cells=len(cells),
        of=len(cells),
        error=float(np.abs(answer - expected).max()),
        allowed=MULTIPLE * floor,
    )
