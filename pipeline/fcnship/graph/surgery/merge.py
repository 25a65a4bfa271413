"""Rules for layers that join branches, and for Keras operations used without a layer."""

from __future__ import annotations

from typing import Any

from fcnship.graph.surgery.local import FLAT_WAY_OUT
from fcnship.graph.surgery.surgeon import Surgeon
from fcnship.graph.surgery.values import Call, Value, Window, names, refusal

MERGES = names("Add Subtract Multiply Average Maximum Minimum")
# Operations of keras.ops that compute each number from those at the same place, with broadcasting.
ELEMENTWISE = names(
    "Add Subtract Multiply Divide TrueDivide Maximum Minimum Power Relu Relu6 Sigmoid LogSigmoid Silu "
    "HardSilu Tanh HardSigmoid HardTanh Elu Celu Selu LeakyRelu Gelu Softplus Softsign Squareplus Exp Log "
    "Sqrt Rsqrt Square Abs Absolute Negative Clip Cast Sign"
)
REDUCTIONS = names("Mean Max Min Sum Amax Amin")


def elementwise(surgeon: Surgeon, call: Call) -> list[Value]:
    """Add, multiply and their like: of maps of one size, or of a map and a number for each channel."""
    _need_small_constants(surgeon, call)
    windows = [value.window for value in call.values if value.window]
    if not windows:
        _need_one_size(surgeon, call)
        return surgeon.keep(call)
    window = _common_window(call, windows)
    (kept,) = surgeon.keep(call, role="cells")
    return surgeon.results(call, [kept.tensor], window=window)


def concatenate(surgeon: Surgeon, call: Call) -> list[Value]:
    """Concatenate along channels."""
    axis = call.op.axis % len(call.value.trained.shape)
    windows = [value.window for value in call.values if value.window]
    if not windows:
        if axis != surgeon.channel_axis:
            raise refusal(call.op, "it joins maps along rows or columns", "join them along the channels")
        _need_one_size(surgeon, call, broadcast=False)
        return surgeon.keep(call)
    window = _common_window(call, windows)
    if not window.one_cell:
        raise refusal(
            call.op,
            "it joins flattened maps end to end",
            "join the maps along the channels, then flatten once",
        )
    config = {**call.op.get_config(), "axis": surgeon.channel_axis}
    (kept,) = surgeon.keep(call, config=config, role="cells")
    channels = sum(value.window.channels for value in call.values if value.window)
    joined = Window(rows=1, columns=1, channels=channels, order="hwc")
    return surgeon.results(call, [kept.tensor], window=joined)


def reduction(surgeon: Surgeon, call: Call) -> list[Value]:
    """``ops.mean`` and its like: over the whole map, or over channels with the axis kept."""
    op, value = call.op, call.value
    if value.window:
        raise refusal(op, "it reduces a flattened map", FLAT_WAY_OUT)
    given = range(1, 4) if op.axis is None else [op.axis] if isinstance(op.axis, int) else op.axis
    axes = sorted(axis % 4 for axis in given)
    whole_map = axes == sorted(surgeon.spatial_axes)
    if not (whole_map or (axes == [surgeon.channel_axis] and op.keepdims)):
        raise refusal(
            op, "it reduces rows without columns", "reduce over both, or use a global pooling layer"
        )
    return surgeon.keep(call)


def _common_window(call: Call, windows: list[Window]) -> Window:
    first = max(windows, key=lambda window: window.channels)
    alike = all((w.rows, w.columns) == (first.rows, first.columns) for w in windows)
    ordered = first.one_cell or all(w.order == first.order and w.channels == first.channels for w in windows)
    if len(windows) != len(call.values):
        raise refusal(
            call.op,
            "it joins a vector for each crop of the image with one for the whole image",
            "take both from flattened maps, or both from global pooling",
        )
    if not (alike and ordered) or any(value.affine for value in call.values):
        raise refusal(
            call.op, "it joins flattened maps of different shapes", "join the maps before they are flattened"
        )
    return first


def _need_one_size(surgeon: Surgeon, call: Call, *, broadcast: bool = True) -> None:
    """Maps that grow with the image must have one size; what does not grow must be 1x1 to be spread."""
    growing = {surgeon.sides(value.trained.shape) for value in call.values if _grows(value)}
    still = {surgeon.sides(value.tensor.shape) for value in call.values if not _grows(value)}
    if len(growing) > 1 or still - ({(1, 1)} if broadcast else set()):
        raise refusal(
            call.op,
            "it joins a map that grows with the image and one that does not",
            "give both branches the same strides, or end one in a global pooling layer with keepdims",
        )


def _grows(value: Value) -> bool:
    if len(value.trained.shape) != 4:
        return False
    return not value.fixed


def _need_small_constants(surgeon: Surgeon, call: Call) -> None:
    """A constant that has a number for each place (a mean image) fixes the size."""
    import keras

    for leaf in keras.tree.flatten((call.args, dict(call.kwargs))):
        shape = tuple(getattr(leaf, "shape", ())) if not isinstance(leaf, Value) else ()
        if not _spreads(surgeon, call, shape):
            side = "x".join(map(str, shape))
            raise refusal(
                call.op, f"its constant of {side} fixes the size", "use one number for each channel"
            )


def _spreads(surgeon: Surgeon, call: Call, shape: tuple[Any, ...]) -> bool:
    if any(value.window for value in call.values):
        return all(side == 1 for side in shape)
    padded = (1,) * (4 - len(shape)) + shape
    return all(padded[axis] == 1 for axis in surgeon.spatial_axes)
