"""What each layer's 8 bits cost, measured on held-out images, and the fewest layers to keep for a budget."""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fcnship.data.collection import Images, at_size
from fcnship.data.images import MOST_STRETCH, to_range
from fcnship.errors import AccuracyBelowFloor
from fcnship.options import Layout
from fcnship.precision.int8 import Ranges, quantized, weighted_layers
from fcnship.precision.places import is_kept
from fcnship.runners import from_layout, to_layout
from fcnship.sizes import Size
from fcnship.verify.accuracy import scores_of

if TYPE_CHECKING:
    from onnx import ModelProto

Array = np.ndarray[Any, Any]
Step = Callable[[str], None]
_MOST_BYTES = 1 << 30  # of models that are open at once


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a model loses against float32, by size: points of accuracy, and the outputs' RMS error."""

    points: Mapping[Size, float]
    errors: Mapping[Size, float]

    @property
    def worst(self) -> tuple[Size, float]:
        """The size that loses most accuracy, and how many points."""
        return max(self.points.items(), key=lambda item: item[1])

    @property
    def largest_error(self) -> tuple[Size, float]:
        """The size whose outputs move most, and by how much (root of the mean square)."""
        return max(self.errors.items(), key=lambda item: item[1])

    def as_json(self) -> dict[str, Any]:
        """The worst of it, as the report has it."""
        (at, points), (moved_at, error) = self.worst, self.largest_error
        return {"loss": points, "loss_at": str(at), "error": error, "error_at": str(moved_at)}


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Images (height, width, channels) that calibration did not see, and where to measure on them.

    ``value_range`` is that of the images, ``wanted_range`` the network's; ``images_at`` says how many images
    a size can afford, ``batch_at`` how many at once, ``most_stretch`` how far their shape may be changed.
    """

    images: Images
    labels: Array
    value_range: tuple[float, float]
    wanted_range: tuple[float, float]
    sizes: Sequence[Size]
    layout: Layout
    images_at: Callable[[Size], int]
    batch_at: Callable[[Size], int]
    most_stretch: float = MOST_STRETCH


class Measure:
    """Holds narrowed models against the float32 one."""

    def __init__(self, original: ModelProto, held_out: HeldOut, on_step: Step = lambda text: None) -> None:
        self._original, self._held_out, self._on_step = original, held_out, on_step

    def __call__(self, models: Mapping[str, ModelProto]) -> dict[str, Loss]:
        """The loss of each model, all on the same images."""
        names = list(models)
        found: dict[str, Loss] = {}
        each = max((model.ByteSize() for model in models.values()), default=1)
        together = max(1, _MOST_BYTES // each)
        for start in range(0, len(names), together):
            some = names[start : start + together]
            found |= self._losses({name: models[name] for name in some})
        return found

    def _losses(self, models: Mapping[str, ModelProto]) -> dict[str, Loss]:
        reference = _session(self._original)
        sessions = {name: _session(model) for name, model in models.items()}
        points: dict[str, dict[Size, float]] = {name: {} for name in models}
        errors: dict[str, dict[Size, float]] = {name: {} for name in models}
        for size in self._held_out.sizes:
            sums = {name: np.zeros(3) for name in models}  # right ones lost, squared errors, values
            count = 0
            for images, labels in self._batches(size):
                expected, count = self._answers(reference, images), count + len(images)
                right = scores_of(expected).argmax(axis=1) == labels
                for name, session in sessions.items():
                    answer = self._answers(session, images)
                    still = scores_of(answer).argmax(axis=1) == labels
                    error = answer.astype(np.float64) - expected
                    sums[name] += [right.sum() - still.sum(), (error**2).sum(), error.size]
            for name, (lost, squares, values) in sums.items():
                points[name][size] = 100 * float(lost) / count
                errors[name][size] = float(np.sqrt(squares / values))
            self._on_step(f"sensitivity at {size}")
        return {name: Loss(points=points[name], errors=errors[name]) for name in models}

    def _batches(self, size: Size) -> Any:
        held = self._held_out
        count = min(len(held.images), held.images_at(size))
        for start in range(0, count, held.batch_at(size)):
            places = np.arange(start, min(count, start + held.batch_at(size)))
            fill, stretch = held.value_range[0], held.most_stretch
            images = at_size(held.images, places, size, fill=fill, most_stretch=stretch)
            yield to_range(images, held.value_range, held.wanted_range), held.labels[places]

    def _answers(self, session: Any, images: Array) -> Array:
        feed = {session.get_inputs()[0].name: to_layout(images, self._held_out.layout)}
        return from_layout(session.run(None, feed)[0], self._held_out.layout)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which layers a budget keeps in float32, and what was measured to find them.

    ``alone``: the loss with one layer quantized and all others in float32; ``final``: with all but ``kept``
    quantized. ``measured`` counts the choices whose loss was measured.
    """

    kept: tuple[str, ...]
    alone: Mapping[str, Loss]
    final: Loss
    measured: int


