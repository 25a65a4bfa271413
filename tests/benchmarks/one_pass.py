"""What one pass over a large image saves against crops: measured, beside what the arithmetic predicts.

    python tests/benchmarks/one_pass.py                  fcn at 56, 112, 224; vgg16 at 448; dense counted
    python tests/benchmarks/one_pass.py --networks fcn   without VGG16, in half a minute

The crops go through the original in batches, the large image goes once through its conversion; both run in
the same runtime, as a compiled ``tf.function``, on the same weights. Cutting the crops out is not timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from random_weights import liven
from same_answers import Check, against_crops, against_own_layers, against_wider_crops, noise_floor

from fcnship.frameworks import import_keras, import_tensorflow
from fcnship.graph.convert import convert
from fcnship.graph.geometry import map_stride
from fcnship.graph.network import network_from_keras
from fcnship.graph.nodes import Network
from fcnship.graph.saving import Saving, in_words, saving_of
from fcnship.recipe import Recipe
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]
MODELS = Path(__file__).parents[2] / "models"
LEAST_OF_PREDICTED = 0.5


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network to measure: its recipe, trained size, batch of crops, large sizes and rounds."""

    name: str
    channels: int
    classes: int
    trained: Size
    batch: int
    sizes: tuple[Size, ...]
    rounds: int


FCN = Subject(name="fcn", channels=1, classes=10, trained=Size(28, 28), batch=256,
              sizes=(Size(56, 56), Size(112, 112), Size(224, 224)), rounds=21)  # fmt: skip
VGG16 = Subject(name="vgg16", channels=3, classes=1000, trained=Size(224, 224), batch=8,
                sizes=(Size(448, 448),), rounds=3)  # fmt: skip
SUBJECTS = {subject.name: subject for subject in (FCN, VGG16)}
COUNTED = Size(224, 224)  # where dense is counted: 38,809 crops are not worth anybody's time


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An original and its conversion: models, networks, and compiled functions of images."""

    original: Any
    networks: tuple[Network, Network]
    by_crop: Callable[[Any], Any]
    by_pass: Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Seconds by crops and in one pass, the ratio in each round, and how answers compare."""

    subject: Subject
    saving: Saving
    crops_s: float
    pass_s: float
    ratios: Array
    checks: tuple[Check, ...]

    @property
    def ratio(self) -> float:
        """The median over the rounds."""
        return float(np.median(self.ratios))

    @property
    def reached(self) -> float:
        """The measured ratio as a share of the predicted one."""
        return self.ratio / self.saving.ratio

    @property
    def held(self) -> bool:
        """Whether the ratio is held to the prediction: at the largest size. A small one is mostly call."""
        return self.saving.size == self.subject.sizes[-1]

    @property
    def passed(self) -> bool:
        """Whether the answers agree, and at the largest size at least half of the prediction is reached."""
        fast = self.reached >= LEAST_OF_PREDICTED or not self.held
        return fast and all(check.passed for check in self.checks)


def pair_of(subject: Subject) -> Pair:
    """Build a network with random weights and convert it; one that is convolutional is its own conversion."""
    tf = import_tensorflow()
    import_keras().utils.set_random_seed(0)
    original = Recipe(MODELS / f"{subject.name}.py").build(subject.channels, subject.classes)
    liven(original)
    fixed = original.inputs[0].shape[1] is not None
    converted = convert(original) if fixed else original
    network = network_from_keras(original)
    return Pair(
        original=original,
        networks=(network, network_from_keras(converted) if fixed else network),
        by_crop=_compiled(
            tf, original, (None, subject.trained.height, subject.trained.width, subject.channels)
        ),
        by_pass=_compiled(tf, converted, (None, None, None, subject.channels)),
    )


def _compiled(tf: Any, model: Any, shape: tuple[int | None, ...]) -> Callable[[Any], Any]:
    @tf.function(input_signature=[tf.TensorSpec(shape)])  # type: ignore[untyped-decorator]
    def function(images: Any) -> Any:
        return model(images, training=False)

    return lambda images: function(images).numpy()


def measure(subject: Subject, pair: Pair, size: Size, rounds: int) -> Measured:
    """Time both ways in turn and compare what they answered."""
    shape = (1, size.height, size.width, subject.channels)
    image = np.random.default_rng(size.pixels).random(shape, np.float32)
    seconds, by_crops, answer = _timed(subject, pair, image, rounds)
    return Measured(
        subject=subject,
        saving=saving_of(*pair.networks, size, subject.trained),
        crops_s=float(np.median(seconds[:, 0])),
        pass_s=float(np.median(seconds[:, 1])),
        ratios=seconds[:, 0] / seconds[:, 1],
        checks=_checks(subject, pair, image, answer, by_crops.reshape(answer.shape)),
    )


