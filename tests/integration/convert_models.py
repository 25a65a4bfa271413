"""One small network for each structure that conversion must get right, with weights that make faults show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

Tensor = Any
CLASSES = 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network. ``stride`` is set where each cell must equal the original on the crop at its place."""

    name: str
    build: Callable[[], Any]
    stride: tuple[int, int] | None = None
    grows: bool = True


CASES: list[Case] = []


def case(stride: int | tuple[int, int] | None = None, *, grows: bool = True) -> Callable[[Any], Any]:
    """Register a builder; ``grows=False`` for heads that answer with one vector at any size."""

    def register(build: Callable[[], Any]) -> Callable[[], Any]:
        both = (stride, stride) if isinstance(stride, int) else stride
        CASES.append(Case(name=build.__name__, build=build, stride=both, grows=grows))
        return build

    return register


def conv(filters: int = 4, size: int = 3, **settings: Any) -> Any:
    return layers.Conv2D(filters, size, **{"activation": "relu", **settings})


def head(x: Tensor) -> Tensor:
    x = layers.Dense(6, activation="relu")(layers.Flatten()(x))
    return layers.Dense(CLASSES, activation="softmax")(x)


def image(rows: int = 12, columns: int | None = None, channels: int = 2, **settings: Any) -> Any:
    return keras.Input((rows, columns or rows, channels), **settings)


