"""Rules for the dense head: Flatten, Reshape and Dense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fcnship.graph.surgery.surgeon import Surgeon
from fcnship.graph.surgery.values import Affine, Call, Value, Window, array_of, refusal

GOES_ON = "removed: the map goes on as it is"


def flatten(surgeon: Surgeon, call: Call) -> list[Value]:
    """Flatten: the map goes on, and the window remembers the order in which its numbers were laid out."""
    value = call.value
    if value.window:
        surgeon.record(call.op, "Flatten of a vector", GOES_ON)
        return _as_window(surgeon, call, value.window)
    return _flattened(surgeon, call, flat_order(surgeon, call.op))


def flat_order(surgeon: Surgeon, op: Any) -> str:
    """The axes of a map in the order in which a Flatten layer lays its numbers out.

    Under ``data_format="channels_first"`` Keras moves the axis behind the batch to the end before it
    flattens, whatever that axis holds; otherwise the numbers stay as they stand in memory.
    """
    layout = surgeon.layout
    return layout[1:] + layout[0] if op.data_format == "channels_first" else layout


def reshape(surgeon: Surgeon, call: Call) -> list[Value]:
    """A Reshape that flattens a map, restores it, or moves the axes of one cell; every other fixes a size."""
    value, shape = call.value, call.shape
    if len(shape) == 1:
        return (
            _as_window(surgeon, call, value.window)
            if value.window
            else _flattened(surgeon, call, surgeon.layout)
        )
    window = value.window or _window_of(surgeon, call, surgeon.layout)
    restored = _extents(window, surgeon.layout)
    if shape != restored or not (window.one_cell or window.order == surgeon.layout) or value.affine:
        side = "x".join(map(str, shape))
        raise refusal(
            call.op,
            f"it fixes a size: {side}",
            "use a Flatten, or a pooling layer with keepdims, in its place",
        )
    surgeon.record(call.op, call.kind, GOES_ON)
    return surgeon.results(call, [value.tensor])


def dense(surgeon: Surgeon, call: Call) -> list[Value]:
    """Dense on a vector: a convolution over the map that it was. On a map, Dense is a 1x1 convolution."""
    import keras

    op, value, window = call.op, call.value, call.value.window
    if getattr(op, "quantization_mode", None):
        raise refusal(
            op, f"its weights are quantized ({op.quantization_mode})", "convert it before you quantize"
        )
    if not window:
        return _dense_on_map(surgeon, call)
    split = surgeon.splits(op, moved=True)
    config = _conv_config(surgeon, op, window, split=split, biased=op.use_bias or value.affine is not None)
    tensor = surgeon.place(
        op,
        (value.tensor,),
        cls=keras.layers.Conv2D,
        config=config,
        weights=lambda: conv_weights(op, window, value.affine),
        role=f"{window.order}{window.rows}x{window.columns}{id(value.affine) if value.affine else ''}",
    )
    surgeon.convolutions += 1
    surgeon.record(op, f"Dense {op.units}", f"Conv2D {op.units}, {window.rows}x{window.columns} valid")
    scores = None
    if split:
        tensor, scores = surgeon.activate(op, tensor)
    cell = Window(rows=1, columns=1, channels=op.units, order="hwc")
    return surgeon.results(call, [tensor], window=cell, convolved=True, scores=scores)


def conv_weights(layer: Any, window: Window, affine: Affine | None) -> list[Any]:
    """The kernel (rows, columns, channels, units), and the bias, of the convolution that a Dense becomes."""
    from keras import ops

    kernel, bias = _scaled(layer, affine) if affine else (layer.kernel, layer.bias)
    places = ops.reshape(kernel, (*window.extents, layer.units))
    if window.order != "hwc":
        places = ops.transpose(places, (*(window.order.index(axis) for axis in "hwc"), 3))
    return [places] if bias is None else [places, ops.convert_to_tensor(bias)]


def _scaled(layer: Any, affine: Affine) -> tuple[Any, Any]:
    """Kernel and bias with the scale and shift before the layer taken in, in double precision."""
    import numpy as np

    kernel = array_of(layer.kernel)
    wide = kernel.astype(np.float64)
    bias = affine.shift @ wide + (array_of(layer.bias) if layer.use_bias else 0.0)
    return (affine.scale[:, None] * wide).astype(kernel.dtype), bias.astype(kernel.dtype)


def _conv_config(surgeon: Surgeon, op: Any, window: Window, *, split: bool, biased: bool) -> dict[str, Any]:
    """The settings of the convolution: those of the Dense, less constraints, whose axes differ."""
    import keras

    return {
        "filters": op.units,
        "kernel_size": (window.rows, window.columns),
        "padding": "valid",
        "data_format": surgeon.data_format,
        "activation": keras.activations.linear if split else op.activation,
        "use_bias": biased,
        "trainable": op.trainable,
        "dtype": op.dtype_policy,
        "kernel_initializer": op.kernel_initializer,
        "bias_initializer": op.bias_initializer,
        "kernel_regularizer": op.kernel_regularizer,
        "bias_regularizer": op.bias_regularizer,
        "activity_regularizer": op.activity_regularizer,
    }


def _dense_on_map(surgeon: Surgeon, call: Call) -> list[Value]:
    op = call.op
    if len(call.value.trained.shape) != 4 or surgeon.channels_first:
        raise refusal(
            op,
            "on a map it works along the last axis, and that is not the channels",
            "use a 1x1 Conv2D in its place",
        )
    surgeon.convolutions += 1
    if not surgeon.splits(op, moved=False):
        (kept,) = surgeon.keep(call)
        return surgeon.results(call, [kept.tensor], convolved=True)
    (kept,) = surgeon.keep(call, config={**op.get_config(), "activation": "linear"})
    tensor, scores = surgeon.activate(op, kept.tensor)
    return surgeon.results(call, [tensor], convolved=True, scores=scores)


def _flattened(surgeon: Surgeon, call: Call, order: str) -> list[Value]:
    if not call.value.convolved:
        raise refusal(
            call.op,
            "it stands straight on the input: no convolution comes before it",
            "put at least one convolution before it; dense layers alone have nothing to slide",
        )
    window = _window_of(surgeon, call, order)
    size = f"{window.rows}x{window.columns}x{window.channels}"
    surgeon.record(call.op, f"{call.kind} of a {size} map", GOES_ON)
    return _as_window(surgeon, call, window)


def _as_window(surgeon: Surgeon, call: Call, window: Window) -> list[Value]:
    value = call.value
    return surgeon.results(call, [value.tensor], window=window, affine=value.affine, scores=value.scores)


def _window_of(surgeon: Surgeon, call: Call, order: str) -> Window:
    shape = call.value.trained.shape
    if len(shape) != 4:
        raise refusal(
            call.op, f"it is called on a tensor of {len(shape)} axes, not on a map", "use a Flatten"
        )
    rows, columns = surgeon.sides(shape)
    if not (rows and columns):
        raise refusal(
            call.op,
            "the model's input has no fixed size, so the size of the map it flattens is unknown",
            "declare the trained size in the Input layer",
        )
    return Window(rows=rows, columns=columns, channels=shape[surgeon.channel_axis], order=order)


def _extents(window: Window, layout: str) -> Sequence[int]:
    sizes = {"h": window.rows, "w": window.columns, "c": window.channels}
    return tuple(sizes[axis] for axis in layout)
