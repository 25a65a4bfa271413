"""What leaves FP16's range: weights, constants, and activations on real images.

FP16 ends at 65504. Below 6.1e-5 its numbers are subnormal: their step is 6e-8 however small they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fcnship.precision.element_types import check_flat, element_types, free_name, names_of
from fcnship.precision.fp16 import LARGEST, SMALLEST_NORMAL
from fcnship.precision.places import places_of

Array = np.ndarray[Any, Any]
# Other images go higher than those that were looked at.
HEADROOM = 4
_FLOAT = 1  # TensorProto.FLOAT
_SUMS = ("ReduceMean", "ReduceSum", "GlobalAveragePool")


class Found(NamedTuple):
    """A node that is to stay FP32: the Keras layer it is a part of (or its own name), and why."""

    layer: str
    reason: str


class Peak(NamedTuple):
    """A magnitude, and the size of the image on which it was met."""

    value: float
    size: str

    def __str__(self) -> str:
        return f"{self.value:.3g} at {self.size}"


class Peaks(NamedTuple):
    """The largest magnitude over all images: of each float tensor, and of each sum that a node takes."""

    tensors: dict[str, Peak]
    sums: dict[int, Peak]


def leaving(model: Any, feeds: Iterable[tuple[str, Mapping[str, Array]]]) -> list[Found]:
    """The layers of a float32 model that FP16 cannot hold, each once, with the first reason found.

    ``feeds`` are a size's name and the model's inputs for one image each, in the model's own order.
    A layer leaves the range where its weights do, or where what it reads, makes or sums comes within a factor
    of ``HEADROOM`` of the end on any image, or is subnormal altogether on all. A constant that is subnormal
    guards against a value as small as itself: the nodes that give to or take from its reader stay too.

    Raises:
        ModelRefused: the graph has loops or branches.
    """
    check_flat(model)
    peaks = peaks_of(model, feeds)
    places = places_of(model)
    reasons: dict[str, str] = {}
    for index, reason in (*_by_weights(model), *_by_activations(model, peaks), *_by_guards(model, places)):
        reasons.setdefault(places[index], reason)
    return [Found(layer, reasons[layer]) for layer in dict.fromkeys(places) if layer in reasons]


def peaks_of(model: Any, feeds: Iterable[tuple[str, Mapping[str, Array]]]) -> Peaks:
    """Run the model and take the largest magnitude of every float tensor, inside the graph: none is kept."""
    session, tensors, sums = _tapped(model)
    found: list[Peak] = [Peak(-1.0, "")] * (len(tensors) + len(sums))
    for size, feed in feeds:
        for place, value in enumerate(session.run(None, dict(feed))):
            peak = float(np.nan_to_num(value, nan=np.inf, posinf=np.inf))
            found[place] = max(found[place], Peak(peak, size))
    first = len(tensors)
    return Peaks(dict(zip(tensors, found[:first], strict=True)), dict(zip(sums, found[first:], strict=True)))


def _tapped(model: Any) -> tuple[Any, list[str], list[int]]:
    """A session that gives the peak of each float tensor and then the largest sum of each node that sums."""
    import onnx
    import onnxruntime
    from onnx import helper

    weights = {tensor.name for tensor in model.graph.initializer}
    floats = [name for name, kind in element_types(model).items() if kind == _FLOAT and name not in weights]
    taken = names_of(model)
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    graph = tapped.graph
    del graph.output[:]

    def tap(source: str) -> None:
        magnitude, peak = free_name(f"{source}/magnitude", taken), free_name(f"{source}/peak", taken)
        graph.node.append(helper.make_node("Abs", [source], [magnitude]))
        graph.node.append(helper.make_node("ReduceMax", [magnitude], [peak], keepdims=0))
        graph.output.append(helper.make_tensor_value_info(peak, _FLOAT, []))

    for name in floats:
        tap(name)
    summing = [
        i for i, node in enumerate(model.graph.node) if node.op_type in _SUMS and node.input[0] in floats
    ]
    for index in summing:
        total = free_name(f"{model.graph.node[index].output[0]}/sum", taken)
        graph.node.append(_sum_of_magnitudes(model.graph.node[index], total))
        tap(total)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        tapped.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session, floats, summing


def _sum_of_magnitudes(node: Any, total: str) -> Any:
    import onnx
    from onnx import helper

    if node.op_type == "GlobalAveragePool":
        return helper.make_node("GlobalLpPool", [node.input[0]], [total], p=1)
    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.op_type, made.name, made.output[:] = "ReduceL1", "", [total]
    return made


def _by_weights(model: Any) -> Iterator[tuple[int, str]]:
    from onnx import numpy_helper

    reasons = {}
    for tensor in model.graph.initializer:
        if tensor.data_type == _FLOAT and tensor.dims != [0]:
            peak = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
            if peak > LARGEST and np.isfinite(peak):
                reasons[tensor.name] = f"its weights reach {peak:.3g}, and FP16 ends at {LARGEST:g}"
            elif 0 < peak < SMALLEST_NORMAL and not _is_guard(tensor):
                reasons[tensor.name] = (
                    f"its weights are at most {peak:.3g}, below FP16's {SMALLEST_NORMAL:.2g}"
                )
    for index, node in enumerate(model.graph.node):
        yield from ((index, reasons[name]) for name in node.input if name in reasons)


def _by_activations(model: Any, peaks: Peaks) -> Iterator[tuple[int, str]]:
    most = LARGEST / HEADROOM
    for index, node in enumerate(model.graph.node):
        for name, verb in (*((n, "makes") for n in node.output), *((n, "reads") for n in node.input)):
            peak = peaks.tensors.get(name, Peak(0.0, ""))
            if peak.value > most:
                yield index, f"it {verb} values up to {peak}, and FP16 ends at {LARGEST:g}"
            elif 0 < peak.value < SMALLEST_NORMAL:
                yield index, f"all that it {verb} is at most {peak}, below FP16's {SMALLEST_NORMAL:.2g}"
        if index in peaks.sums and peaks.sums[index].value > most:
            yield index, f"it sums values to {peaks.sums[index]}, and FP16 ends at {LARGEST:g}"


def _by_guards(model: Any, places: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Nodes that read a subnormal constant, and those that give to or take from these."""
    from onnx import numpy_helper

    guards = {
        tensor.name: float(np.abs(numpy_helper.to_array(tensor)).max())
        for tensor in model.graph.initializer
        if tensor.data_type == _FLOAT and _is_guard(tensor)
    }
    maker = {name: index for index, node in enumerate(model.graph.node) for name in node.output}
    readers = defaultdict(list)
    for index, node in enumerate(model.graph.node):
        for name in node.input:
            readers[name].append(index)
    beside: list[tuple[int, str]] = []
    for index, node in enumerate(model.graph.node):
        for guard in (name for name in node.input if name in guards):
            told = f"the constant {guards[guard]:.3g}, below FP16's {SMALLEST_NORMAL:.2g}"
            yield index, f"it reads {told}"
            others = [maker[name] for name in node.input if name in maker]
            others += [reader for name in node.output for reader in readers[name]]
            beside += [(other, f"it stands beside {places[index]}, which reads {told}") for other in others]
    yield from beside


def _is_guard(tensor: Any) -> bool:
    """Whether a tensor is one number, too small for FP16."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    return bool(values.size == 1 and 0 < abs(float(values.reshape(()))) < SMALLEST_NORMAL)
