"""How far a model's own arithmetic is from exact: the floor below which no two runs can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.graph.dtypes import copy_in
from fcnship.verify.outputs import Array, answers, error_of

# A sum in another order errs like the first, so two honest runs differ by a few floors; a wrong weight,
# order, padding or axis by thousands.
MULTIPLE = 16
_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


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
    wide = None if "float64" in _dtypes(model) else copy_in(model, "float64")
    return wide if wide is not None and _dtypes(wide) == {"float64"} else None


def _exact(model: Any, images: Array, batch: int, channels_first: bool) -> list[Array] | None:
    """The answers in float64; None without a copy, or where TensorFlow lacks a kernel (channels first)."""
    wide = float64_copy(model)
    try:
        return None if wide is None else answers(wide, _floats(images), batch, channels_first)
    except Exception:  # noqa: BLE001 - a missing kernel shows in many ways; there is another measurement
        return None


def _dtypes(model: Any) -> set[str]:
    """The dtypes in which the layers that hold weights compute."""
    layers = [layer for layer in model._flatten_layers() if layer.weights and not hasattr(layer, "layers")]
    return {str(layer.compute_dtype) for layer in layers} or {str(model.compute_dtype)}


def _floats(images: Array) -> Array:
    return images if images.dtype.kind in "iu" else images.astype("float64")


def _nudged(images: Array) -> Array:
    return images if images.dtype.kind in "iu" else np.nextafter(images, np.inf)
