"""A network's geometry: total stride, receptive field, smallest size, and what ties it to one size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from fcnship.graph.network import network_from_keras
from fcnship.graph.nodes import Network
from fcnship.graph.propagate import is_legal, minimum, output_map
from fcnship.graph.trace import Trace, ancestors, trace_node
from fcnship.sizes import Size

__all__ = ["Geometry", "geometry_of", "is_legal", "last_map", "map_stride", "output_map", "trace"]

Output = Literal["vector", "map"]
Pair = tuple[int, int]
REFERENCE_TRIES = 64


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What a network does to sizes; pairs are (height, width).

    ``total_stride`` (pixels from one cell to the next; 1 where the map is finer than the image) and
    ``receptive_field`` (pixels a cell sees, padding included) belong to the last map that feeds the output:
    the one that a global pool or a flatten takes, if there is one; the widest of several.
    ``minimum_layer`` refuses the size one pixel below ``minimum_size`` and is '' for 1x1. ``fixing_layer``
    ties the network to ``fixed_size``. ``global_context``: some layer lets each cell of that map see the
    whole image too, beyond its receptive field (squeeze and excitation, softmax over space). ``outputs`` says
    for each output whether it is (batch, classes) or a map.
    """

    total_stride: Pair
    receptive_field: Pair
    minimum_size: Size
    minimum_layer: str
    fixed_size: Size | None
    fixing_layer: str
    input_size: Size | None
    channels: int
    classes: int
    outputs: tuple[Output, ...]
    global_context: bool

    def as_json(self) -> dict[str, Any]:
        """The geometry as reports write it: a pair of equal numbers is one integer."""
        return {
            "total_stride": _short(self.total_stride),
            "receptive_field": _short(self.receptive_field),
            "minimum_size": _short_size(self.minimum_size),
            "minimum_layer": self.minimum_layer,
            "fixed_size": _short_size(self.fixed_size),
            "fixing_layer": self.fixing_layer,
            "input_size": _short_size(self.input_size),
            "channels": self.channels,
            "classes": self.classes,
            "outputs": list(self.outputs),
            "global_context": self.global_context,
        }


def geometry_of(model: Any) -> Geometry:
    """The geometry of a Keras model, or of a ``Network`` read from one before.

    Raises:
        ModelRefused: a layer's geometry is not known, or no size is legal.
    """
    network = model if isinstance(model, Network) else network_from_keras(model)
    smallest, refusing = minimum(network)
    tops = [index for output in range(len(network.outputs)) for index in _last_maps(network, output)]
    fields = _fields(network, tops, smallest)
    tie = network.tie
    return Geometry(
        total_stride=(_stride(network, tops, 0), _stride(network, tops, 1)),
        receptive_field=(max(f[0] for f in fields), max(f[1] for f in fields)),
        minimum_size=smallest,
        minimum_layer=refusing,
        fixed_size=network.input_size if tie else None,
        fixing_layer=tie.name if tie else "",
        input_size=network.input_size,
        channels=network.channels,
        classes=network.nodes[network.outputs[0]].channels,
        outputs=tuple("vector" if network.nodes[i].vector else "map" for i in network.outputs),
        global_context=any(sees_everything(network, top) for top in tops),
    )


def trace(network: Network, size: Size, output: int = 0) -> Trace:
    """What each cell of an output's last map sees of an image of ``size``.

    Raises:
        ProfileRefused: the size is not legal.
    """
    return trace_node(network, size, last_map(network, output))


def last_map(network: Network, output: int = 0) -> int:
    """The node whose map feeds an output: its own, or the one that a global pool or a flatten takes.

    Of several (two maps pooled and joined) the one with the widest receptive field, then the last.
    """
    tops = _last_maps(network, output)
    if len(tops) == 1:
        return tops[0]
    fields = _fields(network, tops, minimum(network)[0])
    return max(zip(fields, tops, strict=True), key=lambda pair: (math.prod(pair[0]), pair[1]))[1]


def map_stride(network: Network, output: int = 0) -> Pair:
    """The total stride of one output's last map."""
    top = last_map(network, output)
    return _stride(network, [top], 0), _stride(network, [top], 1)


def _last_maps(network: Network, output: int) -> list[int]:
    """Spatial nodes that an output reaches without passing another spatial one."""
    waiting, found, seen = [network.outputs[output]], set(), set()
    while waiting:
        index = waiting.pop()
        if index in seen:
            continue
        seen.add(index)
        if network.nodes[index].spatial:
            found.add(index)
        else:
            waiting.extend(network.nodes[index].inputs)
    return sorted(found)


def scales(network: Network, axis: int) -> list[Fraction]:
    """Pixels of the image from one cell to the next, for each node; 0 where no map follows the image."""
    scales: list[Fraction] = []
    for node in network.nodes:
        incoming = max((scales[i] for i in node.inputs if network.nodes[i].spatial), default=Fraction(1))
        step = node.along(axis).stride
        finer = node.kind in ("upsample", "transposed")
        scales.append((incoming / step if finer else incoming * step) if node.spatial else Fraction(0))
    return scales


def _stride(network: Network, tops: list[int], axis: int) -> int:
    found = scales(network, axis)
    return max([1, *(math.ceil(found[top]) for top in tops)])


def _fields(network: Network, tops: list[int], smallest: Size) -> list[Pair]:
    """The receptive field of each map, at a size where every stride divides evenly if one is legal."""
    size = Size(_reference(network, smallest, 0), _reference(network, smallest, 1))
    fields = []
    for top in tops:
        seen = trace_node(network, size, top)
        rows, columns = (s.unclipped_last - s.unclipped_first + 1 for s in (seen.rows, seen.columns))
        fields.append((max(int(rows.max()), 1), max(int(columns.max()), 1)))
    return fields


def _reference(network: Network, smallest: Size, axis: int) -> int:
    low = (smallest.height, smallest.width)[axis]
    if network.tie is not None:
        return low
    step = math.lcm(*(scale.numerator for scale in scales(network, axis) if scale))
    start = -(-(low + step) // step) * step
    for side in range(start, start + REFERENCE_TRIES * step, step):
        if is_legal(network, Size(smallest.height, side) if axis else Size(side, smallest.width)):
            return side
    return low


def sees_everything(network: Network, top: int) -> bool:
    """Whether some layer below a map lets each of its cells see the whole image."""
    below = [network.nodes[i] for i in ancestors(network, top)]
    return any(node.mixes or not network.nodes[i].spatial for node in below for i in node.inputs)


def _short(pair: Pair) -> int | list[int]:
    return pair[0] if pair[0] == pair[1] else list(pair)


def _short_size(size: Size | None) -> int | list[int] | None:
    return _short((size.height, size.width)) if size else None
