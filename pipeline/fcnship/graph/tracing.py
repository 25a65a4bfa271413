"""Traces a Keras model as operations that ONNX has, named after its layers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from fcnship.errors import ModelRefused
from fcnship.frameworks import import_keras, import_tensorflow
from fcnship.graph.onnx_layers import Layer

Padding = str | list[list[int]]


@contextlib.contextmanager
def convertible_operations() -> Iterator[None]:
    """While it lasts, layers trace as operations that tf2onnx converts one to one.

    Left alone, a grouped convolution is traced as a call of a compiled function, which tf2onnx does not know;
    a dilated one with ``same`` padding as SpaceToBatch with sizes computed at run time; and Dense on a map as
    reshapes around a matrix product. Each is one Conv in ONNX.
    """
    keras = import_keras()

    tf = import_tensorflow()
    inherited, dense = keras.layers.Conv2D.convolution_op, keras.layers.Dense.call

    def convolution(layer: Any, inputs: Any, kernel: Any) -> Any:
        if layer.data_format != "channels_last":
            return inherited(layer, inputs, kernel)
        return tf.nn.conv2d(inputs, kernel, layer.strides, _padding(layer), dilations=layer.dilation_rate)

    def dense_on_map(layer: Any, inputs: Any, training: bool | None = None) -> Any:
        if len(inputs.shape) != 4:
            return dense(layer, inputs, training=training)
        outputs = tf.nn.conv2d(inputs, tf.convert_to_tensor(layer.kernel)[None, None], 1, "VALID")
        outputs = outputs if layer.bias is None else outputs + layer.bias
        return outputs if layer.activation is None else layer.activation(outputs)

    keras.layers.Conv2D.convolution_op, keras.layers.Dense.call = convolution, dense_on_map
    try:
        yield
    finally:
        del keras.layers.Conv2D.convolution_op
        keras.layers.Dense.call = dense


@contextlib.contextmanager
def scopes_of_layers(model: Any) -> Iterator[dict[str, Layer]]:
    """While it lasts, what a layer traces is named ``<its path>/...``; gives the layer of each such scope.

    Keras opens a scope of the layer's name, which TensorFlow makes unique by numbers that depend on what was
    traced before: after ``conv2d_1`` nobody can tell a layer of that name from the first call of ``conv2d``.
    """
    keras, tf = import_keras(), import_tensorflow()
    called, opened = keras.Operation.__call__, keras.layers.Layer._open_name_scope
    scopes: dict[str, Layer] = {}
    above: list[str] = []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if operation is model:
            return called(operation, *args, **kwargs)
        above.append(operation.name)
        scope = _free_scope("/".join(above), scopes)
        try:
            with tf.name_scope(f"{scope}/"):  # the slash: exactly this name
                return called(operation, *args, **kwargs)
        finally:
            above.pop()

    keras.Operation.__call__ = call
    keras.layers.Layer._open_name_scope = lambda layer: contextlib.nullcontext()
    try:
        yield scopes
    finally:
        keras.Operation.__call__, keras.layers.Layer._open_name_scope = called, opened


def _free_scope(path: str, scopes: dict[str, Layer]) -> str:
    """A scope of its own for one more call of a layer, in the characters that TensorFlow allows."""
    number = 1 + sum(layer.path == path for layer in scopes.values())
    plain = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", path)
    plain = plain if plain[0].isalnum() else f".{plain}"
    wanted = plain if number == 1 else f"{plain}/call_{number}"
    scope, tries = wanted, 1
    while scope in scopes:
        tries += 1
        scope = f"{wanted}.{tries}"
    scopes[scope] = Layer(path, number)
    return scope


def _padding(layer: Any) -> Padding:
    """``same`` around a dilated kernel in numbers: it goes with stride 1 alone, so it is the same at every
    size, and ONNX Runtime has no automatic padding with dilation.
    """
    if layer.padding != "same" or max(layer.dilation_rate) == 1:
        return str(layer.padding).upper()
    around = [(k - 1) * d for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    return [[0, 0], *([total // 2, total - total // 2] for total in around), [0, 0]]


def write_erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """A tf2onnx handler: ``erfc(x)``, of which ``gelu`` is made, is ``1 - erf(x)``; ONNX has Erf alone."""
    import numpy as np

    dtypes, shapes = [graph.get_dtype(node.output[0])], [graph.get_shape(node.output[0])]
    graph.remove_node(name)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    erf = graph.make_node("Erf", node.input, shapes=shapes, dtypes=dtypes)
    graph.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=node.output, name=name, shapes=shapes, dtypes=dtypes
    )


def untraceable(model: Any, error: Exception) -> ModelRefused:
    """The refusal of a model that TensorFlow cannot trace while height and width are left open."""
    told = re.search(r"^\s*(\w+Error: .+)$", str(error), re.MULTILINE)
    return ModelRefused(
        f"{model.name} cannot be traced for any size: {told[1] if told else str(error).strip()}",
        cause="a layer asks for the size itself in Python (UpSampling2D but for 'nearest' among others)",
        next="replace that layer, by Conv2DTranspose or UpSampling2D with interpolation='nearest'",
    )
