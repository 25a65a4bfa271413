"""A network as plain integers: what each operation does to rows, columns and channels. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

from fcnship.sizes import Size

SCHEMA = "fcnship.network/1"
Kind = Literal[
    "input",
    "conv",
    "depthwise",
    "separable",
    "transposed",
    "pool",
    "upsample",
    "pad",
    "crop",
    "dense",
    "pointwise",
    "merge",
    "concatenate",
    "global_pool",
    "flatten",
    "reshape",
]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What an operation does along one spatial axis.

    ``before`` and ``after`` are cells added (pad) or cut off (crop, transposed; a negative ``after`` adds).
    For ``upsample``, ``stride`` is the factor and ``kernel`` the input cells blended into one (1 is nearest).
    ``same`` pads as TensorFlow does: by an amount that depends on the size of the map.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    same: bool = False
    before: int = 0
    after: int = 0

    @property
    def extent(self) -> int:
        """Cells from the kernel's first tap to its last."""
        return (self.kernel - 1) * self.dilation + 1


@dataclass(frozen=True, kw_only=True)
class Node:
    """One call of one layer or Keras operation.

    ``name`` is the layer's path through nested models (``outer/inner``); a shared layer has one node for each
    ``call``. ``spatial`` says that the output's rows and columns follow the image's; otherwise they are
    ``fixed`` (1x1 for a vector). ``tied`` says that the operation works at the declared input size alone,
    ``mixes`` that each cell of its output sees every cell of the map. ``kernel_elements`` is the number of
    multiply-adds for each output cell (for each input cell of a transposed convolution).
    """

    name: str
    layer_class: str
    kind: Kind
    inputs: tuple[int, ...]
    channels: int
    rows: Axis = Axis()
    columns: Axis = Axis()
    call: int = 1
    spatial: bool = True
    vector: bool = False
    fixed: tuple[int, int] = (1, 1)
    tied: bool = False
    mixes: bool = False
    kernel_elements: int = 0

    def along(self, axis: int) -> Axis:
        """What the node does to the rows (axis 0) or to the columns (axis 1)."""
        return self.columns if axis else self.rows


@dataclass(frozen=True, kw_only=True)
class Network:
    """A Keras model of one image input, flattened, in topological order. ``outputs`` index ``nodes``."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    parameters: int
    channels_first: bool = False
    input_size: Size | None = None

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.nodes[0].channels

    @property
    def tie(self) -> Node | None:
        """The first node that ties the network to the declared input size."""
        return next((node for node in self.nodes if node.tied), None)


def network_as_json(network: Network) -> dict[str, Any]:
    """The network as JSON; what equals its default is left out."""
    size = network.input_size
    return {
        "schema": SCHEMA,
        "name": network.name,
        "parameters": network.parameters,
        "channels_first": network.channels_first,
        "input_size": [size.height, size.width] if size else None,
        "outputs": list(network.outputs),
        "nodes": [_without_defaults(node) for node in network.nodes],
    }


def network_from_json(record: Mapping[str, Any]) -> Network:
    """The network that ``network_as_json`` wrote.

    Raises:
        ValueError: the record is of another schema, or a field is missing or unknown.
    """
    if record.get("schema") != SCHEMA:
        raise ValueError(f"schema is {record.get('schema')!r}, not {SCHEMA!r}")
    try:
        size = record["input_size"]
        return Network(
            name=record["name"],
            nodes=tuple(_node_from(entry) for entry in record["nodes"]),
            outputs=tuple(record["outputs"]),
            parameters=record["parameters"],
            channels_first=record["channels_first"],
            input_size=Size(*size) if size else None,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the record is no network: {error}") from error


def _node_from(entry: Mapping[str, Any]) -> Node:
    values = dict(entry)
    for name in ("rows", "columns"):
        if name in values:
            values[name] = Axis(**values[name])
    for name in ("inputs", "fixed"):
        if name in values:
            values[name] = tuple(values[name])
    return Node(**values)


def _without_defaults(item: Node | Axis) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for field in fields(item):
        value = getattr(item, field.name)
        if field.default is not MISSING and value == field.default:
            continue
        if isinstance(value, Axis):
            value = {k: v for k, v in asdict(value).items() if v != getattr(Axis(), k)}
        written[field.name] = list(value) if isinstance(value, tuple) else value
    return written
