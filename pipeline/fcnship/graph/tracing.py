"""Traces a Keras model as operations that ONNX has: one for a convolution, one for a dense layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fcnship.frameworks import import_tensorflow


@contextlib.contextmanager
def convertible_operations() -> Iterator[None]:
    """While it lasts, layers trace as operations that tf2onnx converts one to one.

    Left alone, a grouped convolution is traced as a call of a compiled function, which tf2onnx does not know;
    a dilated one with ``same`` padding as SpaceToBatch with sizes computed at run time; and Dense on a map as
    reshapes around a matrix product. Each is one Conv in ONNX.
    """
    import keras

    tf = import_tensorflow()
    inherited, dense = keras.layers.Conv2D.convolution_op, keras.layers.Dense.call

    def convolution(layer: Any, inputs: Any, kernel: Any) -> Any:
        if layer.data_format != "channels_last":
            return inherited(layer, inputs, kernel)
        return tf.nn.conv2d(
            inputs, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate
        )

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


def write_erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """A tf2onnx handler: ``erfc(x)``, of which ``gelu`` is made, is ``1 - erf(x)``; ONNX has Erf alone."""
    import numpy as np

    dtype, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
    graph.remove_node(name)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    erf = graph.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
    graph.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        outputs=node.output,
        name=name,
        shapes=[shape],
        dtypes=[dtype],
    )
