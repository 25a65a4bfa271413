"""The error that each layer adds, and the error that has come together up to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fcnship.graph.onnx_layers import Layer
from fcnship.options import Layout
from fcnship.runners import to_layout
from fcnship.verify.attribution.cut_graph import CutGraph
from fcnship.verify.attribution.cuts import Cut
from fcnship.verify.attribution.references import Reference

Array = np.ndarray[Any, Any]
OnLayer = Callable[[int, int], None]
# Of what went in: what is left of a map that is all but zero is no measure of rounding.
_LEAST_SCALE = 1e-3
# Half a unit in the last place: the error of one rounding (int8: of the 127 steps of a symmetric range).
STEPS = {"fp32": 2.0**-24, "fp16": 2.0**-11, "int8": 2.0**-8}
MOST = {"fp16": 65504.0}  # what is larger is infinite


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """One layer, or several that cannot be told apart in the candidate.

    ``local``: the root mean square of the error that the candidate's piece makes of the reference's own
    tensors, as a share of the reference's root mean square there (``scale``); ``total``: the same of what the
    candidate itself has there. ``local_max`` and ``total_max`` are the largest errors, in the tensor's units.
    ``cuts`` are the pieces; ``inputs`` the shapes of the reference's tensors that went in.
    """

    place: int
    layers: tuple[Layer, ...]
    local: float
    local_max: float
    total: float
    total_max: float
    scale: float
    largest: float
    cuts: tuple[Cut, ...]
    inputs: tuple[tuple[int, ...], ...] = ()
    shape_fault: str = ""

    @property
    def name(self) -> str:
        """The layers' names."""
        return " + ".join(map(str, self.layers)) or "(between layers)"


@dataclass
class _Flow:
    """Tensors at the cuts that are still needed: the reference's (``given``) and the candidate's own.

    ``carried``: the cuts whose tensors could not be put into the candidate's form; the candidate's piece
    has been run on what came before them instead.
    """

    given: dict[str, Array]
    own: dict[str, Array]
    carried: dict[str, tuple[Cut, ...]]

    def drop(self, last: dict[str, int], index: int) -> None:
        """Forget what no later piece reads."""
        for held in (self.given, self.own):
            for name in [name for name in held if last.get(name, -1) <= index]:
                del held[name]


def layer_errors(
    reference: Reference,
    candidate: CutGraph,
    layout: Layout,
    images: Array,
    on_layer: OnLayer = lambda done, total: None,
) -> list[LayerError]:
    """Run reference and candidate side by side, a layer at a time, in the order of the network.

    Each piece of the candidate runs twice, on the reference's tensors and on its own: a few tensors and one
    layer's weights are held.
    """
    turn = _turning(reference.order, layout)
    cuts, computed = reference.cuts(candidate), candidate.as_computed()
    last = {name: index for index, cut in enumerate(cuts) for name in cut.edges}
    image = to_layout(images, layout).astype(computed.input_type, copy=False)
    flow = _Flow(given={candidate.input: image}, own={candidate.input: image}, carried={})
    found: list[LayerError] = []
    for index, (cut, expected) in enumerate(zip(cuts, reference.tensors(cuts, images), strict=True)):
        error = _one(computed, cut, expected, flow, turn, final=cut.tensor == candidate.output)
        if error:
            found.append(error)
        flow.drop(last, index)
        on_layer(index + 1, len(cuts))
    return [replace(error, place=place) for place, error in enumerate(found, start=1)]


