"""Layers that slide a window over a map, or pad, crop, enlarge or pool it."""

from __future__ import annotations

import math
from typing import Any

from fcnship.graph.call import Call, Facts
from fcnship.graph.nodes import Axis

BLENDED = {"nearest": 1, "bilinear": 2, "bicubic": 4}


def pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def elements(*weights: Any) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _windows(call: Call, kernel: Any, strides: Any, dilation: Any = 1) -> Facts:
    same = call.op.padding == "same"
    if call.op.padding not in ("same", "valid"):
        raise call.refuse(f"its padding is {call.op.padding!r}", "use 'same' or 'valid'")
    axes = [
        Axis(kernel=k, stride=s, dilation=d, same=same)
        for k, s, d in zip(pair(kernel), pair(strides), pair(dilation), strict=True)
    ]
    return {"rows": axes[0], "columns": axes[1], "mixes": call.softmax_over_space}


def conv(call: Call) -> Facts:
    op = call.op
    window = _windows(call, op.kernel_size, op.strides, op.dilation_rate)
    return {"kind": "conv", "kernel_elements": elements(op.kernel), **window}


def depthwise(call: Call) -> Facts:
    op = call.op
    window = _windows(call, op.kernel_size, op.strides, op.dilation_rate)
    return {"kind": "depthwise", "kernel_elements": elements(op.kernel), **window}


def separable(call: Call) -> Facts:
    op = call.op
    window = _windows(call, op.kernel_size, op.strides, op.dilation_rate)
    return {
        "kind": "separable",
        "kernel_elements": elements(op.depthwise_kernel, op.pointwise_kernel),
        **window,
    }


def transposed(call: Call) -> Facts:
    op = call.op
    extra = (None, None) if op.output_padding is None else pair(op.output_padding)
    axes = [
        _transposed_axis(k, s, d, op.padding == "same", e)
        for k, s, d, e in zip(
            pair(op.kernel_size), pair(op.strides), pair(op.dilation_rate), extra, strict=True
        )
    ]
    return {
        "kind": "transposed",
        "rows": axes[0],
        "columns": axes[1],
        "kernel_elements": elements(op.kernel),
        "mixes": call.softmax_over_space,
    }


def _transposed_axis(kernel: int, stride: int, dilation: int, same: bool, extra: int | None) -> Axis:
    """Cuts that turn the full output, ``(n - 1) * stride + extent`` cells, into the one that Keras gives.

    Source: keras ``compute_conv_transpose_output_shape``; TensorFlow places the cut as the padding of the
    forward convolution, half of it (rounded down) before the map.
    """
    extent = (kernel - 1) * dilation + 1
    if same:
        longer = stride if extra is None else extent % 2 + extra
        cut = extent - longer
        before = max(cut, 0) // 2
    else:
        cut = -(max(stride - extent, 0) if extra is None else extra)
        before = 0
    return Axis(kernel=kernel, stride=stride, dilation=dilation, before=before, after=cut - before)


def pool(call: Call) -> Facts:
    strides = call.op.strides if call.op.strides is not None else call.op.pool_size
    return {"kind": "pool", **_windows(call, call.op.pool_size, strides)}


def global_pool(call: Call) -> Facts:
    return {"kind": "global_pool", "spatial": False}


def adaptive_pool(call: Call) -> Facts:
    return {"kind": "global_pool", "spatial": False, "fixed": pair(call.op.output_size)}


def upsample(call: Call) -> Facts:
    kernel = BLENDED.get(call.op.interpolation)
    if kernel is None:
        raise call.refuse(
            f"interpolation {call.op.interpolation!r} is not known here", "use nearest or bilinear"
        )
    rows, columns = (Axis(kernel=kernel, stride=s) for s in pair(call.op.size))
    return {"kind": "upsample", "rows": rows, "columns": columns}


def pad(call: Call) -> Facts:
    rows, columns = (Axis(before=b, after=a) for b, a in call.op.padding)
    return {"kind": "pad", "rows": rows, "columns": columns}


def crop(call: Call) -> Facts:
    rows, columns = (Axis(before=b, after=a) for b, a in call.op.cropping)
    return {"kind": "crop", "rows": rows, "columns": columns}
