"""What each Keras layer and operation does to the rows, columns and channels of a map."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fcnship.graph import windows
from fcnship.graph.call import Call, Facts


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


POINTWISE_LAYERS = _names(
    "Activation ActivityRegularization AlphaDropout AugMix CutMix Dropout ELU GaussianDropout GaussianNoise "
    "Identity LeakyReLU MixUp RandAugment ReLU Rescaling SpatialDropout2D"
)
RESIZERS = _names("Resizing CenterCrop RandomCrop")
MERGE_LAYERS = _names("Add Average Maximum Minimum Multiply Subtract")
# Keras operations that compute each element from the elements at the same place, with broadcasting.
ELEMENTWISE_OPS = _names(
    "Abs Absolute Add Arctan Cast Ceil Celu Clip Copy Cos Divide DivideNoNan Elu Equal Erf Exp Expm1 Floor "
    "FloorDivide Gelu Greater GreaterEqual HardShrink HardSigmoid HardSilu HardTanh LeakyRelu Less LessEqual "
    "Log Log1p LogSigmoid LogicalAnd LogicalNot LogicalOr Maximum Minimum Mod Multiply Negative NotEqual "
    "Power Reciprocal Relu Relu6 Round Rsqrt Selu Sigmoid Sign Silu Sin SoftShrink Softplus Softsign "
    "SparsePlus SparseSigmoid Sqrt Square Squareplus StopGradient Subtract Tan Tanh TanhShrink Threshold "
    "TrueDivide Where"
)
REDUCTIONS = _names("All Amax Amin Any Logsumexp Max Mean Median Min Prod Std Sum Var")
WINDOWED = _names(
    "Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose MaxPooling2D AveragePooling2D MaxPool "
    "AveragePool UpSampling2D ZeroPadding2D Cropping2D GlobalMaxPooling2D GlobalAveragePooling2D "
    "AdaptiveAveragePooling2D AdaptiveMaxPooling2D"
)


def facts_of(call: Call) -> Facts:
    """The fields of a ``Node`` that depend on the layer's class.

    Raises:
        ModelRefused: the class is unknown, a custom one, or used in a way whose geometry is not defined here.
    """
    module, kind = type(call.op).__module__, call.kind
    reader = _reader_for(module, kind)
    if reader is None and module.startswith("keras.") and kind in RESIZERS:
        raise call.refuse(
            "it fixes a size: every larger image would be shrunk or cut before the network sees it",
            "remove it from the model and resize the images outside",
        )
    if reader is None:
        custom = "" if module.startswith("keras.") else "it is a custom class, and "
        raise call.refuse(
            f"{custom}what it does to a map's size is not known",
            "replace it by standard layers (convolution, pooling, activation, merge)",
        )
    layout = getattr(call.op, "data_format", None) if kind in WINDOWED else None
    if layout and (layout == "channels_first") != call.channels_first:
        raise call.refuse(
            f"its data_format is {layout}, the rest of the network's is not", "use one data_format"
        )
    return reader(call)


def _reader_for(module: str, kind: str) -> Callable[[Call], Facts] | None:
    """Layers and operations share names (Add, Maximum): the module tells them apart."""
    if module.startswith("keras.src.ops."):
        if kind in REDUCTIONS:
            return _reduction
        return _elementwise if kind in ELEMENTWISE_OPS else OPERATIONS.get(kind)
    if not module.startswith("keras.src.layers."):
        return None
    if kind in POINTWISE_LAYERS or (kind.startswith("Random") and kind != "RandomCrop"):
        return _pointwise
    return _merge if kind in MERGE_LAYERS else LAYERS.get(kind)


def _normal_axes(axis: Any, rank: int) -> tuple[int, ...]:
    axes = range(rank) if axis is None else [axis] if isinstance(axis, int) else axis
    return tuple(a % rank for a in axes)


def _reaches_space(call: Call, axis: Any) -> bool:
    """Whether any of these axes is a spatial one of a map."""
    return len(call.output_shape) == 4 and bool(set(_normal_axes(axis, 4)) & set(call.spatial_axes))


def _pointwise(call: Call) -> Facts:
    return {"kind": "pointwise", "mixes": call.softmax_over_space}


def _along_axis(call: Call) -> Facts:
    """Softmax and the normalisations that have no weights for each cell."""
    return {"kind": "pointwise", "mixes": call.on_map and _reaches_space(call, call.op.axis)}


def _layer_norm(call: Call) -> Facts:
    over_space = call.on_map and _reaches_space(call, call.op.axis)
    return {"kind": "pointwise", "mixes": over_space, "tied": over_space and bool(call.op.weights)}


def _statistics_along_axis(call: Call) -> Facts:
    """BatchNormalization and Normalization keep a statistic for each index of their axis."""
    axis = call.op.axis
    return {"kind": "pointwise", "tied": call.on_map and axis is not None and _reaches_space(call, axis)}


def _group_norm(call: Call) -> Facts:
    return {"kind": "pointwise", "mixes": call.on_map}


def _prelu(call: Call) -> Facts:
    sizes = (1, *call.op.alpha.shape)
    return {"kind": "pointwise", "tied": call.on_map and any(sizes[a] != 1 for a in call.spatial_axes)}


def _dense(call: Call) -> Facts:
    if len(call.output_shape) == 4 and call.channels_first:
        raise call.refuse(
            "Dense works along the last axis, which is the width of a channels_first map",
            "use Conv2D with a 1x1 kernel",
        )
    return {"kind": "dense", "kernel_elements": windows.elements(call.op.kernel)}


def _merge(call: Call) -> Facts:
    ranks = {len(shape) for shape in call.input_shapes}
    if len(ranks) > 1 and call.channels_first:
        raise call.refuse("it broadcasts a vector along the width", "Reshape the vector to (channels, 1, 1)")
    return {"kind": "merge"}


def _elementwise(call: Call) -> Facts:
    """An operation on tensors of one rank, or on a tensor and constants."""
    if len({len(shape) for shape in call.input_shapes}) > 1:
        raise call.refuse("it broadcasts a vector against a map", "Reshape the vector to (1, 1, channels)")
    shapes = [tuple(getattr(c, "shape", ())) for c in call.constants]
    wide = any(_covers_space(call, shape) for shape in shapes)
    return {"kind": "merge" if len(call.inputs) > 1 else "pointwise", "tied": call.on_map and wide}


def _covers_space(call: Call, shape: tuple[int, ...]) -> bool:
    if len(call.output_shape) != 4:
        return False
    aligned = (1,) * (4 - len(shape)) + shape
    return any(aligned[axis] != 1 for axis in call.spatial_axes)


def _concatenate(call: Call) -> Facts:
    rank = len(call.output_shape)
    if rank == 4 and call.op.axis % rank in call.spatial_axes:
        raise call.refuse("it joins maps side by side", "concatenate along the channels")
    return {"kind": "concatenate"}


def _reduction(call: Call) -> Facts:
    """Over rows and columns a global pool; over the channels of a map (kept as one) a pointwise operation."""
    rank = len(call.input_shapes[0])
    reduced = set(_normal_axes(call.op.axis, rank))
    space = set(call.spatial_axes)
    if rank == 4 and space <= reduced and 0 not in reduced:
        return {"kind": "global_pool", "spatial": False}
    if 0 in reduced or (rank == 4 and (reduced & space or not call.op.keepdims)):
        raise call.refuse(
            f"it reduces over axes {sorted(reduced)}",
            "reduce over rows and columns together, or use keepdims=True",
        )
    return {"kind": "pointwise"}


def _reshape(call: Call) -> Facts:
    """Flatten, Reshape and their kin. Of a map whose size follows the image's, they fix the image's size."""
    rank, on_map = len(call.output_shape), call.on_map
    if None in call.output_shape[1:]:
        raise call.refuse(
            "its result has another length at each size of the image",
            "end with the map, or with a global pool",
        )
    if on_map and rank == 4 and call.output_shape[1:] == call.input_shapes[0][1:]:
        return {"kind": "pointwise", "tied": True}
    if on_map and rank not in (2, 4):
        raise call.refuse("its result is neither a map nor a vector", "end with the map itself")
    fixed = _extent(call) if rank == 4 else (1, 1)
    kind = "reshape" if rank == 4 or not on_map else "flatten"
    return {"kind": kind, "spatial": False, "fixed": fixed, "tied": on_map}


def _extent(call: Call) -> tuple[int, int]:
    rows, columns = (call.output_shape[axis] or 0 for axis in call.spatial_axes)
    return rows, columns


def layout_of(operations: Iterable[Any]) -> bool:
    """Whether a network is channels_first: what the first layer with a window says, else False."""
    formats = (getattr(op, "data_format", None) for op in operations if type(op).__name__ in WINDOWED)
    return next((layout for layout in formats if layout), "channels_last") == "channels_first"


SHARED: dict[str, Callable[[Call], Facts]] = {
    "Concatenate": _concatenate,
    "Reshape": _reshape,
    "Softmax": _along_axis,
}
OPERATIONS = {
    **SHARED,
    **dict.fromkeys(["MaxPool", "AveragePool"], windows.pool),
    **dict.fromkeys(["Squeeze", "ExpandDims"], _reshape),
    "LogSoftmax": _along_axis,
}
LAYERS = {
    **SHARED,
    "Conv2D": windows.conv,
    "DepthwiseConv2D": windows.depthwise,
    "SeparableConv2D": windows.separable,
    "Conv2DTranspose": windows.transposed,
    **dict.fromkeys(["MaxPooling2D", "AveragePooling2D"], windows.pool),
    **dict.fromkeys(["GlobalMaxPooling2D", "GlobalAveragePooling2D"], windows.global_pool),
    **dict.fromkeys(["AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D"], windows.adaptive_pool),
    "UpSampling2D": windows.upsample,
    "ZeroPadding2D": windows.pad,
    "Cropping2D": windows.crop,
    "Dense": _dense,
    "PReLU": _prelu,
    **dict.fromkeys(["BatchNormalization", "Normalization"], _statistics_along_axis),
    **dict.fromkeys(["LayerNormalization", "RMSNormalization"], _layer_norm),
    "UnitNormalization": _along_axis,
    "GroupNormalization": _group_norm,
    "Flatten": _reshape,
}
