"""Small networks for the geometry tests. All are linear but where a name says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

Tensor = Any
Body = Callable[[Tensor], Tensor]
CHANNELS = 2
IMAGE = (None, None, CHANNELS)


def chain(*steps: Body) -> Body:
    """One body of several layers."""

    def body(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return body


def _residual(x: Tensor) -> Tensor:
    x = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(y))
    return layers.Add()([layers.Conv2D(4, 1, strides=2, padding="same")(x), y])


def _unet(x: Tensor) -> Tensor:
    a = layers.Conv2D(4, 3, padding="same")(x)
    b = layers.Conv2D(4, 3, padding="same")(layers.AveragePooling2D(2)(a))
    c = layers.Conv2D(4, 3, padding="same")(layers.AveragePooling2D(2)(b))
    d = layers.Concatenate()([b, layers.UpSampling2D(interpolation="bilinear")(c)])
    e = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(d)
    return layers.Conv2D(2, 1)(layers.Concatenate()([a, e]))


def _squeeze(x: Tensor) -> Tensor:
    x = layers.Conv2D(4, 3)(x)
    s = layers.Dense(4)(layers.GlobalAveragePooling2D()(x))
    return layers.Conv2D(3, 3)(layers.Multiply()([x, layers.Reshape((1, 1, 4))(s)]))


def _nested(x: Tensor) -> Tensor:
    inner = keras.Sequential([layers.Conv2D(2, 3, name="deep"), layers.ReLU()], name="inner")
    outer = keras.Sequential([keras.Input(IMAGE), inner, layers.AveragePooling2D(2)], name="outer")
    return outer(outer(x))


def _operations(x: Tensor) -> Tensor:
    x = ops.relu(layers.Conv2D(3, 3)(x / 2.0) + 1.0)
    return layers.Conv2D(2, 1)(x / (ops.max(x, axis=(1, 2, 3), keepdims=True) + 1.0))


def _misaligned(x: Tensor) -> Tensor:
    """Legal at even sides alone: elsewhere the pool drops a row that the addition misses."""
    return layers.Add()([x, layers.UpSampling2D(2)(layers.AveragePooling2D(2)(x))])


def _two_pools(x: Tensor) -> Tensor:
    a = layers.Conv2D(3, 3)(x)
    b = layers.Conv2D(3, 3, strides=2)(a)
    return layers.Concatenate()([layers.GlobalMaxPooling2D()(a), layers.GlobalMaxPooling2D()(b)])


CONVOLUTIONS: dict[str, Body] = {
    "valid": chain(layers.Conv2D(3, 3), layers.Conv2D(3, (5, 2), strides=(1, 2))),
    "same": chain(layers.Conv2D(3, 3, strides=2, padding="same"), layers.Conv2D(3, 4, padding="same")),
    "dilated": chain(
        layers.Conv2D(3, 3, dilation_rate=3), layers.Conv2D(3, 2, dilation_rate=2, padding="same")
    ),
    "separable": chain(
        layers.SeparableConv2D(3, 3, strides=2, padding="same"), layers.DepthwiseConv2D(3, strides=2)
    ),
    "pad and crop": chain(
        layers.ZeroPadding2D(((0, 2), (1, 0))),
        layers.Conv2D(3, 3, strides=2),
        layers.Cropping2D(((1, 0), (0, 2))),
    ),
    "residual": _residual,
    "fcn": chain(
        layers.Conv2D(3, 3, padding="same"),
        layers.AveragePooling2D(2),
        layers.Conv2D(3, 3, padding="same"),
        layers.AveragePooling2D(2),
        layers.Conv2D(3, 7),
        layers.Conv2D(2, 1),
    ),
}
RESIZING: dict[str, Body] = {
    "pools": chain(layers.AveragePooling2D(3, 2, padding="same"), layers.AveragePooling2D(3, 1)),
    "transposed": chain(layers.Conv2D(3, 3, strides=2), layers.Conv2DTranspose(2, 3, strides=2)),
    "transposed same": chain(
        layers.AveragePooling2D(3), layers.Conv2DTranspose(2, 4, strides=3, padding="same")
    ),
    "transposed with holes": chain(
        layers.AveragePooling2D(2), layers.Conv2DTranspose(2, 1, strides=3), layers.Conv2D(2, 2)
    ),
    "transposed, more output": chain(
        layers.AveragePooling2D(2), layers.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=0)
    ),
    "nearest": chain(layers.AveragePooling2D(2), layers.UpSampling2D((2, 3)), layers.Conv2D(2, 3)),
    "bilinear": chain(layers.AveragePooling2D(2), layers.UpSampling2D(3, interpolation="bilinear")),
    "u-net": _unet,
    "misaligned": _misaligned,
    "nested": _nested,
}
OTHERS: dict[str, Body] = {
    "max pools": chain(layers.MaxPooling2D(3, 2, padding="same"), layers.MaxPooling2D(3, 1)),
    "squeeze": _squeeze,
    "operations": _operations,
    "two pools": _two_pools,
    "global": chain(
        layers.Conv2D(4, 3, strides=2), layers.GlobalMaxPooling2D(keepdims=True), layers.Conv2D(3, 1)
    ),
    "vector": chain(layers.Conv2D(4, 5), layers.GlobalAveragePooling2D(), layers.Dense(3)),
}


def model_of(body: Body, image: tuple[int | None, ...] = IMAGE) -> Any:
    """A model of one body."""
    x = keras.Input(image)
    return keras.Model(x, body(x), name="net")


def with_positive_weights(model: Any) -> Any:
    """Kernels of one half and no bias: in a linear model each pixel that a cell sees adds to it."""
    for layer in model._flatten_layers(include_self=False, recursive=True):
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            weight = getattr(layer, name, None)
            if weight is not None:
                weight.assign(keras.ops.full(weight.shape, 0.5))
    return model