def _one(
    computed: CutGraph,
    cut: Cut,
    expected: Array,
    flow: _Flow,
    turn: Callable[[Array], Array],
    *,
    final: bool,
) -> LayerError | None:
    """The error of one cut; None where the reference's tensor cannot be put into the candidate's form."""
    inputs = tuple(flow.given[name].shape for name in cut.edges)
    local, own, told = _both(computed, cut, flow)
    if local is None or own is None:  # those after it are held against the reference all the same
        local = own = np.full((), np.nan, flow.given[cut.edges[0]].dtype if cut.edges else np.float32)
    cuts = (*(c for name in cut.edges for c in flow.carried.get(name, ())), cut)
    arranged = turn(expected) if told else _arranged(expected, local)
    if arranged is None and not final:
        flow.given[cut.tensor], flow.own[cut.tensor] = local, own
        flow.carried[cut.tensor] = cuts
        return None
    flow.given[cut.tensor] = _narrowed(expected if arranged is None else arranged, local.dtype)
    flow.own[cut.tensor] = flow.given[cut.tensor] if told else own
    layers = tuple(dict.fromkeys(layer for c in cuts for layer in c.layers))
    rms = _rms(expected)
    scale = max(rms, _LEAST_SCALE * max((_rms(flow.given[name]) for name in cut.edges), default=0.0)) or 1.0
    if arranged is None:
        told = f"its shape is {local.shape}, the reference's {expected.shape}"
    measured = {"local": math.inf, "local_max": math.inf, "total": math.inf, "total_max": math.inf}
    if not told and arranged is not None:
        measured = {**_errors(local, arranged, "local", scale), **_errors(own, arranged, "total", scale)}
    return LayerError(place=0, layers=layers, cuts=cuts, scale=rms, inputs=inputs, shape_fault=told,
                      largest=float(np.abs(expected).max(initial=0.0)), **measured)  # fmt: skip


def _both(computed: CutGraph, cut: Cut, flow: _Flow) -> tuple[Array | None, Array | None, str]:
    """The piece's output from the reference's tensors and from the candidate's own; or why there is none."""
    try:
        piece = computed.piece({name: flow.given[name] for name in cut.edges}, cut.tensor)
        local = piece(flow.given)
        same = all(flow.given[name] is flow.own[name] for name in cut.edges)
        return local, local if same else piece(flow.own), ""
    except Exception as error:  # ONNX Runtime's errors have no common class
        if isinstance(error, MemoryError):
            raise
        lines = str(error).strip().splitlines() or [""]
        return None, None, f"it does not run: {lines[0][:200]}"


def _turning(order: Layout, layout: Layout) -> Callable[[Array], Array]:
    """From the reference's order of axes to the candidate's, as its input has it."""
    axes = (0, 3, 1, 2) if layout == "nchw" else (0, 2, 3, 1)
    return lambda tensor: tensor.transpose(axes) if tensor.ndim == 4 and order != layout else tensor


def _errors(found: Array, expected: Array, what: str, scale: float) -> dict[str, float]:
    if found.shape != expected.shape:
        return {what: math.inf, f"{what}_max": math.inf}
    with np.errstate(invalid="ignore", over="ignore"):
        error = found.astype(np.float64) - expected
        largest, rms = float(np.abs(error).max(initial=0.0)), _rms(error)
    if not math.isfinite(largest):
        return {what: math.inf, f"{what}_max": math.inf}
    return {what: rms / scale, f"{what}_max": largest}


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def _arranged(expected: Array, found: Array) -> Array | None:
    """The reference's tensor in the candidate's order of axes; None where no order has the shape.

    Where several fit (a map with as many rows as channels) the one that agrees best is meant.
    """
    fitting = [turned for turned in _orders(expected) if turned.shape == found.shape]
    if len(fitting) > 1:
        with np.errstate(invalid="ignore"):
            fitting.sort(key=lambda turned: _distance(turned, found))
    if fitting:
        return fitting[0]
    if _sides(expected) == _sides(found):  # a vector against a map of one cell
        return np.reshape(expected, found.shape)
    return None


def _orders(tensor: Array) -> Iterator[Array]:
    """As it is, channels first or last; then any other order of the axes, if none of these fits."""
    if tensor.ndim != 4:
        yield tensor
        if tensor.ndim == 3:
            yield tensor.transpose(0, 2, 1)
        return
    yield tensor
    yield tensor.transpose(0, 3, 1, 2)


def _distance(one: Array, other: Array) -> float:
    distance = _rms(one.astype(np.float64) - other)
    return distance if math.isfinite(distance) else math.inf


def _sides(tensor: Array) -> Sequence[int]:
    return [side for side in tensor.shape if side != 1]


def _narrowed(tensor: Array, kind: Any) -> Array:
    """In the candidate's type; what is too large for it becomes its largest number, so that one layer's
    overflow is not held against those after it.
    """
    if np.dtype(kind).kind != "f" or kind == tensor.dtype:
        return np.asarray(tensor, kind)
    limits = np.finfo(kind)
    return np.clip(tensor, limits.min, limits.max).astype(kind)


def ranked(errors: Sequence[LayerError]) -> list[LayerError]:
    """The largest locally introduced error first."""
    return sorted(errors, key=lambda error: (-error.local, error.place))
