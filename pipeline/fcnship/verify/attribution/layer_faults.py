"""Why a layer computes something else: its weights, strides and pads held against the reference's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.graph.surgery.values import array_of
from fcnship.verify.attribution.cut_graph import CutGraph, attributes_of
from fcnship.verify.attribution.keras_steps import Step
from fcnship.verify.attribution.layer_errors import MOST, LayerError
from fcnship.verify.attribution.weight_faults import CLOSE, weight_fault

Array = np.ndarray[Any, Any]
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ACTIVATIONS = {"relu": ("Relu", "Clip", "Max"), "relu6": ("Clip", "Min"), "softmax": ("Softmax",),
                "sigmoid": ("Sigmoid", "HardSigmoid"), "tanh": ("Tanh",)}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Affine:
    """A layer's kernel in ONNX's order and its bias, zeros where it has none."""

    kernel: Array
    bias: Array


def layer_fault(error: LayerError, candidate: CutGraph, reference: CutGraph | None, precision: str) -> str:
    """What is wrong with a layer, in words; empty where it cannot be told.

    ``reference``: the graph that the candidate is held against, None where that is a Keras model.
    """
    nodes = [candidate.nodes[place] for cut in error.cuts for place in cut.nodes]
    close = CLOSE.get(precision, CLOSE["fp32"])
    if reference:
        faults = list(_against_graph(nodes, candidate, reference, close))
    else:
        faults = list(_against_keras(error, nodes, candidate, close))
    if not faults and precision == "fp16" and error.largest > MOST["fp16"]:
        faults.append(f"its output reaches {error.largest:.3g}, float16 ends at {MOST['fp16']:.0f}")
    if error.shape_fault:
        faults.append(error.shape_fault)
    return "; ".join(dict.fromkeys(faults))


def _against_graph(
    nodes: Sequence[Any], candidate: CutGraph, reference: CutGraph, close: float
) -> Iterator[str]:
    others = {node.name: node for node in reference.nodes if node.name}
    for node in nodes:
        other = others.get(node.name)
        if other is None or other.op_type != node.op_type:
            continue
        for place, (name, twin) in enumerate(zip(node.input, other.input, strict=False)):
            mine, theirs = candidate.constant(name), reference.constant(twin)
            if mine is not None and theirs is not None and theirs.dtype.kind == "f":
                what = "bias" if place == 2 else "kernel" if node.op_type in _WEIGHTED else "constant"
                if told := weight_fault(what, mine, theirs, close):
                    yield told
        ours, yours = attributes_of(node), attributes_of(other)
        for name in sorted({*ours, *yours}):
            if ours.get(name) != yours.get(name) and not isinstance(ours.get(name), np.ndarray):
                yield f"it has {name} {_value(ours.get(name))}, the reference {_value(yours.get(name))}"


def _against_keras(
    error: LayerError, nodes: Sequence[Any], candidate: CutGraph, close: float
) -> Iterator[str]:
    steps = [step for cut in error.cuts for step in cut.steps]
    weighted = [step for step in steps if getattr(step.op, "kernel", None) is not None]
    found = [node for node in nodes if node.op_type in _WEIGHTED and _kernel(candidate, node) is not None]
    if len(weighted) == len(found) == 1 and type(weighted[0].op).__name__ in _ORDERS:
        yield from _of_weights(weighted[0], steps, nodes, found[0], candidate, close)
        yield from _of_geometry(weighted[0].op, steps, found[0], error.inputs)
    elif not weighted and not found:
        yield from _of_normalisation(steps, nodes, candidate, close)
    yield from _of_activation(steps, nodes)


def _of_weights(
    step: Step, steps: Sequence[Step], nodes: Sequence[Any], node: Any, candidate: CutGraph, close: float
) -> Iterator[str]:
    kernel, bias = _kernel(candidate, node), _bias(candidate, node, nodes)
    assert kernel is not None
    plain = _affine(step.op)
    following = [s.op for s in steps if type(s.op).__name__ == "BatchNormalization"]
    possible = [
        plain,
        *([_folded(plain, following[0], type(step.op).__name__)] if len(following) == 1 else []),
    ]
    if kernel.ndim == 4 and possible[0].kernel.ndim == 2:  # a Dense on a map, as a convolution
        possible = [_Affine(kernel=p.kernel[:, :, None, None], bias=p.bias) for p in possible]
    if len(possible) > 1:  # whether the normalisation was folded in is seen by what fits better
        possible.sort(key=lambda p: _unlike(kernel, p.kernel))
    expected = possible[0]
    if told := weight_fault("kernel", kernel, expected.kernel, close):
        yield told
    if bias is None and expected.bias.any() and not _has_bias_elsewhere(nodes, node):
        yield "its bias is missing"
    elif bias is not None and bias.shape == expected.bias.shape:
        # A bias is added to sums of weighted inputs: what is small beside these is no fault.
        least = float(np.abs(expected.kernel).max(initial=0.0))
        if np.abs(bias - expected.bias).max(initial=0.0) > close * least and (
            told := weight_fault("bias", bias, expected.bias, close)
        ):
            yield told


def _of_geometry(
    op: Any, steps: Sequence[Step], node: Any, inputs: Sequence[tuple[int, ...]]
) -> Iterator[str]:
    if node.op_type != "Conv" or getattr(op, "strides", None) is None:
        return
    given = attributes_of(node)
    for name, mine, right in (
        ("strides", given.get("strides", [1, 1]), op.strides),
        ("dilations", given.get("dilations", [1, 1]), op.dilation_rate),
    ):
        if list(mine) != list(right):
            yield f"it has {name} {_value(list(mine))}, the reference {_value(list(right))}"
    padded = any(type(step.op).__name__.startswith(("ZeroPadding", "Cropping")) for step in steps)
    maps = [shape for shape in inputs if len(shape) == 4]
    if padded or len(maps) != 1 or given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return
    mine = list(given.get("pads", [0, 0, 0, 0]))
    right = _pads(op, maps[0][2:])
    if mine != right:
        yield f"it pads {_value(mine)} (top, left, bottom, right), the reference {_value(right)}"


def _pads(op: Any, sides: Sequence[int]) -> list[int]:
    """Keras's padding at a size (https://www.tensorflow.org/api_docs/python/tf/nn, Notes on padding)."""
    if op.padding != "same":
        return [0, 0, 0, 0]
    totals = []
    for side, kernel, stride, dilation in zip(
        sides, op.kernel_size, op.strides, op.dilation_rate, strict=True
    ):
        extent = (kernel - 1) * dilation + 1
        totals.append(max((-(-side // stride) - 1) * stride + extent - side, 0))
    return [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]


def _of_normalisation(
    steps: Sequence[Step], nodes: Sequence[Any], candidate: CutGraph, close: float
) -> Iterator[str]:
    """A BatchNormalization that stands in the graph as a product and a sum."""
    ops = [step.op for step in steps if type(step.op).__name__ == "BatchNormalization"]
    kinds = [node.op_type for node in nodes]
    if len(ops) != 1 or sorted(kinds) != ["Add", "Mul"]:
        return
    factor, shift = _normalisation(ops[0])
    for kind, what, expected in (("Mul", "factor", factor), ("Add", "shift", shift)):
        node = nodes[kinds.index(kind)]
        values = [value for name in node.input if (value := candidate.constant(name)) is not None]
        fits = len(values) == 1 and values[0].size == expected.size
        if fits and (told := weight_fault(what, values[0].ravel(), expected, close)):
            yield told


def _of_activation(steps: Sequence[Step], nodes: Sequence[Any]) -> Iterator[str]:
    kinds = {node.op_type for node in nodes}
    for step in steps:
        name = getattr(getattr(step.op, "activation", None), "__name__", "")
        name = "relu" if type(step.op).__name__ == "ReLU" else name
        if name in _ACTIVATIONS and not kinds & set(_ACTIVATIONS[name]):
            yield f"its activation {name} is missing"


def _affine(op: Any) -> _Affine:
    kernel = _ORDERS[type(op).__name__](array_of(op.kernel))
    held = getattr(op, "bias", None)
    bias = array_of(held) if held is not None else np.zeros(_filters(kernel, type(op).__name__), np.float32)
    return _Affine(kernel=kernel, bias=bias)


def _folded(plain: _Affine, normalisation: Any, kind: str) -> _Affine:
    factor, shift = _normalisation(normalisation)
    along = [1] * plain.kernel.ndim
    along[1 if kind == "Conv2DTranspose" else 0] = -1
    return _Affine(kernel=plain.kernel * factor.reshape(along), bias=plain.bias * factor + shift)


def _normalisation(op: Any) -> tuple[Array, Array]:
    """(factor, shift) of a BatchNormalization at inference."""
    mean, variance = array_of(op.moving_mean), array_of(op.moving_variance)
    factor = (array_of(op.gamma) if op.gamma is not None else 1.0) / np.sqrt(variance + op.epsilon)
    return factor, (array_of(op.beta) if op.beta is not None else 0.0) - mean * factor


def _filters(kernel: Array, kind: str) -> int:
    return int(kernel.shape[1 if kind == "Conv2DTranspose" else 0])


def _kernel(candidate: CutGraph, node: Any) -> Array | None:
    """A node's weights, a matrix as (outputs, inputs)."""
    value = candidate.constant(node.input[1])
    if value is None or value.ndim < 2:
        return None
    turned = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes_of(node).get("transB"))
    return value.T if turned else value


def _bias(candidate: CutGraph, node: Any, nodes: Sequence[Any]) -> Array | None:
    """The node's own, or what is added to its output at once."""
    if len(node.input) > 2 and node.input[2]:
        value = candidate.constant(node.input[2])
        return value.ravel() if value is not None else None
    for other in nodes:
        if other.op_type == "Add" and node.output[0] in other.input:
            rest = next((name for name in other.input if name != node.output[0]), "")
            value = candidate.constant(rest) if rest else None
            return value.ravel() if value is not None else None
    return None


def _has_bias_elsewhere(nodes: Sequence[Any], node: Any) -> bool:
    return any(other.op_type in ("Add", "Sum") and other is not node for other in nodes)


def _unlike(actual: Array, expected: Array) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual.astype(np.float64) - expected).mean())


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return (
        ", ".join(map(str, value))
        if isinstance(value, list | tuple)
        else "missing"
        if value is None
        else str(value)
    )


def _depthwise(kernel: Array) -> Array:
    """(rows, columns, channels, multiplier) to (channels * multiplier, 1, rows, columns)."""
    rows, columns = kernel.shape[:2]
    return np.asarray(kernel.reshape(rows, columns, -1).transpose(2, 0, 1)[:, None])


_ORDERS: dict[str, Callable[[Array], Array]] = {
    "Conv2D": lambda kernel: kernel.transpose(3, 2, 0, 1),
    "DepthwiseConv2D": _depthwise,
    "Conv2DTranspose": lambda kernel: kernel.transpose(3, 2, 0, 1),
    "Dense": lambda kernel: kernel.T,
}
