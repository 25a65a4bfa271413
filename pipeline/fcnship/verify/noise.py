"""How far a model's own arithmetic is from exact: the floor below which no two runs can be told apart."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.graph.surgery.values import array_of
from fcnship.verify.outputs import Array, answers, error_of

# A sum in another order errs like the first, so two honest runs differ by a few floors; a wrong weight,
# order, padding or axis by thousands.
MULTIPLE = 16
_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
_NARROW = ("float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise of each output of a model: ``floors`` in the outputs' own units, and how they were found."""

    floors: tuple[float, ...]
    source: str

    @property
    def tolerances(self) -> tuple[float, ...]:
        """The largest error that still counts as the same."""
        return tuple(MULTIPLE * floor for floor in self.floors)


def noise_of(model: Any, images: Array, answered: Sequence[Array], batch: int, channels_first: bool) -> Noise:
    """Measure a model's rounding on images that it has ``answered``.

    Held against a copy of itself in float64 where that can be built, else against itself on images whose
    pixels are each moved by their last bit; in both cases also against itself in batches of another size.
    The floor is never less than the outputs' own resolution: the spacing of numbers at the largest of them.
    """
    source = "a copy of the original in float64"
    exact = _exact(model, images, batch, channels_first)
    if exact is None:
        source = "the original on images moved by their last bit"
        exact = answers(model, _nudged(images), batch, channels_first)
    single = answers(model, images[:4], 1, channels_first)
    epsilon = max(_EPSILON.get(name, 0.0) for name in _dtypes(model))
    floors = []
    for one, other, alone in zip(answered, exact, single, strict=True):
        spacing = epsilon * float(np.abs(one.astype(np.float64)).max(initial=0.0))
        measured = error_of(one, other).max(initial=0.0), error_of(one[:4], alone).max(initial=0.0)
        floors.append(max(spacing, *map(float, measured)))
    return Noise(floors=tuple(floors), source=f"{source}, and in batches of one")


def float64_copy(model: Any) -> Any:
    """The same model in float64; None where it is that wide already or cannot be built again."""
    if "float64" in _dtypes(model):
        return None
    try:
        wide = type(model).from_config(_widened(copy.deepcopy(model.get_config())))
        for new, old in zip(wide.weights, model.weights, strict=True):
            new.assign(array_of(old).astype("float64"))
        for layer in wide._flatten_layers():
            if hasattr(layer, "finalize_state"):  # an adapted Normalization, which computes with copies
                layer.finalize_state()
    except Exception:  # noqa: BLE001 - a custom layer may refuse in any way; there is another measurement
        return None
    return wide if _dtypes(wide) == {"float64"} else None


def _exact(model: Any, images: Array, batch: int, channels_first: bool) -> list[Array] | None:
    """The answers in float64; None without a copy, or where TensorFlow lacks a kernel (channels first)."""
    wide = float64_copy(model)
    try:
        return None if wide is None else answers(wide, _floats(images), batch, channels_first)
    except Exception:  # noqa: BLE001 - a missing kernel shows in many ways; there is another measurement
        return None


def _widened(config: Any) -> Any:
    """A configuration in which every floating dtype is float64."""
    if isinstance(config, list | tuple):
        return type(config)(_widened(part) for part in config)
    if not isinstance(config, dict):
        return config
    policy = config.get("class_name") == "DTypePolicy" and config.get("config", {}).get("name") in _NARROW
    if policy:
        return {**config, "config": {**config["config"], "name": "float64"}}
    narrow = isinstance(config.get("dtype"), str) and config["dtype"] in _NARROW
    wide = {key: _widened(value) for key, value in config.items()} | ({"dtype": "float64"} if narrow else {})
    # The weights are copied: drawing random ones first would take their memory several times over.
    drawn = [key for key in wide if key.endswith("_initializer") and wide[key] is not None]
    return {**wide, **dict.fromkeys(drawn, "zeros")}


def _dtypes(model: Any) -> set[str]:
    """The dtypes in which the layers that hold weights compute."""
    layers = [layer for layer in model._flatten_layers() if layer.weights and not hasattr(layer, "layers")]
    return {str(layer.compute_dtype) for layer in layers} or {str(model.compute_dtype)}


def _floats(images: Array) -> Array:
    return images if images.dtype.kind in "iu" else images.astype("float64")


def _nudged(images: Array) -> Array:
    return images if images.dtype.kind in "iu" else np.nextafter(images, np.inf)
