"""The layer configurations of Keras 1, in the words of Keras 2 and later. Plain JSON, no Keras here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MODELS = frozenset({"Sequential", "Model", "Functional"})
_CLASSES = {
    "Convolution2D": "Conv2D",
    "AtrousConvolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
}
_MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
_NAMES = {
    "nb_filter": "filters",
    "output_dim": "units",
    "border_mode": "padding",
    "subsample": "strides",
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "p": "rate",
    "dim_ordering": "data_format",
}
_MARKS = frozenset(_NAMES) | {"nb_row", "W_regularizer", "beta_init", "mode"}
_ORDERINGS = {"th": "channels_first", "tf": "channels_last"}
# They shape training alone, and their form in Keras 1 has no equal.
_TRAINING = (
    "init", "beta_init", "gamma_init", "W_regularizer", "b_regularizer", "W_constraint", "b_constraint",
    "activity_regularizer", "gamma_regularizer", "beta_regularizer", "depthwise_regularizer",
    "pointwise_regularizer", "weights", "input_dim", "input_length",
)  # fmt: skip


def is_keras1(layer: dict[str, Any]) -> bool:
    """Whether a layer is written in the words of Keras 1."""
    config = layer["config"]
    return layer["class_name"] in (*_CLASSES, "Merge") or bool(_MARKS & set(config))


def modern_layer(layer: dict[str, Any]) -> dict[str, Any]:
    """The layer in the words of Keras 2 and later; less what shapes training alone."""
    old = {key: value for key, value in layer["config"].items() if key not in _TRAINING}
    kind = layer["class_name"]
    if kind == "Merge":
        return _merge(layer, old)
    config = {_NAMES.get(key, key): value for key, value in old.items()}
    if "nb_row" in config:
        config["kernel_size"] = [config.pop("nb_row"), config.pop("nb_col")]
    if "data_format" in config:
        config["data_format"] = _ORDERINGS.get(config["data_format"], "channels_last")
    if kind == "BatchNormalization":
        config.pop("mode", None)
    return {**layer, "class_name": _CLASSES.get(kind, kind), "config": config}


def th_kernels(layers: Iterable[dict[str, Any]]) -> frozenset[str]:
    """Names of the convolutions whose kernels are (filters, channels, rows, columns)."""
    found = (
        layer["config"]["name"]
        for layer in layers
        if layer["class_name"] in _CLASSES and layer["config"].get("dim_ordering") == "th"
    )
    return frozenset(found)


def _merge(layer: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    mode = old.get("mode")
    config: dict[str, Any] = {key: old[key] for key in ("name", "trainable") if key in old}
    if mode == "concat":
        config["axis"] = old.get("concat_axis", -1)
    return {**layer, "class_name": _MERGES.get(str(mode), "Merge"), "config": config}
