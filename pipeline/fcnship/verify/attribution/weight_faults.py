"""What is wrong with a layer's weights: the ways in which exporters get kernels and biases wrong, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
# Folding a BatchNormalization into a kernel rounds each weight a few times.
CLOSE = {"fp32": 1e-5, "fp16": 2.0**-9, "int8": 2.0**-6}
_LARGE = 10_000_000
_LEAST_COSINE = 0.9999


def weight_fault(what: str, actual: Array, expected: Array, close: float) -> str:
    """How weights differ from the expected ones, both in ONNX's order; empty where they agree.

    ``close`` is what rounding may change, as a share of the largest weight (of each filter, where there are
    several).
    """
    if actual.shape != expected.shape:
        return f"its {what} has the shape {_shape(actual)}, the reference's {_shape(expected)}"
    kind = np.float64 if actual.size < _LARGE else np.float32
    actual, expected = actual.astype(kind, copy=False), expected.astype(kind, copy=False)
    if not np.isfinite(actual).all():
        count = int((~np.isfinite(actual)).sum())
        return f"{count:,} of its {actual.size:,} {what} weights are NaN or infinite"
    if _same(actual, expected, close):
        return ""
    if not actual.any():
        return f"its {what} is zero"
    for how, change in _changes(expected):
        if _same(actual, change(expected), close):
            return f"its {what} is {how}"
    factor = _factor(actual, expected)
    if factor is not None and _same(actual, factor * expected, 10 * close):
        return f"its {what} is {factor:.4g} times the reference's"
    if order := _reordered(actual, expected, close):
        return f"its {what} has its {order} in another order"
    return _difference(what, actual, expected, close)


def _changes(expected: Array) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """What else the weights may have become: a kernel is (filters, channels, rows, columns)."""
    if expected.ndim == 4:
        yield "transposed: rows and columns are swapped", lambda w: w.swapaxes(2, 3)
        yield "mirrored: rows and columns are reversed", lambda w: w[:, :, ::-1, ::-1]
        yield "upside down: its rows are reversed", lambda w: w[:, :, ::-1]
        yield "mirrored: its columns are reversed", lambda w: w[:, :, :, ::-1]
    if expected.ndim in (2, 4):
        yield "in the reverse order of input channels", lambda w: w[:, ::-1]
        yield "in the reverse order of filters", lambda w: w[::-1]
    if expected.ndim in (2, 4) and expected.shape[0] == expected.shape[1]:
        yield "transposed: input and output channels are swapped", lambda w: w.swapaxes(0, 1)
    if expected.ndim == 1:
        yield "in reverse order", lambda w: w[::-1]


def _same(actual: Array, expected: Array, close: float) -> bool:
    if actual.shape != expected.shape:
        return False
    return bool((np.abs(actual - expected) <= _allowed(expected, close)).all())


def _allowed(expected: Array, close: float) -> Array:
    """Filter by filter for a kernel: one large filter must not hide what is wrong with a small one."""
    axes = tuple(range(1, expected.ndim)) if expected.ndim > 1 else None
    largest = np.abs(expected).max(axis=axes, keepdims=True, initial=0.0)
    # A filter of small weights in a large kernel is rounded with it where a folded shift cancels.
    return np.asarray(close * np.maximum(largest, 1e-3 * np.abs(expected).max(initial=0.0)))


def _factor(actual: Array, expected: Array) -> float | None:
    """The number that the weights were multiplied with, if they look multiplied at all."""
    one, other = actual.ravel(), expected.ravel()
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    product = float(one @ other)
    if not norms or abs(product) < _LEAST_COSINE * norms:
        return None
    return product / float(other @ other)


def _reordered(actual: Array, expected: Array, close: float) -> str:
    for axis, name in ((0, "filters"), (1, "input channels")):
        if (
            actual.ndim > axis
            and (axis == 0 or actual.ndim > 1)
            and _is_reordered(actual, expected, axis, close)
        ):
            return name if actual.ndim > 1 else "numbers"
    return ""


def _is_reordered(actual: Array, expected: Array, axis: int, close: float) -> bool:
    """Whether the slices along an axis are the same ones, each once: sorted by their sums they agree."""
    one, other = (np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1) for w in (actual, expected))
    one, other = one[np.argsort(one.sum(axis=1))], other[np.argsort(other.sum(axis=1))]
    return _same(one, other, close) and len(one) > 1


def _difference(what: str, actual: Array, expected: Array, close: float) -> str:
    wrong = np.abs(actual - expected) > _allowed(expected, close)
    told = f"{int(wrong.sum()):,} of its {actual.size:,} {what} weights differ from the reference's"
    most = float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-30))
    filters = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
    alone = len(filters) == 1 and len(actual) > 1 and actual.ndim > 1
    where = f", all in filter {filters[0]}" if alone else ""
    return f"{told}, by up to {most:.2g} of the largest{where}"


def _shape(values: Array) -> str:
    return "x".join(map(str, values.shape))
