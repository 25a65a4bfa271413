"""Which cells of a map must equal the same network on a crop of the image, and which may differ by right."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fcnship.graph.geometry import last_map, map_stride, scales, sees_everything
from fcnship.graph.nodes import Network
from fcnship.graph.propagate import maps
from fcnship.graph.trace import Cells, Flags, Span, spans_back, trace_node
from fcnship.sizes import Size


def cells_as_on_crop(network: Network, size: Size, crop: Size, output: int = 0) -> Flags:
    """Cells (i, j) of an output's last map that must equal cell (0, 0) on a crop; shape (rows, columns).

    The crop starts at pixel (i, j) times the total stride. True where it lies inside the image, no padding
    takes part on either side, and every window of every layer lies on the same pixels. A cell that is False
    may still be equal; none is True where some layer sees the whole map (``Geometry.global_context``).

    Raises:
        ProfileRefused: the size or the crop is not legal.
    """
    target, stride = last_map(network, output), map_stride(network, output)
    whole, part = trace_node(network, size, target), trace_node(network, crop, target)
    padded = (whole.rows.touches_padding, whole.columns.touches_padding)
    padded_crop = (part.rows.touches_padding[0], part.columns.touches_padding[0])
    sides = ((size.height, crop.height), (size.width, crop.width))
    same = []
    for axis in (0, 1):
        starts = np.arange(padded[axis].size) * stride[axis]
        inside = starts + sides[axis][1] <= sides[axis][0]
        aligned = _aligned(network, axis, (size, crop), target, starts)
        same.append(inside & aligned & ~padded[axis] & ~padded_crop[axis])
    both: Flags = same[0][:, None] & same[1][None, :]
    return np.zeros_like(both) if sees_everything(network, target) else both


def _aligned(network: Network, axis: int, sizes: tuple[Size, Size], target: int, starts: Cells) -> Flags:
    """Cells whose windows lie, at each layer, where the crop's do: moved by the crop's start and no more."""
    spans, of_crop = (spans_back(network, axis, maps(network, size)[axis], target) for size in sizes)
    found = np.ones(starts.shape, dtype=bool)
    for (index, span), scale in ((item, scales(network, axis)[item[0]]) for item in spans.items()):
        found &= _shifted(span, of_crop[index], scale, starts)
    return found


def _shifted(span: Span, crop: Span, scale: Fraction, starts: Cells) -> Flags:
    pixels = starts * scale.denominator
    first, last = ((side - origin[0]) * scale.numerator for side, origin in zip(span, crop, strict=True))
    moved: Flags = (first == pixels) & (last == pixels)
    return moved
