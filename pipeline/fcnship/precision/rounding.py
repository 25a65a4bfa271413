"""An FP16 graph's rounding, made visible on the CPU.

ONNX Runtime has no FP16 convolution for x86 processors: it runs FP16 nodes in float32 between casts, and then
removes the casts between neighbours (1.31, at every level of optimisation). A value of 75,000 passes between
two FP16 layers there, which is infinite on a GPU. Casts that stand in the file it keeps: here a pair of them
rounds every result.
"""

from __future__ import annotations

from typing import Any

from fcnship.precision.element_types import check_flat, element_types, free_name, names_of

_FLOAT, _HALF = 1, 10  # TensorProto.FLOAT and FLOAT16
# Their results are among their inputs, and need no rounding.
EXACT = {
    *(
        "Relu",
        "MaxPool",
        "GlobalMaxPool",
        "ReduceMax",
        "ReduceMin",
        "Max",
        "Min",
        "Clip",
        "Neg",
        "Abs",
        "Where",
    ),
    *("Reshape", "Transpose", "Concat", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice", "Split"),
    *("Gather", "Expand", "Tile", "Pad", "DepthToSpace", "SpaceToDepth", "Dropout"),
}


def rounded(model: Any) -> Any:
    """A float32 graph that computes what an FP16 one does: float16 weights, and every result rounded.

    Sums within a node (of a convolution) are float32, as on tensor cores. What overflows is infinite.

    Raises:
        ModelRefused: the graph has loops or branches.
    """
    import onnx
    from onnx import helper, numpy_helper

    check_flat(model)
    halves = {name for name, kind in element_types(model).items() if kind == _HALF}
    taken = names_of(model)
    new = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = new.graph
    graph.name = model.graph.name
    for tensor in model.graph.initializer:
        half = tensor.data_type == _HALF
        wide = (
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name)
            if half
            else tensor
        )
        graph.initializer.append(wide)

    def round_into(name: str, before: str) -> None:
        middle = free_name(f"{name}/half", taken)
        for source, made, kind in ((before, middle, _HALF), (middle, name, _FLOAT)):
            graph.node.append(
                helper.make_node("Cast", [source], [made], free_name(f"{made}/cast", taken), to=kind)
            )

    for old in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(old)
        _widen_attributes(node)
        to_round = (
            [] if old.op_type in EXACT else [place for place, name in enumerate(old.output) if name in halves]
        )
        raw = {place: free_name(f"{old.output[place]}/raw", taken) for place in to_round}
        for place, name in raw.items():
            node.output[place] = name
        graph.node.append(node)
        for place, name in raw.items():
            round_into(old.output[place], name)
    for ends, old_ends in ((graph.input, model.graph.input), (graph.output, model.graph.output)):
        for value in old_ends:
            ends.add().CopyFrom(value)
            if value.name in halves:
                ends[-1].type.tensor_type.elem_type = _FLOAT
    return new


def _widen_attributes(node: Any) -> None:
    """What an attribute says of float16 is said of float32: the constant of a node, the target of a Cast."""
    from onnx import numpy_helper

    for attribute in node.attribute:
        if attribute.HasField("t") and attribute.t.data_type == _HALF:
            attribute.t.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype("float32"))
            )
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _HALF:
            attribute.i = _FLOAT
