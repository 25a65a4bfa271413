"""Small Keras networks of any image size, one for each thing that the export to ONNX may stumble over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

Body = Callable[[Any], Any]
CLASSES = 5
ACTIVATIONS = ("relu6", "swish", "gelu", "sigmoid", "tanh", "elu", "leaky_relu", "hard_swish", "mish")


def network(body: Body, channels: int = 3, head: Body | None = None) -> Any:
    """A network for images of any size: the body, then scores of the whole image (or another ``head``)."""
    image = keras.Input((None, None, channels), name="picture")
    return keras.Model(image, (head or _scores)(body(image)), name="net")


def _scores(x: Any) -> Any:
    return layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def stack(*parts: Any) -> Body:
    """Layers one after another."""

    def body(x: Any) -> Any:
        for part in parts:
            x = part(x)
        return x

    return body


def same(x: Any) -> Any:
    """No head: the body's map is the output."""
    return x


def conv(filters: int = 4, kernel: int = 3, **options: Any) -> Any:
    return layers.Conv2D(filters, kernel, **options)


def residual(x: Any) -> Any:
    x = conv(padding="same")(x)
    y = layers.BatchNormalization()(conv(padding="same", activation="relu", use_bias=False)(x))
    return layers.ReLU()(layers.Add()([x, y]))


def gated(x: Any) -> Any:
    x = conv()(x)
    weights = conv(2, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.Multiply()([x, conv(4, 1, activation="sigmoid")(weights)])


def pyramid(x: Any) -> Any:
    x = conv(strides=2, padding="same")(x)
    maps = [conv(3, dilation_rate=rate, padding="same", activation="relu")(x) for rate in (1, 2, 4)]
    return layers.Concatenate()(maps)


def modern_block(x: Any) -> Any:
    """ConvNeXt's: a convolution of one group a channel, LayerNormalization, Dense on the map, gelu."""
    x = conv(8)(x)
    y = conv(8, 7, groups=8, padding="same")(x)
    y = layers.Dense(16, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(y))
    return layers.Add()([x, layers.Dense(8)(y)])


def brightest(x: Any) -> Any:
    return conv()(x / ops.maximum(ops.max(x, axis=(1, 2, 3), keepdims=True), 1e-6))


def normalized(x: Any) -> Any:
    return conv(activation="relu")(layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])(x))


def twice(x: Any) -> Any:
    shared = conv(128, padding="same")
    return shared(shared(conv(128, strides=4)(x)))


# Networks that are convolutions, pools and arithmetic: none needs to turn or reshape a tensor.
PLAIN: dict[str, Callable[[], Any]] = {
    "colour": lambda: network(conv(activation="relu", padding="same")),
    "grey": lambda: network(conv(activation="relu", padding="same"), channels=1),
    "one filter": lambda: network(stack(conv(1, activation="relu"), conv()), channels=1),
    "strides and same": lambda: network(
        stack(conv(4, 4, strides=3, padding="same"), conv(4, 2, strides=2, padding="same"))
    ),
    "dilated and valid": lambda: network(stack(conv(dilation_rate=2), conv(4, (1, 3)))),
    "dilated and same": lambda: network(pyramid),
    "batchnorm": lambda: network(stack(conv(use_bias=False), layers.BatchNormalization(), layers.ReLU())),
    "batchnorm first": lambda: network(stack(layers.BatchNormalization(), conv(padding="same"))),
    "residual": lambda: network(residual),
    "depthwise": lambda: network(layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)),
    "depthwise on grey": lambda: network(layers.DepthwiseConv2D(3, depth_multiplier=3), channels=1),
    "separable": lambda: network(layers.SeparableConv2D(6, 3, strides=2, activation="relu")),
    "grouped": lambda: network(stack(conv(8), conv(16, groups=2, padding="same", strides=2))),
    "modern block": lambda: network(modern_block),
    "max pools": lambda: network(
        stack(conv(), layers.MaxPooling2D(), layers.MaxPooling2D(3, 2, padding="same"))
    ),
    "average pools": lambda: network(
        stack(conv(), layers.AveragePooling2D(2), layers.AveragePooling2D(3, 2, padding="same"))
    ),
    "global max": lambda: network(
        conv(), head=lambda x: layers.Dense(CLASSES)(layers.GlobalMaxPooling2D()(x))
    ),
    "global keepdims": lambda: network(gated),
    "map of scores": lambda: network(stack(conv(), conv(CLASSES, 1, activation="softmax")), head=same),
    "map of grey": lambda: network(stack(conv(), conv(CLASSES, 1)), channels=1, head=same),
    "dense on a map": lambda: network(
        stack(conv(), layers.Dense(6, activation="relu"), layers.Dense(CLASSES)), head=same
    ),
    "prelu": lambda: network(stack(conv(), layers.PReLU(shared_axes=[1, 2]))),
    "rescaling": lambda: network(stack(layers.Rescaling(1 / 127.5, -1), conv(activation="relu"))),
    "normalization": lambda: network(normalized),
    "brightest": lambda: network(brightest, channels=1),
    "nested": lambda: network(keras.Sequential([keras.Input((None, None, 3)), conv(), layers.ReLU()])),
    "dropout": lambda: network(stack(conv(), layers.Dropout(0.5), layers.GaussianNoise(0.1))),
    "large kernel": lambda: network(stack(conv(128, strides=4), conv(128))),
    "large kernel, dilated": lambda: network(
        stack(conv(128, strides=4), conv(128, dilation_rate=2, padding="same"))
    ),
    "large kernel, grouped": lambda: network(stack(conv(256, strides=4), conv(256, groups=4))),
    "large kernel, used twice": lambda: network(twice),
    "large dense": lambda: network(
        conv(512, strides=4), head=lambda x: layers.Dense(256)(layers.GlobalAveragePooling2D()(x))
    ),
    "large dense on a map": lambda: network(stack(conv(512, strides=4), layers.Dense(256))),
    **{f"activation {name}": lambda name=name: network(conv(activation=name)) for name in ACTIVATIONS},
}
# Networks whose own layers reshape, or whose sizes are computed at run time.
OTHERS: dict[str, Callable[[], Any]] = {
    "transposed": lambda: network(
        stack(conv(strides=2, padding="same"), layers.Conv2DTranspose(4, 3, 2, "same"))
    ),
    "upsampling": lambda: network(stack(conv(strides=2), layers.UpSampling2D(2), conv())),
    "group norm": lambda: network(stack(conv(), layers.GroupNormalization(2))),
    "flatten after a global pool": lambda: network(
        gated, head=lambda x: layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    ),
}


def with_weights(model: Any, seed: int = 0) -> Any:
    """Biases, statistics and scales that are neither zero nor one: else a wrong one would not show."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.path.endswith(("variance", "gamma")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1 and variable.dtype == "float32":
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return model