def with_weights(model: Any, seed: int = 0, gain: float = 0.8) -> Any:
    """Random weights, biases and statistics: zeros, ones and a full softmax hide faults."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if "variance" in weight.path:
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            value = rng.normal(size=shape) * gain / np.sqrt(np.prod(shape[:-1]))
        else:
            value = rng.normal(size=shape) * 0.4
        weight.assign(value)
    return model


@case(stride=2)
def sequential() -> Any:
    return keras.Sequential(
        [image(), conv(), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(6, activation="relu"),
         layers.Dense(CLASSES, activation="softmax")]
    )  # fmt: skip


@case(stride=4)
def functional() -> Any:
    x = start = image(16)
    for _ in range(2):
        x = layers.MaxPooling2D()(conv()(x))
    return keras.Model(start, head(x))


@case(stride=2)
def nested() -> Any:
    steps = [conv(name="conv"), layers.BatchNormalization(), layers.Dropout(0.5), layers.MaxPooling2D()]
    inner = keras.Sequential([image(), *steps], name="backbone")
    end = keras.Sequential(
        [keras.Input((5, 5, 4)), conv(name="conv"), layers.Flatten(), layers.Dense(CLASSES)]
    )
    x = start = image()
    return keras.Model(start, end(inner(x, training=False)))


@case(stride=2)
def nested_without_size() -> Any:
    start = keras.Input((None, None, 2))
    inner = keras.Model(start, layers.MaxPooling2D()(conv()(start)), name="backbone")
    return keras.Sequential([image(), inner, layers.Flatten(), layers.Dense(CLASSES)])


@case()
def residual_same() -> Any:
    start = image()
    x = conv(padding="same")(start)
    y = conv(padding="same", strides=2)(x)
    y = layers.BatchNormalization()(conv(padding="same", activation=None)(y))
    x = layers.Add()([conv(4, 1, strides=2)(x), y])
    return keras.Model(start, head(layers.ReLU()(x)))


@case(stride=1)
def residual_valid() -> Any:
    start = image()
    x = conv()(start)
    x = layers.Add()([conv()(x), layers.Cropping2D(1)(x)])
    return keras.Model(start, head(x))


@case(stride=2)
def several_outputs() -> Any:
    start = image()
    x = layers.MaxPooling2D()(conv()(start))
    flat = layers.Flatten()(x)
    left = layers.Dense(CLASSES, activation="softmax", name="left")(flat)
    return keras.Model(start, [left, layers.Dense(5, activation="sigmoid", name="right")(flat)])


@case(stride=2)
def outputs_in_a_dict() -> Any:
    start = image()
    flat = layers.Flatten()(layers.MaxPooling2D()(conv()(start)))
    return keras.Model(
        start, {"a": layers.Dense(CLASSES, name="a")(flat), "b": layers.Dense(2, name="b")(flat)}
    )


@case(stride=1)
def shared_convolution() -> Any:
    start = image()
    shared = conv(2)
    return keras.Model(start, head(shared(shared(start))))


@case(stride=1)
def shared_dense() -> Any:
    start = image(8)
    shared = layers.Dense(6, activation="tanh")
    branches = [shared(layers.Flatten()(conv()(start))) for _ in range(2)]
    return keras.Model(start, layers.Dense(CLASSES)(layers.Subtract()(branches)))


@case()
def same_padding() -> Any:
    start = image()
    x = conv(padding="same", strides=2)(start)
    return keras.Model(start, head(layers.MaxPooling2D(3, strides=2, padding="same")(x)))


@case(stride=6)
def strides() -> Any:
    start = image(20)
    return keras.Model(start, head(conv(strides=3)(conv(strides=2)(start))))


@case(stride=1)
def dilation() -> Any:
    start = image(14)
    return keras.Model(start, head(conv(dilation_rate=3)(start)))


@case(stride=2)
def depthwise() -> Any:
    start = image()
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2)(start)
    return keras.Model(start, head(x))


@case(stride=2)
def separable() -> Any:
    start = image()
    return keras.Model(start, head(layers.SeparableConv2D(5, 3, strides=2, activation="relu")(start)))


@case(stride=(2, 3))
def non_square() -> Any:
    start = image(10, 17)
    return keras.Model(start, head(layers.MaxPooling2D((2, 3))(conv(3, (3, 2))(start))))


@case(stride=2)
def channels_first() -> Any:
    return _channels_first(layers.Flatten(data_format="channels_last"))


@case(stride=2)
def channels_first_flatten_too() -> Any:
    return _channels_first(layers.Flatten(data_format="channels_first"))


def _channels_first(flatten: Any) -> Any:
    first = {"data_format": "channels_first"}
    start = keras.Input((2, 12, 14))
    x = layers.BatchNormalization(axis=1)(conv(**first)(start))
    x = flatten(layers.MaxPooling2D(**first)(x))
    x = layers.PReLU()(layers.BatchNormalization()(layers.Dense(6)(x)))
    return keras.Model(start, layers.Dense(CLASSES, activation="softmax")(x))


@case(stride=2)
def flatten_says_channels_first() -> Any:
    start = image(10, 12)
    x = layers.Flatten(data_format="channels_first")(layers.MaxPooling2D()(conv()(start)))
    return keras.Model(start, layers.Dense(CLASSES)(x))


@case(stride=2)
def average_over_whole_map() -> Any:
    start = image()
    x = layers.AveragePooling2D(5)(layers.MaxPooling2D()(conv()(start)))
    return keras.Model(start, head(x))


@case(stride=1)
def maximum_over_whole_map() -> Any:
    start = image(8, 10)
    x = layers.MaxPooling2D((6, 9), padding="same")(conv()(start))
    return keras.Model(start, head(x))


@case(stride=1)
def large_map() -> Any:
    start = image(28, channels=1)
    return keras.Model(start, head(conv(2)(start)))


@case(stride=1)
def dense_without_bias() -> Any:
    start = image(8)
    x = layers.Flatten()(conv(use_bias=False)(start))
    return keras.Model(start, layers.Dense(CLASSES, use_bias=False)(layers.Dense(5, use_bias=False)(x)))


@case(stride=1)
def reshape_around_a_1x1_head() -> Any:
    start = image(8)
    x = layers.AveragePooling2D(6)(conv()(start))
    x = layers.Conv2D(CLASSES, 1)(layers.Dropout(0.2)(layers.Reshape((1, 1, 4))(x)))
    return keras.Model(start, layers.Activation("softmax")(layers.Reshape((CLASSES,))(x)))


@case(grows=False)
def reshape_behind_global_pooling() -> Any:
    start = image(8)
    x = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(conv()(start)))
    x = layers.Reshape((CLASSES,))(layers.Conv2D(CLASSES, 1)(x))
    return keras.Model(start, layers.Softmax()(x))


@case(stride=1)
def dense_back_to_a_map() -> Any:
    start = image(8)
    x = layers.Dense(6, activation="relu")(layers.Flatten()(conv()(start)))
    x = conv(5, 1)(layers.Reshape((1, 1, 6))(x))
    return keras.Model(start, layers.Flatten()(layers.Conv2D(CLASSES, 1)(x)))


@case(stride=1)
def dense_on_a_map() -> Any:
    start = image(8)
    x = layers.Dense(5, activation="relu")(conv()(start))
    return keras.Model(start, head(x))


@case(grows=False)
def global_pooling_head() -> Any:
    start = image()
    both = [layers.GlobalAveragePooling2D()(conv()(start)), layers.GlobalMaxPooling2D()(conv()(start))]
    x = layers.Dense(6, activation="relu")(layers.Concatenate()(both))
    return keras.Model(start, layers.Dense(CLASSES, activation="softmax")(x))


@case(stride=2)
def norms_and_activations_apart() -> Any:
    start = image()
    x = layers.Activation("relu")(layers.BatchNormalization()(conv(activation=None)(start)))
    x = layers.Flatten()(layers.SpatialDropout2D(0.2)(layers.MaxPooling2D()(x)))
    x = layers.LeakyReLU()(layers.BatchNormalization()(layers.Dense(8)(x)))
    x = layers.ELU()(layers.LayerNormalization()(layers.Dense(6)(layers.Dropout(0.4)(x))))
    return keras.Model(start, layers.Softmax()(layers.Dense(CLASSES)(x)))


@case(stride=1)
def prelu_and_layer_norm_on_the_map() -> Any:
    start = image(8)
    x = layers.PReLU(shared_axes=[1, 2])(layers.LayerNormalization()(conv(activation=None)(start)))
    return keras.Model(start, head(x))


@case(stride=1)
def norm_of_the_flattened_map() -> Any:
    start = image(8)
    x = layers.Dropout(0.3)(layers.BatchNormalization()(layers.Flatten()(conv()(start))))
    x = layers.BatchNormalization(center=False)(x)
    return keras.Model(start, layers.Dense(CLASSES, use_bias=False)(x))


@case(stride=1)
def activation_of_the_flattened_map() -> Any:
    start = image(8)
    x = layers.ReLU()(layers.Dropout(0.1)(layers.Flatten()(conv(activation=None)(start))))
    return keras.Model(start, layers.Dense(CLASSES)(layers.Activation("tanh")(x)))


@case(stride=1)
def fixed_input_already_convolutional() -> Any:
    start = image(8)
    return keras.Model(start, layers.Conv2D(CLASSES, 1, activation="softmax")(conv(5, 6)(conv()(start))))


@case(stride=1)
def flatten_of_one_cell() -> Any:
    start = image(8)
    x = layers.Conv2D(CLASSES, 1)(conv(5, 6)(conv()(start)))
    return keras.Model(start, layers.Softmax()(layers.Flatten()(x)))


@case()
def squeeze_and_excite() -> Any:
    start = image(8)
    x = conv()(start)
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(start, head(layers.Multiply()([x, layers.Reshape((1, 1, 4))(gate)])))


@case(stride=1)
def operations_without_layers() -> Any:
    start = image(8)
    x = ops.relu(conv(activation=None)(start / 2.0 - 0.1))
    x = layers.Dense(6)(layers.Flatten()(x)) * 0.5
    return keras.Model(start, layers.Dense(CLASSES)(ops.tanh(x) + x))


@case(grows=False)
def mean_by_an_operation() -> Any:
    start = image(8)
    return keras.Model(start, layers.Dense(CLASSES)(ops.mean(conv()(start), axis=(1, 2))))


@case(stride=1)
def branches_joined() -> Any:
    start = image(10)
    x = layers.Concatenate()([conv(3, 5)(start), layers.Cropping2D(1)(conv(2, 3)(start))])
    flat = layers.Flatten()(x)
    cells = layers.Concatenate()([layers.Dense(4, activation="relu")(flat), layers.Dense(3)(flat)])
    return keras.Model(start, layers.Dense(CLASSES)(cells))


@case()
def padded_and_enlarged() -> Any:
    start = image(8)
    x = layers.UpSampling2D()(conv()(layers.ZeroPadding2D(1)(start)))
    x = layers.Conv2DTranspose(3, 2, strides=2)(x)
    return keras.Model(start, head(layers.MaxPooling2D(4)(x)))


@case(stride=2)
def bytes_rescaled() -> Any:
    start = image(dtype="uint8")
    x = layers.MaxPooling2D()(conv()(layers.Rescaling(1 / 255, offset=-0.5)(start)))
    return keras.Model(start, head(x))


@case(stride=2)
def doubles() -> Any:
    start = image(dtype="float64")
    x = layers.MaxPooling2D(dtype="float64")(conv(dtype="float64")(start))
    x = layers.Dense(6, dtype="float64")(layers.Flatten(dtype="float64")(x))
    return keras.Model(start, layers.Dense(CLASSES, dtype="float64", activation="softmax")(x))


@case(grows=False)
def sequence_behind_global_pooling() -> Any:
    start = image(8)
    x = layers.Reshape((2, 2))(layers.GlobalAveragePooling2D()(conv()(start)))
    return keras.Model(start, layers.Dense(CLASSES)(layers.LSTM(3)(x)))


@case(stride=1)
def gated_cells() -> Any:
    start = image(8)
    flat = layers.Flatten()(conv()(start))
    gate = layers.Dense(1, activation="sigmoid")(flat)
    return keras.Model(start, layers.Dense(CLASSES)(layers.Multiply()([layers.Dense(6)(flat), gate])))
