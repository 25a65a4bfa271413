"""Tries a suggestion: the candidate made again with layers in FP32, measured against the reference."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.graph.onnx_layers import layers_of
from fcnship.options import Io, Layout
from fcnship.runners import Runner, run
from fcnship.runners.onnxruntime import open_onnx
from fcnship.sizes import Size
from fcnship.verify.attribution.cut_graph import CutGraph
from fcnship.verify.parity import compare

Array = np.ndarray[Any, Any]
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a candidate is made again and measured.

    ``fp32``: the FP32 graph that it was made from. ``cases``: sizes and batches to measure at.
    """

    variant: str
    candidate: Path
    layout: Layout
    fp32: Path
    reference: Callable[[Array], Array]
    images: Callable[[Size, int], Array]
    cases: Sequence[tuple[Size, int]]

    def measured(self, precision: str, layers: Sequence[str]) -> dict[str, Any]:
        """The report's row of a trial: the errors of the outputs before and after, at each case."""
        import onnx

        with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
            path = Path(folder) / "kept.onnx"
            onnx.save(remade(self.candidate, self.fp32, precision, layers), path)
            before = self._errors(open_onnx(self.variant, self.candidate, self.layout))
            after = self._errors(open_onnx(self.variant, path, self.layout))
            grown = path.stat().st_size - self.candidate.stat().st_size
        rows = [
            {"height": size.height, "width": size.width, "batch": batch,
             **{f"before_{key}": value for key, value in old.items()},
             **{f"after_{key}": value for key, value in new.items()}}
            for (size, batch), old, new in zip(self.cases, before, after, strict=True)
        ]  # fmt: skip
        return {"layers": list(layers), "more_bytes": grown, "rows": rows}

    def _errors(self, runner: Runner) -> list[dict[str, Any]]:
        found = []
        for size, batch in self.cases:
            images = self.images(size, batch)
            row = compare(run(runner, images), self.reference(images), float("inf"))
            found.append({"max_abs": row["max_abs"], "flips": row["argmax_flips"]})
        runner.close()
        return found


def remade(candidate: Path, fp32: Path, precision: str, layers: Collection[str]) -> Any:
    """The candidate made from its FP32 graph again, with these layers in FP32 too."""
    import onnx

    model, held = onnx.load(fp32), CutGraph.read(candidate)
    keep = {*layers, *kept_already(held, precision)}
    if precision == "fp16":
        from fcnship.precision.fp16 import narrowed

        return narrowed(model, keep=keep, io=_io(held))
    from fcnship.precision.int8 import quantized

    return quantized(model, ranges_of(held), keep=keep)


def ranges_of(graph: CutGraph) -> dict[str, tuple[float, float]]:
    """The range of each activation that a Q/DQ graph quantizes, by its tensor."""
    found: dict[str, tuple[float, float]] = {}
    for node in graph.nodes:
        if node.op_type != "QuantizeLinear" or graph.constant(node.input[0]) is not None:
            continue
        scale = graph.constant(node.input[1])
        zero = graph.constant(node.input[2]) if len(node.input) > 2 else np.zeros((), np.uint8)
        if scale is None or zero is None or scale.size != 1:
            continue
        limits, shift = np.iinfo(zero.dtype), int(zero.ravel()[0])
        low = limits.min + (1 if limits.min < 0 and shift == 0 else 0)  # symmetric: -127 to 127
        step = float(scale.ravel()[0])
        found[node.input[0]] = (step * (low - shift), step * (limits.max - shift))
    return found


def kept_already(graph: CutGraph, precision: str) -> set[str]:
    """The layers whose weights stand in the graph as they are in FP32."""
    labels = layers_of(graph.model)
    kept: set[str] = set()
    narrow: set[str] = set()
    for node in graph.nodes:
        if node.op_type not in _WEIGHTED or node.name not in labels:
            continue
        plain = node.input[1] in graph.weights and graph.constant(node.input[1])
        wide = plain is not None and plain is not False and plain.dtype == np.float32
        quantized = precision == "int8" and any(_is_quantized(graph, name) for name in node.input[:2])
        (kept if wide and not quantized else narrow).add(labels[node.name].path)
    return kept - narrow


def _is_quantized(graph: CutGraph, name: str) -> bool:
    return name in graph.maker and graph.nodes[graph.maker[name]].op_type == "DequantizeLinear"


def _io(graph: CutGraph) -> Io:
    return "fp16" if graph.input_type == np.float16 else "fp32"
