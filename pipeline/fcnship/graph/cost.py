"""What one pass costs: multiply-adds and bytes of activations, for any size."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fcnship.graph.nodes import Network, Node
from fcnship.graph.propagate import maps
from fcnship.sizes import Size

FLOAT32_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """One call of a layer: its output map, multiply-adds, and the bytes that it writes and reads."""

    name: str
    layer_class: str
    rows: int
    columns: int
    channels: int
    multiply_adds: int
    output_bytes: int
    input_bytes: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one pass over a batch.

    ``multiply_adds`` counts convolutions and dense layers, padding included. ``activation_bytes`` is every
    layer's output in float32; ``peak_bytes`` the most that is alive at once, when layers run in order and an
    output is freed after its last reader. Activation layers count as layers of their own.
    """

    size: Size
    batch: int
    multiply_adds: int
    activation_bytes: int
    peak_bytes: int
    layers: tuple[LayerCost, ...]

    def as_json(self) -> dict[str, Any]:
        """The cost as reports write it."""
        record = asdict(self)
        return {**record, "size": [self.size.height, self.size.width], "layers": list(record["layers"])}


def cost_of(network: Network, size: Size, batch: int = 1) -> Cost:
    """Multiply-adds and activation bytes of one pass over ``batch`` images of ``size``.

    Raises:
        ProfileRefused: the size is not legal.
    """
    rows, columns = maps(network, size)
    cells = [batch * r * c for r, c in zip(rows, columns, strict=True)]
    sizes = [FLOAT32_BYTES * n * node.channels for n, node in zip(cells, network.nodes, strict=True)]
    layers = tuple(
        LayerCost(
            name=node.name,
            layer_class=node.layer_class,
            rows=rows[index],
            columns=columns[index],
            channels=node.channels,
            multiply_adds=_multiply_adds(node, cells, index),
            output_bytes=sizes[index],
            input_bytes=sum(sizes[i] for i in set(node.inputs)),
        )
        for index, node in enumerate(network.nodes)
    )
    return Cost(
        size=size,
        batch=batch,
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        activation_bytes=sum(sizes),
        peak_bytes=_peak(network, sizes),
        layers=layers,
    )


def _multiply_adds(node: Node, cells: list[int], index: int) -> int:
    """The kernel is applied once for each output cell, or for each input cell of a transposed convolution."""
    return node.kernel_elements * cells[node.inputs[0] if node.kind == "transposed" else index]


def _peak(network: Network, sizes: list[int]) -> int:
    last_reader = list(range(len(sizes)))
    for index, node in enumerate(network.nodes):
        for source in node.inputs:
            last_reader[source] = index
    for index in network.outputs:
        last_reader[index] = len(sizes)
    return max(sum(sizes[i] for i in range(step + 1) if last_reader[i] >= step) for step in range(len(sizes)))