def choose(
    original: ModelProto, ranges: Ranges, budget: float, measure: Measure, keep: Sequence[str] = ()
) -> Choice:
    """Keep the fewest layers so that no size loses more than ``budget`` points; ``keep`` are kept anyway.

    Layers are ranked by what their 8 bits do to the outputs when they alone have them. The shortest head of
    that ranking that stays within the budget is found by halving; then each of it is given back if the
    budget holds without it too. Every choice is measured, none is predicted.

    Raises:
        AccuracyBelowFloor: the budget is exceeded with a single layer in INT8.
    """
    layers = [layer for layer in weighted_layers(original) if not is_kept(layer, keep)]
    single = {
        layer: quantized(original, ranges, keep=[*keep, *(o for o in layers if o != layer)])
        for layer in layers
    }
    alone = measure(single)
    ranked = sorted(layers, key=lambda layer: alone[layer].largest_error[1], reverse=True)
    tried: dict[tuple[str, ...], Loss] = {}

    def within(kept: Sequence[str]) -> bool:
        key = tuple(layer for layer in ranked if layer in kept)
        if key not in tried:
            narrowed = quantized(original, ranges, keep=[*keep, *key])
            tried[key] = measure({"": narrowed})[""]
        return tried[key].worst[1] <= budget

    kept = fewest(ranked, within)
    if kept is None:
        # The least error is not always the least loss: what stays within the budget alone goes last.
        ranked.sort(key=lambda layer: alone[layer].worst[1] <= budget)
        kept = fewest(ranked, within)
    if kept is None:
        loss = tried[tuple(ranked[:-1])]
        raise _unreachable(budget, ranked[-1], loss)
    return Choice(kept=kept, alone=alone, final=tried[kept], measured=len(tried))


def fewest(ranked: Sequence[str], within: Callable[[Sequence[str]], bool]) -> tuple[str, ...] | None:
    """The shortest head of ``ranked`` that ``within`` accepts, less what it can do without, one by one.

    None: it does not accept all but the last.
    """
    if within(()):
        return ()
    low, high = 0, len(ranked) - 1  # low does not do; high must
    if high < 1 or not within(ranked[:high]):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if within(ranked[:middle]) else (middle, high)
    kept = list(ranked[:high])
    for layer in reversed(ranked[:high]):
        without = [other for other in kept if other != layer]
        if within(without):
            kept = without
    return tuple(kept)


def _session(model: ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _unreachable(budget: float, last: str, loss: Loss) -> AccuracyBelowFloor:
    size, points = loss.worst
    return AccuracyBelowFloor(
        f"INT8 cannot stay within {budget:g} points of float32: with {last} alone in INT8 it loses "
        f"{points:.2f} at {size}",
        cause="the ranges do not fit these images, or the network has no room for 8 bits",
        next="try another method: --calibration PATH.toml, a larger --int8-budget, or --precision fp16",
    )
