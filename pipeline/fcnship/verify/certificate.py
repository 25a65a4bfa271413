"""The certificate of a conversion: what is equal to the original, where, and why not elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.graph.cost import cost_of
from fcnship.graph.geometry import Geometry, geometry_of
from fcnship.graph.propagate import is_legal
from fcnship.graph.saving import Saving, saving_of
from fcnship.sizes import Size
from fcnship.verify.certificate_sizes import MapSizes, map_sizes
from fcnship.verify.certificate_text import lines_of
from fcnship.verify.larger import LargerCheck, larger_checks, misplaced_biases
from fcnship.verify.noise import MULTIPLE, noise_of
from fcnship.verify.outputs import Array, error_of, fitted
from fcnship.verify.pair import Pair, check_images, pair_of
from fcnship.verify.sampling import affordable, batch_of, larger_sizes, random_images

SCHEMA = "fcnship.certificate/1"
_RANDOM_IMAGES, _REAL_IMAGES, _TRAINED_BUDGET = 16, 64, 1e11
_LARGER_BUDGET, _FAR = 3e11, 8
_GEOMETRY = ("total_stride", "receptive_field", "minimum_size", "minimum_layer", "global_context")


@dataclass(frozen=True, kw_only=True)
class TrainedCheck:
    """One output at the trained size: ``max_abs`` on all images, and what the tolerance is made of.

    ``tolerance`` is ``multiple`` times ``floor``, the measured noise of the original's own arithmetic.
    """

    output: str
    head: str
    images: int
    max_abs: float
    floor: float
    multiple: int
    tolerance: float
    largest: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.max_abs <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """The check as the certificate writes it."""
        return {**self.__dict__, "passed": self.passed}


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What was compared, and the verdict: ``proved``, or ``failed`` with reasons. ``str`` of it is its lines.

    ``larger`` has one entry for each output and larger size. ``savings`` compare one pass with crops; empty
    where the original's answer does not grow into a map.
    """

    name: str
    parameters: int
    trained_size: Size
    random_images: int
    real_images: int
    noise_source: str
    trained: tuple[TrainedCheck, ...]
    larger: tuple[LargerCheck, ...]
    geometry: Geometry
    sizes: MapSizes
    savings: tuple[Saving, ...]
    reasons: tuple[str, ...]
    seed: int
    seconds: float

    @property
    def proved(self) -> bool:
        """Whether nothing disagrees that may not."""
        return not self.reasons

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before shipping the conversion."""
        return tuple(saving.warning for saving in self.savings[-1:] if saving.warning)

    def as_json(self) -> dict[str, Any]:
        """The certificate, schema ``fcnship.certificate/1``."""
        geometry = self.geometry.as_json()
        return {
            "schema": SCHEMA,
            "name": self.name,
            "verdict": "proved" if self.proved else "failed",
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "parameters": self.parameters,
            "trained_size": [self.trained_size.height, self.trained_size.width],
            "images": {"random": self.random_images, "real": self.real_images, "seed": self.seed},
            "noise_source": self.noise_source,
            "trained": [check.as_json() for check in self.trained],
            "larger": [check.as_json() for check in self.larger],
            "geometry": {key: geometry[key] for key in _GEOMETRY},
            "sizes": self.sizes.as_json(),
            "costs": [saving.as_json() for saving in self.savings],
            "lines": self.lines(),
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """The certificate in about five lines for a person."""
        return lines_of(self)

    def __str__(self) -> str:
        return "\n".join(self.lines())


def prove(
    original: Any,
    converted: Any,
    *,
    images: Any = None,
    seed: int = 0,
    head: str | None = None,
    value_range: tuple[float, float] | None = None,
    sizes: Sequence[Size] = (),
) -> Certificate:
    """Compare a converted model with its original: at the trained size, and cell by cell on larger images.

    ``images`` are real ones at the original's size and in its range. Random ones always take part, drawn
    from ``value_range``, or from 0 to 1 (0 to 255 for whole numbers) where none is given. ``head`` is the
    head that was asked for; None takes what the model has. ``sizes`` are the larger sizes; a few are chosen
    where none is given.

    Raises:
        ModelRefused: a model has no graph of layers, or the two do not belong together.
        UsageError: the images do not fit the original.
    """
    start = time.perf_counter()
    pair, rng = pair_of(original, converted, value_range), np.random.default_rng(seed)
    real = check_images(pair, images)
    batch, count = _images(pair, real, rng)
    answered = pair.ask_original(batch)
    trained, noise_source = _trained(pair, batch, answered)
    geometry = geometry_of(pair.network)
    tolerances = [check.tolerance for check in trained]
    chosen = list(sizes) or _affordable_sizes(pair, geometry)
    larger = [check for size in chosen for check in larger_checks(pair, size, tolerances, real, rng)]
    run = map_sizes(pair, geometry.minimum_size, [pair.trained, *chosen], rng)
    return Certificate(
        name=str(original.name),
        parameters=int(converted.count_params()),
        trained_size=pair.trained,
        random_images=count,
        real_images=len(batch) - count,
        noise_source=noise_source,
        trained=tuple(trained),
        larger=tuple(larger),
        geometry=geometry,
        sizes=run,
        savings=tuple(_savings(pair, chosen, larger)),
        reasons=tuple(_reasons(pair, trained, larger, run, head)),
        seed=seed,
        seconds=round(time.perf_counter() - start, 3),
    )


def _images(pair: Pair, real: Array | None, rng: np.random.Generator) -> tuple[Array, int]:
    """Images at the trained size, random ones first, and how many of those."""
    most = affordable(pair.cost_of_crop, _TRAINED_BUDGET, 4, _RANDOM_IMAGES)
    noise = random_images(rng, most, pair.shape(pair.trained), pair.dtype, pair.value_range)
    if real is None:
        return noise, most
    some = real[: affordable(pair.cost_of_crop, _TRAINED_BUDGET, 4, _REAL_IMAGES)]
    return np.concatenate([noise, some.astype(noise.dtype)]), most


def _trained(pair: Pair, batch: Array, answered: list[Array]) -> tuple[list[TrainedCheck], str]:
    together = batch_of(2 * cost_of(pair.original_network, pair.trained).peak_bytes)
    noise = noise_of(pair.original, batch, answered, together, pair.channels_first)
    maps, heads = pair.ask_converted(batch, pair.trained)
    checks = []
    for k, output in enumerate(pair.outputs):
        errors = [error_of(fitted(output.cells(maps[k]), answered[k]), answered[k]).max()]
        if output.head in ("average", "max"):
            errors.append(error_of(heads[k], output.pooled(maps[k])).max())
        checks.append(
            TrainedCheck(
                output=output.name,
                head=output.head,
                images=len(batch),
                max_abs=float(max(errors)),
                floor=noise.floors[k],
                multiple=MULTIPLE,
                tolerance=noise.tolerances[k],
                largest=float(np.abs(answered[k].astype(np.float64)).max(initial=0.0)),
            )
        )
    return checks, noise.source


def _affordable_sizes(pair: Pair, geometry: Geometry) -> list[Size]:
    """The first sizes whose passes stay within a budget of multiply-adds; one at least."""
    chosen: list[Size] = []
    spent = 0.0
    for size in larger_sizes(pair.network, pair.trained, geometry.total_stride):
        spent += cost_of(pair.network, size).multiply_adds
        if chosen and spent > _LARGER_BUDGET:
            break
        chosen.append(size)
    return chosen


def _savings(pair: Pair, chosen: list[Size], larger: list[LargerCheck]) -> list[Saving]:
    """One pass against crops at the largest size that was run, and far beyond it."""
    if pair.original_network.input_size is None or not any(check.cells > 1 for check in larger):
        return []
    far = Size(_FAR * pair.trained.height, _FAR * pair.trained.width)
    sizes = [max(chosen, key=lambda size: size.pixels), far]
    legal = [size for size in sizes if is_legal(pair.network, size)]
    return [saving_of(pair.original_network, pair.network, size, pair.trained) for size in legal]


def _reasons(
    pair: Pair, trained: list[TrainedCheck], larger: list[LargerCheck], run: MapSizes, head: str | None
) -> list[str]:
    found = [
        f"output {check.output!r} at {pair.trained}: it differs by {check.max_abs:.3g}, "
        f"allowed is {check.tolerance:.3g}"
        for check in trained
        if not check.passed
    ]
    for check in larger:
        known = ", ".join(repr(name) for name in misplaced_biases(pair, check.size))
        why = f" (Keras adds the bias of {known} along the width there)" if known else ""
        found += [fault + why for fault in check.faults]
    found += run.faults
    if head is not None:
        found += [
            f"output {output.name!r} was to answer with its {head}, it answers with its {output.head}"
            for output, check in zip(pair.outputs, larger, strict=False)
            if output.head not in (head, "vector") and check.free_compared + check.must_compared
        ]
    return found
