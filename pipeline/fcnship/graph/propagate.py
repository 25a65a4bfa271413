"""Sizes through a network, one axis at a time, in integers. Cheap: ask for hundreds of sizes."""

from __future__ import annotations

from fcnship.errors import ModelRefused, ProfileRefused
from fcnship.graph.nodes import Axis, Network, Node
from fcnship.sizes import Size

SEARCH_LIMIT = 4096
SIDES = ("height", "width")


class Misfit(Exception):
    """A size does not pass through a node: an empty map, or maps that do not fit together."""

    def __init__(self, node: Node, why: str) -> None:
        super().__init__(why)
        self.node = node
        self.why = why


def padding_before(axis: Axis, length: int) -> int:
    """Cells that a ``same`` window adds before the map.

    Source: TensorFlow, "Notes on padding": the total is ``max((ceil(n/s) - 1) * s + extent - n, 0)``, and the
    odd cell goes after the map.
    """
    if not axis.same:
        return 0
    return max((-(-length // axis.stride) - 1) * axis.stride + axis.extent - length, 0) // 2


def window_output(node: Node, axis: Axis, length: int) -> int:
    """Cells that a node makes of ``length`` cells along one axis; below 1 is an empty map."""
    match node.kind:
        case "conv" | "depthwise" | "separable" | "pool":
            if axis.same:
                return -(-length // axis.stride)
            return (length - axis.extent) // axis.stride + 1
        case "transposed":
            return (length - 1) * axis.stride + axis.extent - axis.before - axis.after
        case "upsample":
            return length * axis.stride
        case "pad":
            return length + axis.before + axis.after
        case "crop":
            return length - axis.before - axis.after
        case _:
            return length


def lengths(network: Network, axis: int, length: int) -> list[int]:
    """The length of every node's output along one axis (0 rows, 1 columns) for an image of ``length`` pixels.

    Raises:
        Misfit: a map is empty, or branches do not fit together.
    """
    found: list[int] = []
    for node in network.nodes:
        found.append(
            length if node.kind == "input" else _length_after(node, axis, [found[i] for i in node.inputs])
        )
    return found


def _length_after(node: Node, axis: int, incoming: list[int]) -> int:
    if node.kind in ("merge", "concatenate") and not node.vector:
        return _merged(node, axis, incoming)
    if node.vector or node.kind in ("global_pool", "flatten", "reshape"):
        return node.fixed[axis]
    out = window_output(node, node.along(axis), incoming[0])
    if out < 1:
        raise Misfit(node, f"a {SIDES[axis]} of {incoming[0]} leaves an empty map at {describe(node)}")
    return out


def _merged(node: Node, axis: int, incoming: list[int]) -> int:
    different = sorted(set(incoming))
    if len(different) == 1:
        return different[0]
    if node.kind == "merge" and len(different) == 2 and different[0] == 1:
        return different[1]
    met = " and ".join(map(str, different))
    raise Misfit(node, f"branches with a {SIDES[axis]} of {met} meet at {describe(node)}")


def describe(node: Node) -> str:
    """How a message names a node: its layer's class and path."""
    return f"{node.layer_class} {node.name!r}"


def output_map(network: Network, size: Size, output: int = 0) -> Size:
    """The size of an output for an image of ``size``; 1x1 after a global pool, a flatten or for a vector.

    Raises:
        ProfileRefused: some map of the network would be empty, branches would not fit together, or the
            network is tied to another size. The message names the layer.
    """
    index = network.outputs[output]
    rows, columns = (found[index] for found in maps(network, size))
    return Size(rows, columns)


def maps(network: Network, size: Size) -> tuple[list[int], list[int]]:
    """Rows and columns of every node's output.

    Raises:
        ProfileRefused: as ``output_map`` does.
    """
    tie = network.tie
    if tie is not None and size != network.input_size:
        raise ProfileRefused(
            f"{network.name} does not run at {size}",
            cause=f"{describe(tie)} ties it to {network.input_size}",
            next="fcnship convert makes the network fully convolutional",
        )
    try:
        return lengths(network, 0, size.height), lengths(network, 1, size.width)
    except Misfit as misfit:
        raise ProfileRefused(
            f"{network.name} does not run at {size}",
            cause=misfit.why,
            next="fcnship explain shows the smallest size and which sizes are legal",
        ) from None


def is_legal(network: Network, size: Size) -> bool:
    """Whether every map of the network has at least one cell at this size, and all branches fit together."""
    if network.tie is not None:
        return size == network.input_size
    return _misfit(network, 0, size.height) is None and _misfit(network, 1, size.width) is None


def minimum(network: Network) -> tuple[Size, str]:
    """The smallest legal size, side by side, and the layer that refuses one pixel less ('' at 1x1).

    Legal sizes need not be every size from there on: see ``is_legal``.

    Raises:
        ModelRefused: no side up to ``SEARCH_LIMIT`` pixels is legal.
    """
    tie = network.tie
    if tie is not None and network.input_size is not None:
        return network.input_size, tie.name
    height, width = _smallest(network, 0), _smallest(network, 1)
    for axis, side in enumerate((height, width)):
        misfit = _misfit(network, axis, side - 1) if side > 1 else None
        if misfit:
            return Size(height, width), misfit.node.name
    return Size(height, width), ""


def _smallest(network: Network, axis: int) -> int:
    legal = (n for n in range(1, SEARCH_LIMIT + 1) if _misfit(network, axis, n) is None)
    found = next(legal, None)
    if found is None:
        misfit = _misfit(network, axis, SEARCH_LIMIT)
        raise ModelRefused(
            f"{network.name} runs at no {SIDES[axis]} up to {SEARCH_LIMIT} pixels",
            cause=misfit.why if misfit else "",
            next="crop or pad the branches so that their maps fit together",
        )
    return found


def _misfit(network: Network, axis: int, length: int) -> Misfit | None:
    try:
        lengths(network, axis, length)
    except Misfit as misfit:
        return misfit
    return None
