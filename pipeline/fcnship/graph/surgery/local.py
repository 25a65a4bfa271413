"""Rules for layers that work cell by cell or window by window: on a map they stay as they are."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from fcnship.graph.surgery.surgeon import AXIS_ACTIVATIONS, Surgeon, activation_name
from fcnship.graph.surgery.values import Call, Scores, Value, names, refusal

CONVOLUTIONS = names("Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose")
POOLS = names("MaxPooling2D AveragePooling2D")
GLOBAL_POOLS = names(
    "GlobalMaxPooling2D GlobalAveragePooling2D AdaptiveAveragePooling2D AdaptiveMaxPooling2D"
)
MAP_LAYERS = names(
    "UpSampling2D ZeroPadding2D Cropping2D SpatialDropout2D RandomFlip RandomRotation RandomZoom "
    "RandomTranslation RandomContrast RandomBrightness LayerScale StochasticDepth"
)
# At inference these hand on what they get, so even a waiting scale and shift may pass them.
IDLE = names("Dropout GaussianDropout GaussianNoise AlphaDropout ActivityRegularization Identity")
POINTWISE = IDLE | names("Activation ReLU LeakyReLU ELU Rescaling")
FLAT_WAY_OUT = "use a global pooling layer in place of the Flatten, or keep the model at its trained size"


def windowed(surgeon: Surgeon, call: Call) -> list[Value]:
    """A convolution, or a layer that resizes, pads or crops by a factor of its own."""
    need_map(call)
    op = call.op
    convolution = call.kind in CONVOLUTIONS
    surgeon.convolutions += convolution
    stride = _stride_behind(call)
    if convolution and surgeon.splits(op, moved=False):
        (value,) = surgeon.keep(call, config={**op.get_config(), "activation": "linear"})
        tensor, scores = surgeon.activate(op, value.tensor)
        return surgeon.results(call, [tensor], convolved=True, stride=stride, scores=scores)
    if surgeon.channels_first and activation_name(op) in AXIS_ACTIVATIONS:
        raise _along_width(op)
    (value,) = surgeon.keep(call)
    convolved = convolution or call.value.convolved
    return surgeon.results(call, [value.tensor], convolved=convolved, stride=stride)


def pool(surgeon: Surgeon, call: Call) -> list[Value]:
    """A pooling layer; one whose only window is the whole map slides by one cell.

    Its stride does nothing at the trained size (Keras sets it to the window), and at a larger size it would
    skip most positions and leave the right and lower edge unseen.
    """
    need_map(call)
    op, stride = call.op, _stride_behind(call)
    rows, columns = surgeon.sides(call.value.trained.shape)
    once = surgeon.sides(call.trained[0].shape) == (1, 1)
    covers = rows and columns and op.pool_size[0] >= rows and op.pool_size[1] >= columns
    if not (once and covers and tuple(op.strides) == tuple(op.pool_size)):
        (value,) = surgeon.keep(call)
        return surgeon.results(call, [value.tensor], stride=stride)
    config = {**op.get_config(), "pool_size": (rows, columns), "strides": (1, 1), "padding": "valid"}
    (value,) = surgeon.keep(call, config=config, role=f"whole{rows}x{columns}")
    if max(op.strides) > 1:
        surgeon.record(
            op, f"{call.kind} over the whole {rows}x{columns} map", "slides over the map, stride 1"
        )
    return surgeon.results(call, [value.tensor], stride=call.value.stride)


def global_pool(surgeon: Surgeon, call: Call) -> list[Value]:
    """Pooling to a size that no image changes."""
    need_map(call)
    return surgeon.keep(call)


def pointwise(surgeon: Surgeon, call: Call) -> list[Value]:
    """A layer that looks at one number at a time, or along the channels of one cell."""
    op, value, name = call.op, call.value, activation_name(call.op)
    config: dict[str, Any] = op.get_config()
    if value.affine and call.kind not in IDLE:
        raise refusal(
            op,
            "it follows a BatchNormalization of the flattened map, which scales each place by its own factor",
            "move the BatchNormalization before the Flatten",
        )
    if not value.window:
        return _pointwise_on_map(surgeon, call)
    if name in AXIS_ACTIVATIONS:
        return _along_channels(surgeon, call)
    if call.kind == "Rescaling" and not _is_number(op.scale, op.offset):
        raise refusal(
            op, "it scales each place of a flattened map by its own factor", "scale before the Flatten"
        )
    if "noise_shape" in config:
        config["noise_shape"] = None
    (kept,) = surgeon.keep(call, config=config, role="cells")
    scores = Scores(tensor=value.tensor, activation=op.activation) if call.kind == "Activation" else None
    return surgeon.results(call, [kept.tensor], window=value.window, affine=value.affine, scores=scores)


def softmax(surgeon: Surgeon, call: Call) -> list[Value]:
    """A Softmax layer, over channels."""
    value, axis = call.value, call.op.axis
    axes = [axis] if isinstance(axis, int) else list(axis)
    if [a % len(value.trained.shape) for a in axes] != [1 if value.window else surgeon.channel_axis]:
        raise refusal(call.op, "it normalises over rows or columns", "set its axis to that of the channels")
    if value.window:
        return _along_channels(surgeon, call)
    (kept,) = surgeon.keep(call)
    return surgeon.results(call, [kept.tensor], scores=_softmax_scores(value))


def need_map(call: Call) -> None:
    """Refuse a layer that takes a map and is given a vector that is a map no more."""
    if call.value.window or len(call.value.trained.shape) != 4:
        raise refusal(call.op, "it works on a flattened map", FLAT_WAY_OUT)


def _pointwise_on_map(surgeon: Surgeon, call: Call) -> list[Value]:
    if activation_name(call.op) in AXIS_ACTIVATIONS and surgeon.channels_first:
        raise _along_width(call.op)
    if call.kind == "Rescaling" and surgeon.channels_first and not _is_number(call.op.scale, call.op.offset):
        raise refusal(call.op, "its factors lie along the width", "give one factor for all channels")
    (kept,) = surgeon.keep(call)
    activation = call.kind == "Activation"
    scores = Scores(tensor=call.value.tensor, activation=call.op.activation) if activation else None
    return surgeon.results(call, [kept.tensor], scores=scores)


def _along_channels(surgeon: Surgeon, call: Call) -> list[Value]:
    """A softmax over a vector becomes one over the channels of each cell."""
    import keras

    op, value = call.op, call.value
    if not (value.window and value.window.one_cell):
        raise refusal(op, "it normalises over the places of a flattened map", FLAT_WAY_OUT)
    if call.kind == "Activation" and not surgeon.channels_first:
        (kept,) = surgeon.keep(call, role="cells")
        scores = Scores(tensor=value.tensor, activation=op.activation)
        return surgeon.results(call, [kept.tensor], window=value.window, scores=scores)
    if call.kind == "Activation":
        if activation_name(op) != "softmax":
            raise refusal(op, f"{activation_name(op)} looks along the last axis only", "use channels_last")
        surgeon.record(op, "Activation softmax", f"Softmax, axis {surgeon.channel_axis}")
    config = {"axis": surgeon.channel_axis, "dtype": op.dtype_policy}
    tensor = surgeon.place(op, (value.tensor,), cls=keras.layers.Softmax, config=config, role="cells")
    return surgeon.results(call, [tensor], window=value.window, scores=_softmax_scores(value))


def _softmax_scores(value: Value) -> Scores:
    import keras

    return Scores(tensor=value.tensor, activation=keras.activations.softmax)


def _stride_behind(call: Call) -> tuple[Fraction, Fraction]:
    op, (rows, columns) = call.op, call.value.stride
    if call.kind == "UpSampling2D":
        return rows / op.size[0], columns / op.size[1]
    down, right = getattr(op, "strides", (1, 1))
    if call.kind == "Conv2DTranspose":
        return rows / down, columns / right
    return rows * down, columns * right


def _along_width(op: Any) -> Exception:
    return refusal(
        op,
        f"its {activation_name(op)} runs along the last axis, which is the width under channels_first",
        "put a Softmax(axis=1) behind it instead",
    )


def _is_number(*values: Any) -> bool:
    return all(isinstance(value, (int, float)) for value in values)
