"""What one pass over a large image saves against the same answer by crops, counted in multiply-adds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fcnship.graph.cost import LayerCost, cost_of
from fcnship.graph.geometry import map_stride
from fcnship.graph.nodes import Network
from fcnship.sizes import Size

# Below this a pass over the whole image is no cheaper than its crops by anything that a clock would show.
WORTH_IT = 1.5


@dataclass(frozen=True, kw_only=True)
class Saving:
    """One pass of the converted network at ``size`` against the original on every crop.

    ``crops`` is the number of places at which a crop of the trained size fits, a total stride apart;
    ``ratio`` is ``by_crops / one_pass``: above 1 one pass is cheaper. ``heaviest`` is the converted network's
    layer with the most multiply-adds, ``kernel`` its window, ``for_each_cell`` its multiply-adds for one cell
    of its map and ``share`` its part of the pass.
    """

    size: Size
    crop: Size
    crops: int
    one_pass: int
    by_crops: int
    heaviest: str
    kernel: tuple[int, int]
    cells: int
    for_each_cell: int
    share: float

    @property
    def ratio(self) -> float:
        """How many times cheaper one pass is."""
        return self.by_crops / self.one_pass if self.one_pass else 1.0

    @property
    def warning(self) -> str:
        """What to know before shipping it; '' where one pass is clearly cheaper."""
        if self.crops == 1 or self.ratio >= WORTH_IT:
            return ""
        verdict = "costs more than" if self.ratio < 1 else "saves next to nothing against"
        text = (
            f"one pass at {self.size} {verdict} {self.crops:,} crops of {self.crop}: "
            f"{in_words(self.one_pass)} multiply-adds against {in_words(self.by_crops)}"
        )
        if max(self.kernel) == 1:
            return text
        rows, columns = self.kernel
        return (
            f"{text}; {self.heaviest!r}, a {rows}x{columns} convolution, needs "
            f"{in_words(self.for_each_cell)} for each of {self.cells:,} cells. Cheaper: pool before the "
            "Flatten, as models/fcn.py does (each 2x2 pooling leaves a quarter of the window and a quarter "
            "of the cells), or train a network that pools the whole map at its end, as models/multiscale.py"
        )

    def as_json(self) -> dict[str, Any]:
        """The figures as reports write them."""
        record = asdict(self)
        for name in ("size", "crop"):
            side: Size = getattr(self, name)
            record[name] = [side.height, side.width]
        return {**record, "kernel": list(self.kernel), "ratio": self.ratio, "warning": self.warning}


def saving_of(original: Network, converted: Network, size: Size, crop: Size) -> Saving:
    """Compare one pass at ``size`` with the original on every crop of ``crop``, its trained size.

    Raises:
        ProfileRefused: the converted network does not run at ``size``, or the original at ``crop``.
    """
    whole = cost_of(converted, size)
    stride = map_stride(converted)
    rows = (size.height - crop.height) // stride[0] + 1
    columns = (size.width - crop.width) // stride[1] + 1
    crops = max(rows, 1) * max(columns, 1)
    index = max(range(len(whole.layers)), key=lambda i: whole.layers[i].multiply_adds)
    heaviest, node = whole.layers[index], converted.nodes[index]
    return Saving(
        size=size,
        crop=crop,
        crops=crops,
        one_pass=whole.multiply_adds,
        by_crops=crops * cost_of(original, crop).multiply_adds,
        heaviest=heaviest.name,
        kernel=(node.rows.kernel, node.columns.kernel),
        cells=heaviest.rows * heaviest.columns,
        for_each_cell=_for_each_cell(heaviest),
        share=heaviest.multiply_adds / whole.multiply_adds if whole.multiply_adds else 0.0,
    )


def in_words(count: int) -> str:
    """``2.8 million``, ``107.5 billion``: a count as a person reads it."""
    for unit, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count:,}"


def _for_each_cell(layer: LayerCost) -> int:
    return layer.multiply_adds // (layer.rows * layer.columns)