def _timed(subject: Subject, pair: Pair, image: Array, rounds: int) -> tuple[Array, Array, Array]:
    """Seconds (rounds, 2), the answers of the crops, and the map of the one pass."""
    batches, whole = (
        _batches(subject, image, map_stride(pair.networks[1])),
        import_tensorflow().constant(image),
    )
    by_crops, answer = pair.by_crop(batches[0]), pair.by_pass(whole)  # not timed: the first call compiles
    seconds = np.zeros((rounds, 2))
    for turn in range(rounds):
        for way in ("crops", "pass") if turn % 2 else ("pass", "crops"):
            start = time.perf_counter()
            if way == "crops":
                by_crops = np.concatenate([pair.by_crop(batch) for batch in batches])
            else:
                answer = pair.by_pass(whole)
            seconds[turn, int(way == "pass")] = time.perf_counter() - start
    return seconds, by_crops, answer[0]


def _batches(subject: Subject, image: Array, stride: tuple[int, int]) -> list[Any]:
    """The crops of all cells, as tensors."""
    tf, crop = import_tensorflow(), subject.trained
    windows = np.lib.stride_tricks.sliding_window_view(image[0], (crop.height, crop.width), axis=(0, 1))
    cut = windows[:: stride[0], :: stride[1]].transpose(
        0, 1, 3, 4, 2
    )  # (rows, columns, height, width, channels)
    crops = cut.reshape(-1, crop.height, crop.width, subject.channels)
    return [
        tf.constant(crops[start : start + subject.batch]) for start in range(0, len(crops), subject.batch)
    ]


def _checks(subject: Subject, pair: Pair, image: Array, answer: Array, by_crops: Array) -> tuple[Check, ...]:
    network, size, crop = pair.networks[1], Size(*image.shape[1:3]), subject.trained
    floor = noise_floor(pair.by_pass, image, answer[None])
    checks = against_crops(network, size, crop, answer, by_crops, floor)
    checks.append(against_wider_crops(network, size, crop, pair.by_pass, image, answer, floor))
    if pair.original.inputs[0].shape[1] is not None:
        checks.append(against_own_layers(pair.original, image, answer, floor))
    return tuple(checks)


def table(found: Sequence[Measured]) -> list[str]:
    """The ratios in Markdown, then the comparisons of answers."""
    lines = [
        "| network, size | crops | multiply-adds, crops / one pass | predicted ratio "
        "| crops, ms | one pass, ms | measured ratio (least-most) | of the prediction | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        saving = row.saving
        cells = (
            f"{row.subject.name} {saving.size}",
            f"{saving.crops:,} of {saving.crop} by {row.subject.batch}",
            f"{in_words(saving.by_crops)} / {in_words(saving.one_pass)}",
            f"{saving.ratio:.1f}",
            f"{row.crops_s * 1e3:,.1f}",
            f"{row.pass_s * 1e3:,.1f}",
            f"{row.ratio:.1f} ({row.ratios.min():.1f}-{row.ratios.max():.1f})",
            f"{row.reached:.0%}",
            ("good" if row.held else "answers agree") if row.passed else "NOT GOOD",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("\nThe same answers, cell by cell:\n")
    lines += [f"- {row.subject.name} {row.saving.size}: {check}" for row in found for check in row.checks]
    return lines


def counted() -> list[str]:
    """Where conversion saves nothing: dense, counted and not run."""
    original = Recipe(MODELS / "dense.py").build(1, 10)
    network = network_from_keras(original)
    saving = saving_of(network, network_from_keras(convert(original)), COUNTED, Size(28, 28))
    fcn = network_from_keras(Recipe(MODELS / "fcn.py").build(1, 10))
    cheaper = saving_of(fcn, fcn, COUNTED, FCN.trained)
    return [
        f"\ndense {COUNTED}, counted: {saving.warning}",
        f"dense: {saving.for_each_cell:,} multiply-adds for each of {saving.cells:,} cells, "
        f"{saving.one_pass:,} in all; fcn: {cheaper.one_pass:,}",
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when answers agree and the largest sizes reach half of what is predicted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--most-size", type=int, default=448, help="leave larger ones out")
    parser.add_argument("--rounds", type=int, default=0, help="repeats of each, instead of 21 and 3")
    wanted = parser.parse_args(words)
    found = []
    for name in wanted.networks:
        subject = SUBJECTS[name]
        pair = pair_of(subject)
        for size in subject.sizes:
            if size.height <= wanted.most_size:
                found.append(measure(subject, pair, size, wanted.rounds or subject.rounds))
        del pair
    print(*table(found), *counted(), sep="\n")
    return int(not all(row.passed for row in found))


if __name__ == "__main__":
    raise SystemExit(main())
