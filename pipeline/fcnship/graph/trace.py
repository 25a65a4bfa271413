"""Which rows and columns of the image each cell of a map sees, exactly, padding included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcnship.graph.nodes import Axis, Network, Node
from fcnship.graph.propagate import maps, padding_before
from fcnship.sizes import Size

Cells = NDArray[np.int64]
Flags = NDArray[np.bool_]
Span = tuple[Cells, Cells]
# Stands for "no pixel": wide enough to be ignored by every minimum and maximum, and no overflow when scaled.
FAR = 2**40


@dataclass(frozen=True, kw_only=True, eq=False)
class AxisTrace:
    """What each cell of a map sees along one axis; arrays of one entry a cell.

    ``first`` and ``last`` are pixels of the image, both included; a cell that sees none (beyond a padding)
    has ``first > last``. ``unclipped_first`` and ``unclipped_last`` are what it would see if every map went
    on without end: below 0 or past the image where padding stands in. ``touches_padding`` says that some
    padding, of any layer, takes part in the cell.
    """

    first: Cells
    last: Cells
    unclipped_first: Cells
    unclipped_last: Cells
    touches_padding: Flags


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """What each cell of a map sees: cell (i, j) sees what ``rows`` has at i and ``columns`` at j."""

    node: Node
    map: Size
    rows: AxisTrace
    columns: AxisTrace

    @property
    def touches_padding(self) -> Flags:
        """For each cell (i, j) whether padding takes part; shape (rows, columns)."""
        return self.rows.touches_padding[:, None] | self.columns.touches_padding[None, :]


def trace_node(network: Network, size: Size, target: int) -> Trace:
    """Trace the output of ``network.nodes[target]`` for an image of ``size``.

    Branches that pool the whole map and are broadcast back see everything and are left out.

    Raises:
        ProfileRefused: the size is not legal.
    """
    rows, columns = maps(network, size)
    return Trace(
        node=network.nodes[target],
        map=Size(rows[target], columns[target]),
        rows=_traced(network, 0, rows, target),
        columns=_traced(network, 1, columns, target),
    )


def _traced(network: Network, axis: int, lengths: list[int], target: int) -> AxisTrace:
    wanted = ancestors(network, target)
    first, last, padded = _clipped(network, axis, lengths, wanted)[target]
    low, high = spans_back(network, axis, lengths, target)[0]
    return AxisTrace(first=first, last=last, unclipped_first=low, unclipped_last=high, touches_padding=padded)


def ancestors(network: Network, target: int) -> list[int]:
    """The spatial nodes that the target's map is made of, itself included, in topological order."""
    wanted = {target}
    for index in range(target, -1, -1):
        if index in wanted:
            wanted.update(i for i in network.nodes[index].inputs if network.nodes[i].spatial)
    return sorted(wanted)


def taps(node: Node, axis: Axis, length: int, cells: Cells) -> list[tuple[Cells, Flags]]:
    """Input cells that each output cell reads, one array a tap, with where the tap reads at all.

    Cells may lie outside the map: that is padding.
    """
    always = np.ones(cells.shape, dtype=bool)
    match node.kind:
        case "conv" | "depthwise" | "separable" | "pool":
            start = cells * axis.stride - padding_before(axis, length)
            return [(start + tap * axis.dilation, always) for tap in range(axis.kernel)]
        case "transposed":
            ends = [cells + axis.before - tap * axis.dilation for tap in range(axis.kernel)]
            return [(end // axis.stride, end % axis.stride == 0) for end in ends]
        case "upsample":
            return _upsampled(axis, cells)
        case "pad":
            return [(cells - axis.before, always)]
        case "crop":
            return [(cells + axis.before, always)]
        case _:
            return [(cells, always)]


def _upsampled(axis: Axis, cells: Cells) -> list[tuple[Cells, Flags]]:
    """Half-pixel centres: cell o lies at (o + 0.5) / factor - 0.5 of the input, between two of its cells."""
    factor = axis.stride
    always = np.ones(cells.shape, dtype=bool)
    if axis.kernel == 1:
        return [(cells // factor, always)]
    twice = 2 * cells + 1 - factor
    below, between = twice // (2 * factor), twice % (2 * factor) != 0
    reach = axis.kernel // 2
    return [(below + step, always if step == 0 else between) for step in range(1 - reach, reach + 1)]


def _clipped(
    network: Network, axis: int, lengths: list[int], wanted: list[int]
) -> dict[int, tuple[Cells, Cells, Flags]]:
    """Forward: from each node's taps that hit the map, the pixels that its cells see."""
    pixels = np.arange(lengths[0])
    known = {0: (pixels, pixels, np.zeros(pixels.shape, dtype=bool))}
    for index in wanted[1:]:
        node, length = network.nodes[index], lengths[index]
        cells = np.arange(length)
        first, last = np.full(length, FAR), np.full(length, -FAR)
        padded = np.zeros(length, dtype=bool)
        for source in (i for i in node.inputs if i in known):
            low, high, flags = known[source]
            for place, reads in _taps_into(node, node.along(axis), low.size, cells, length):
                inside = reads & (place >= 0) & (place < low.size)
                at = np.clip(place, 0, low.size - 1)
                first = np.minimum(first, np.where(inside, low[at], FAR))
                last = np.maximum(last, np.where(inside, high[at], -FAR))
                padded |= np.where(inside, flags[at], reads)
        known[index] = (first, last, padded)
    return known


def _taps_into(node: Node, axis: Axis, source: int, cells: Cells, length: int) -> list[tuple[Cells, Flags]]:
    if source == 1 and length != 1 and node.kind == "merge":
        return [(np.zeros_like(cells), np.ones(cells.shape, dtype=bool))]
    return taps(node, axis, source, cells)


def spans_back(network: Network, axis: int, lengths: list[int], target: int) -> dict[int, Span]:
    """Backward: the first and last cell of each earlier map that the target reaches, edges ignored."""
    cells = np.arange(lengths[target])
    spans: dict[int, Span] = {target: (cells, cells)}
    for index in range(target, 0, -1):
        if index not in spans:
            continue
        node, (low, high) = network.nodes[index], spans[index]
        for source in node.inputs:
            if network.nodes[source].spatial:
                reached = _span_before(node, node.along(axis), (lengths[source], lengths[index]), low, high)
                spans[source] = _hull(spans.get(source), reached)
    return spans


def _span_before(
    node: Node, axis: Axis, sides: tuple[int, int], low: Cells, high: Cells
) -> tuple[Cells, Cells]:
    if node.kind == "merge" and sides[0] == 1 != sides[1]:
        return np.zeros_like(low), np.zeros_like(high)
    if node.kind == "transposed":
        first = -(-(low + axis.before - (axis.extent - 1)) // axis.stride)
        last = (high + axis.before) // axis.stride
        none = first > last
        return np.where(none, FAR, first), np.where(none, -FAR, last)
    lows = [np.where(reads, place, FAR) for place, reads in taps(node, axis, sides[0], low)]
    highs = [np.where(reads, place, -FAR) for place, reads in taps(node, axis, sides[0], high)]
    return np.minimum.reduce(lows), np.maximum.reduce(highs)


def _hull(known: Span | None, reached: Span) -> Span:
    if known is None:
        return reached
    return np.minimum(known[0], reached[0]), np.maximum(known[1], reached[1])
