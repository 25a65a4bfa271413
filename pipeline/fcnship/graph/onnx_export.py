"""Keras to ONNX: any size, no clutter, and no large weight ever passes through the converter."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import ModelRefused
from fcnship.frameworks import import_tensorflow
from fcnship.graph.dtypes import in_float32
from fcnship.graph.onnx_layers import Layer, as_metadata
from fcnship.graph.onnx_names import rename
from fcnship.graph.tracing import convertible_operations, scopes_of_layers, untraceable, write_erfc
from fcnship.options import Layout

OPSET = 18
INPUT, OUTPUT = "image", "probabilities"
_LARGE = 100_000
_MOST_BYTES = 2**31 - 2**24


def export(model: Any, path: Path, layout: Layout, metadata: dict[str, str]) -> None:
    """Write the model as ONNX with dynamic batch, height and width.

    The input ``image`` is float32 (batch, channels, height, width), or in Keras's order for ``nhwc``; the
    output ``probabilities`` is (batch, classes) or a map in the same order. Whatever the model computes in,
    the file computes in float32. ``metadata`` goes into it, and which layer each node belongs to.

    Raises:
        ModelRefused: the model cannot be traced at any size, tf2onnx does not know an operation of it, or
            the file would exceed 2 GB.
    """
    import onnx

    model = in_float32(model)
    before, after = path.with_name("traced.onnx"), path.with_name("folded.onnx")
    layers = _write_traced(model, layout, before)
    folded = _folded(before, after)
    merged = rename(folded.graph)
    _describe(folded, model, layout)
    for key, value in {**metadata, **as_metadata(layers, merged)}.items():
        folded.metadata_props.add(key=key, value=value)
    onnx.save(folded, path)
    del folded  # the checker holds copies of its own
    onnx.checker.check_model(str(path), full_check=True)


def _write_traced(model: Any, layout: Layout, path: Path) -> dict[str, Layer]:
    """Write the graph as tf2onnx leaves it, weights put back. Gives the layers by their scopes alone."""
    import onnx

    large = [variable for variable in model.variables if np.prod(variable.shape, dtype=int) >= _LARGE]
    with scopes_of_layers(model) as layers:
        traced, values = _convert(model, large, layout)
    size_bytes = traced.ByteSize() + sum(_bytes_of(value) for value in values.values())
    if size_bytes > _MOST_BYTES:
        raise ModelRefused(
            f"{model.name} is {size_bytes / 1e9:.1f} GB as ONNX",
            cause="one ONNX file holds 2 GB",
            next="use a smaller network",
        )
    _put_back(traced, values)
    onnx.save(traced, path)
    return layers


def _bytes_of(value: Any) -> int:
    """Of a variable or tensor."""
    return int(np.prod(value.shape, dtype=int)) * int(import_tensorflow().as_dtype(value.dtype).size)


def _convert(model: Any, large: list[Any], layout: Layout) -> tuple[Any, dict[str, Any]]:
    """Trace and convert, with the large weights as inputs of the graph; gives it, and them by name.

    The small ones stay variables: tf2onnx must see them to fold BatchNormalization and remove transposes.
    Constants that a layer holds as tensors (the mean of Normalization) become inputs too: tf2onnx freezes
    variables only.
    """
    tf = import_tensorflow()
    import keras
    import tf2onnx

    def call(image: Any, *weights: Any) -> dict[str, Any]:
        with keras.StatelessScope(state_mapping=list(zip(large, weights, strict=True))):
            return {OUTPUT: model(image, training=False)}

    image = tf.TensorSpec((None, None, None, model.inputs[0].shape[-1]), tf.float32, name=INPUT)
    weights = [tf.TensorSpec(v.shape, v.dtype, name=f"weight_{i}") for i, v in enumerate(large)]
    nchw = layout == "nchw"
    outputs = [OUTPUT] if nchw and len(model.outputs[0].shape) == 4 else None
    function, signature = tf.function(call), [image, *weights]
    try:
        with convertible_operations():
            captures = function.get_concrete_function(*signature).graph.captures
    except (TypeError, ValueError) as error:
        raise untraceable(model, error) from error
    try:
        with _real_transposes(), _merged_keep_names(), _quiet():
            converted, _ = tf2onnx.convert.from_function(
                function,
                input_signature=signature,
                opset=OPSET,
                custom_op_handlers={"Erfc": (write_erfc, [])},
                inputs_as_nchw=[INPUT] if nchw else None,
                outputs_as_nchw=outputs,
            )
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise _unconverted(model, str(error)) from error
    _check_operators(converted, model)
    values = {f"weight_{index}": variable for index, variable in enumerate(large)}
    constants = {inner.name: outer for outer, inner in captures if outer.dtype != tf.resource}
    return converted, values | constants


@contextlib.contextmanager
def _real_transposes() -> Iterator[None]:
    """Keep tf2onnx from writing transposes of one-channel tensors as Reshape.

    Its optimiser ends with that, to save a copy; but a Reshape does not cancel against the transpose that
    undoes it, so that one-channel networks keep a Reshape, Squeeze and Unsqueeze (tf2onnx 1.17).
    """
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    original = TransposeOptimizer.post_optimize_action
    TransposeOptimizer.post_optimize_action = lambda self: None
    try:
        yield
    finally:
        TransposeOptimizer.post_optimize_action = original


@contextlib.contextmanager
def _merged_keep_names() -> Iterator[None]:
    """Name a convolution that tf2onnx makes anew, with a bias merged into it, after the one it replaces."""
    from tf2onnx import graph as theirs
    from tf2onnx.utils import make_name

    kind: Any = theirs.Graph
    original = kind.make_node

    def make_node(graph: Any, op_type: str, inputs: Any, *args: Any, **named: Any) -> Any:
        if op_type in ("Conv", "ConvTranspose") and not named.get("name"):
            replaced = [n for n in graph.get_nodes() if n.type == op_type and n.input[:2] == list(inputs[:2])]
            named |= {"name": make_name(replaced[0].name)} if replaced else {}
        return original(graph, op_type, inputs, *args, **named)

    kind.make_node = make_node
    try:
        yield
    finally:
        kind.make_node = original


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _put_back(traced: Any, values: dict[str, Any]) -> None:
    """Turn the inputs that stand for weights and constants into initializers.

    tf2onnx leaves a Transpose behind such an input (a kernel in Keras's order): NumPy does it here, once.
    """
    graph = traced.graph
    for name, value in values.items():
        readers = [node for node in graph.node if name in node.input]
        if readers and all(node.op_type == "Transpose" for node in readers):
            for node in readers:
                order = next(a.ints for a in node.attribute if a.name == "perm")
                _add_initializer(graph, node.output[0], np.asarray(value).transpose(list(order)))
                graph.node.remove(node)
        elif readers:
            _add_initializer(graph, name, np.asarray(value))
    kept = [entry for entry in graph.input if entry.name not in values]
    del graph.input[:]
    graph.input.extend(kept)


def _add_initializer(graph: Any, name: str, value: Any) -> None:
    """As ``numpy_helper.from_array``, into the graph at once: appending a finished tensor copies it again."""
    from onnx import helper

    tensor = graph.initializer.add(name=name, data_type=helper.np_dtype_to_tensor_dtype(value.dtype))
    tensor.dims.extend(value.shape)
    tensor.raw_data = value.tobytes()


def _folded(before: Path, after: Path) -> Any:
    """The graph after ONNX Runtime's basic optimisations: constants folded, transposes cancelled."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(after)
    options.log_severity_level = 4
    # Nothing is run: weights need no second copy in the order of the kernels.
    options.add_session_config_entry("session.disable_prepacking", "1")
    onnxruntime.InferenceSession(str(before), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(after)
    before.unlink()
    after.unlink()
    return folded


def _describe(graph_model: Any, model: Any, layout: Layout) -> None:
    """Name the dimensions, drop ONNX Runtime's own operator sets and intermediate shapes."""
    graph = graph_model.graph
    used = {node.domain for node in graph.node}
    kept = [entry for entry in graph_model.opset_import if entry.domain in used | {""}]
    del graph_model.opset_import[:]
    graph_model.opset_import.extend(kept)
    graph_model.producer_name = "fcnship"
    graph.name = model.name
    graph.doc_string = ""  # tf2onnx writes the traced function's number there
    del graph.value_info[:]
    spatial: list[str | int] = ["height", "width"]
    channels = model.inputs[0].shape[-1]
    _name_dimensions(graph.input[0], _ordered("batch", channels, spatial, layout))
    classes = model.outputs[0].shape[-1]
    if len(model.outputs[0].shape) == 4:
        _name_dimensions(graph.output[0], _ordered("batch", classes, ["map_height", "map_width"], layout))
    else:
        _name_dimensions(graph.output[0], ["batch", classes])


def _ordered(batch: str, channels: int, spatial: list[str | int], layout: Layout) -> list[str | int]:
    return [batch, channels, *spatial] if layout == "nchw" else [batch, *spatial, channels]


def _name_dimensions(value: Any, names: list[str | int]) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for name in names:
        if isinstance(name, str):
            shape.dim.add(dim_param=name)
        else:
            shape.dim.add(dim_value=name)


def _check_operators(converted: Any, model: Any) -> None:
    """tf2onnx leaves what it does not know as it is, and says so in its log alone."""
    from onnx import defs

    kinds = {(node.op_type, node.domain) for node in converted.graph.node}
    foreign = sorted(op for op, domain in kinds if domain or not defs.has(op, OPSET, ""))
    if foreign:
        raise _unconverted(model, f"operations without an ONNX counterpart: {', '.join(foreign)}")


def _unconverted(model: Any, why: str) -> ModelRefused:
    return ModelRefused(
        f"{model.name} cannot be written as ONNX: {why}",
        cause="tf2onnx does not convert an operation of it",
        next="replace that layer, or report it with the model's layers: fcnship explain MODEL",
    )
