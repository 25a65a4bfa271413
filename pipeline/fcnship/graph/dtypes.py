"""The floating dtypes in which a Keras model computes, and copies of it that compute in another."""

from __future__ import annotations

import copy
from typing import Any

from fcnship.errors import ModelRefused
from fcnship.graph.surgery.values import array_of

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_POLICIES = _FLOATS | {"mixed_float16", "mixed_bfloat16"}


def dtypes_of(model: Any) -> set[str]:
    """The floating dtypes in which its layers compute, at any depth."""
    layers = [layer for layer in model._flatten_layers() if not hasattr(layer, "layers")]
    return {str(layer.compute_dtype) for layer in layers} & _FLOATS


def in_float32(model: Any) -> Any:
    """The model itself where it computes in float32 alone, else a copy that does, of the same weights.

    Raises:
        ModelRefused: a layer of it cannot be made again.
    """
    if dtypes_of(model) <= {"float32"}:
        return model
    found = copy_in(model, "float32")
    if found is None or not dtypes_of(found) <= {"float32"}:
        told = ", ".join(sorted(dtypes_of(model) - {"float32"}))
        raise ModelRefused(
            f"{model.name} computes in {told} and cannot be made again in float32",
            cause="a layer of it cannot be built from its configuration, or has a dtype of its own",
            next="build it under keras.config.set_dtype_policy('float32') and give it the trained weights",
        )
    return found


def copy_in(model: Any, dtype: str) -> Any | None:
    """The same model, weights included, in one dtype; None where it cannot be built again.

    A layer that does not take its dtype from its configuration keeps its own: see ``dtypes_of``.
    """
    try:
        found = type(model).from_config(_rewritten(copy.deepcopy(model.get_config()), dtype))
        for new, old in zip(found.weights, model.weights, strict=True):
            new.assign(array_of(old).astype(dtype))
        for layer in found._flatten_layers():
            if hasattr(layer, "finalize_state"):  # an adapted Normalization, which computes with copies
                layer.finalize_state()
    except Exception:  # noqa: BLE001 - a custom layer may refuse in any way; the caller says what follows
        return None
    return found


def _rewritten(config: Any, dtype: str) -> Any:
    """A configuration in which every floating dtype is the one given."""
    if isinstance(config, list | tuple):
        return type(config)(_rewritten(part, dtype) for part in config)
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and config.get("config", {}).get("name") in _POLICIES:
        return {**config, "config": {**config["config"], "name": dtype}}
    floating = isinstance(config.get("dtype"), str) and config["dtype"] in _POLICIES
    new = {key: _rewritten(value, dtype) for key, value in config.items()} | (
        {"dtype": dtype} if floating else {}
    )
    # The weights are copied: drawing random ones first would take their memory several times over.
    drawn = [key for key in new if key.endswith("_initializer") and new[key] is not None]
    return {**new, **dict.fromkeys(drawn, "zeros")}
