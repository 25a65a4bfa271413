"""Rewrites the model configuration of Keras 2 and older into what Keras 3 reads. No Keras here."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from fcnship.graph.keras1 import MODELS, is_keras1, modern_layer, th_kernels

MIRRORED_BACKEND = "theano"
# Settings that Keras 3 no longer knows and that change nothing at inference.
_FUNCTIONAL = "keras.src.models.functional"
_KERNEL = ("filters", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
_DROPPED: dict[str, tuple[str, ...]] = {
    "*": ("input_dtype", "autocast"),
    "InputLayer": ("ragged",),
    "DepthwiseConv2D": ("groups", *_KERNEL),
    "SeparableConv2D": ("groups", *_KERNEL[1:]),
    "Conv2DTranspose": ("groups",),
    "BatchNormalization": (
        "renorm", "renorm_clipping", "renorm_momentum", "fused", "virtual_batch_size", "adjustment",
    ),
}  # fmt: skip


def modern_config(config: Any) -> tuple[Any, tuple[str, ...]]:
    """The configuration as Keras 3 reads it, and a note for each kind of thing that was mended.

    The argument is left as it is. A configuration with nothing to mend comes back equal.
    """
    notes: list[str] = []
    mended = _model(copy.deepcopy(config), notes)
    return mended, tuple(dict.fromkeys(notes))


def kernels_stand_first(config: Any) -> frozenset[str]:
    """Names of the layers whose kernels are (filters, channels, rows, columns): Keras 1 under ``th``."""
    return th_kernels(_layers_of(config))


def _model(model: Any, notes: list[str]) -> Any:
    kind = model.get("class_name")
    if kind == "Model":
        model["class_name"] = "Functional"
    if "module" in model:
        # Keras 2 wrote the place of its own source file, keras.src.engine.functional or tf_keras's.
        model.update(module="keras" if kind == "Sequential" else _FUNCTIONAL, registered_name=None)
    config = model["config"]
    if kind == "Sequential" and isinstance(config, list):
        notes.append("Sequential was a bare list of layers (Keras 2.2.2 or older)")
        config = model["config"] = {"name": "sequential", "layers": config}
    config["layers"] = [_layer(layer, notes) for layer in config["layers"]]
    if kind == "Sequential":
        _give_input(config["layers"], notes)
    for layer in config["layers"]:
        _drop_input_shape(layer)
    if kind != "Sequential":
        _number_calls_from_zero(config, notes)
    return model


def _layer(layer: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    if layer["class_name"] in MODELS:
        return _model(layer, notes)  # type: ignore[no-any-return]
    if is_keras1(layer):
        notes.append("layers were in the words of Keras 1")
        layer = modern_layer(layer)
    config = layer["config"]
    kind = layer["class_name"]
    for name in (*_DROPPED["*"], *_DROPPED.get(kind, ())):
        if name in config:
            del config[name]
            if name == "groups":
                notes.append(f"{kind} had groups (TensorFlow 2.4 and later 2.x)")
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        (config["axis"],) = config["axis"]
    if kind == "LeakyReLU" and "alpha" in config:
        config["negative_slope"] = config.pop("alpha")
    _plain_dtype(config)
    for key, value in config.items():
        if key.endswith("_initializer") and isinstance(value, dict):
            _initializer(value, notes)
    if isinstance(config.get("layer"), dict):
        config["layer"] = _layer(config["layer"], notes)
    return layer


def _initializer(initializer: dict[str, Any], notes: list[str]) -> None:
    config = initializer.get("config")
    if not isinstance(config, dict):
        return
    if config.pop("dtype", None) is not None:
        notes.append("initializers had a dtype (Keras 2.2.4-tf)")
    if config.get("distribution") == "normal":
        config["distribution"] = "truncated_normal"


def _number_calls_from_zero(config: dict[str, Any], notes: list[str]) -> None:
    """Keras 2 counted the building of a nested model as its first call, and Keras 3 does not."""
    nested = {layer["config"]["name"] for layer in config["layers"] if layer["class_name"] in MODELS}
    references = [
        reference
        for part in (
            *(layer.get("inbound_nodes", ()) for layer in config["layers"]),
            config.get("output_layers"),
        )
        for reference in _references(part)
        if reference[0] in nested
    ]
    for name in nested:
        first = min((reference[1] for reference in references if reference[0] == name), default=0)
        if first:
            notes.append("calls of nested models were counted from one (Keras 2)")
        for reference in references:
            if reference[0] == name:
                reference[1] -= first


def _references(part: Any) -> Iterator[list[Any]]:
    """Each ``[layer, call, output]`` in a list of calls, however deep."""
    if isinstance(part, list) and len(part) >= 3 and isinstance(part[0], str):
        yield part
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def _plain_dtype(config: dict[str, Any]) -> None:
    """A mixed-precision policy as Keras 2 wrote it, ``{"class_name": "Policy", ...}``, becomes its name."""
    dtype = config.get("dtype")
    if isinstance(dtype, dict) and dtype.get("class_name") == "Policy":
        config["dtype"] = dtype["config"]["name"]


def _give_input(layers: list[dict[str, Any]], notes: list[str]) -> None:
    """A Sequential whose first layer carries ``batch_input_shape`` gets an InputLayer of its own."""
    first = layers[0]["config"] if layers else {}
    shape = first.get("batch_input_shape")
    if shape is None or layers[0]["class_name"] == "InputLayer":
        return
    notes.append("the first layer carried batch_input_shape (Keras 2)")
    dtype = first.get("dtype") if isinstance(first.get("dtype"), str) else None
    config = {"batch_shape": shape, "dtype": _storage(dtype), "name": f"{first.get('name', 'image')}_input"}
    layers.insert(0, {"class_name": "InputLayer", "config": config})


def _storage(dtype: str | None) -> str:
    """The dtype of an image for a layer's dtype or policy."""
    return dtype if dtype in ("float16", "float32", "float64", "bfloat16") else "float32"


def _drop_input_shape(layer: dict[str, Any]) -> None:
    shape = layer["config"].pop("batch_input_shape", None) if isinstance(layer["config"], dict) else None
    if layer["class_name"] == "InputLayer" and shape is not None:
        layer["config"]["batch_shape"] = shape


def _layers_of(model: Any) -> list[dict[str, Any]]:
    config = model["config"]
    layers = config if isinstance(config, list) else config.get("layers", [])
    inner = [part for layer in layers if layer["class_name"] in MODELS for part in _layers_of(layer)]
    return [*layers, *inner]
