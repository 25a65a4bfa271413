"""Trains the three published MNIST networks and prints the published table beside what was measured.

    python tests/benchmarks/published_networks.py

Six minutes and more on two cores. Their recipes and the training are the product's own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.data import Dataset, find_data
from fcnship.data.batches import fixed_batches
from fcnship.data.images import resize, to_range
from fcnship.frameworks import import_keras
from fcnship.graph.convert import convert
from fcnship.graph.onnx_export import export
from fcnship.recipe import Recipe
from fcnship.runners import Runner
from fcnship.runners.keras import KerasRunner
from fcnship.runners.onnxruntime import OnnxRunner
from fcnship.sizes import Size
from fcnship.training import Course, class_scores, fit

REPOSITORY = Path(__file__).parents[2]
MNIST_BESIDE = REPOSITORY / "../shared/data/mnist.npz"
SIZES = (28, 32, 40, 56, 112, 224)
_MOST_BATCH, _PIXELS_A_BATCH = 256, 1 << 19
_CALLS = 200
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was published of a network: parameters, accuracy in per cent and loss on the test images."""

    parameters: int
    accuracy: float
    loss: float


PUBLISHED = {
    "dense": Published(parameters=2_770_634, accuracy=98.3, loss=0.068),
    "fcn": Published(parameters=55_338, accuracy=98.2, loss=0.057),
    "variable": Published(parameters=5_130, accuracy=90.7, loss=0.29),
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a network. ``by_size`` is the accuracy at each of some square sizes."""

    parameters: int
    accuracy: float
    loss: float
    epochs: int
    seconds: float
    keras_bytes: int
    onnx_bytes: int
    keras_ms: float
    onnx_ms: float
    by_size: dict[int, float]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do: 0 epochs are the recipe's own; sizes are asked with the first ``test_images``."""

    epochs: int
    sizes: Sequence[int]
    test_images: int
    seed: int


def measure(name: str, data: Dataset, plan: Plan, folder: Path) -> Measured:
    """Train one network and measure all of it; files are written to ``folder``."""
    recipe = Recipe(REPOSITORY / "models" / f"{name}.py")
    model, epochs, seconds = _trained(recipe, data, plan)
    own = Size(*data.x_test.shape[1:3])
    accuracy, loss = _accuracy_and_loss(model, data, recipe, own, len(data.x_test))
    keras_file, onnx_file = folder / f"{name}.keras", folder / f"{name}.onnx"
    model.save(keras_file)
    fixed = model.inputs[0].shape[1] is not None
    export(convert(model, head="average") if fixed else model, onnx_file, "nchw", {})
    runners: list[Runner] = [KerasRunner("keras", keras_file), OnnxRunner("onnx-fp32", onnx_file, "nchw")]
    one = to_range(data.x_test[:1], data.value_range, recipe.value_range)
    keras_ms, onnx_ms = _latency_ms(runners, one)
    return Measured(
        parameters=model.count_params(),
        accuracy=accuracy,
        loss=loss,
        epochs=epochs,
        seconds=seconds,
        keras_bytes=keras_file.stat().st_size,
        onnx_bytes=onnx_file.stat().st_size,
        keras_ms=keras_ms,
        onnx_ms=onnx_ms,
        by_size={
            side: _accuracy_and_loss(model, data, recipe, Size(side, side), plan.test_images)[0]
            for side in (() if fixed else plan.sizes)
        },
    )


def _trained(recipe: Recipe, data: Dataset, plan: Plan) -> tuple[Any, int, float]:
    """The trained model, its epochs and the seconds that they took."""
    keras = import_keras()
    training = replace(recipe.training, epochs=plan.epochs or recipe.training.epochs)
    steps = training.steps_for(len(data.x_train))
    keras.utils.set_random_seed(plan.seed)
    model = recipe.build(data.channels, data.classes)
    size = recipe.size or Size(*data.x_train.shape[1:3])
    batches = fixed_batches(data, size, training, recipe.augment, recipe.value_range, plan.seed)
    start = time.perf_counter()
    fit(model, recipe.optimizer(steps), batches, Course(steps=steps), lambda done, total, text: None)
    return model, training.epochs, time.perf_counter() - start


def _accuracy_and_loss(
    model: Any, data: Dataset, recipe: Recipe, size: Size, most: int
) -> tuple[float, float]:
    """Accuracy and mean cross-entropy over the first ``most`` test images, brought to ``size``."""
    keras = import_keras()
    import tensorflow as tf

    images, labels = data.x_test[:most], data.y_test[:most]
    batch = max(1, min(_PIXELS_A_BATCH // size.pixels, _MOST_BATCH))
    right, loss = 0, 0.0
    for start in range(0, len(images), batch):
        part = to_range(resize(images[start : start + batch], size), data.value_range, recipe.value_range)
        scores = class_scores(tf, model(part, training=False))
        wanted = labels[start : start + batch]
        loss += float(np.sum(keras.losses.sparse_categorical_crossentropy(wanted, scores)))
        right += int((np.argmax(scores, axis=1) == wanted).sum())
    return right / len(images), loss / len(images)


def _latency_ms(runners: Sequence[Runner], image: Array) -> list[float]:
    """The median of one call of each runner, called in turn. The image lies ready in the runtime's form."""
    prepared = [runner.prepare(image) for runner in runners]
    seconds = np.zeros((_CALLS, len(runners)))
    for call in range(_CALLS):
        for place, (runner, feed) in enumerate(zip(runners, prepared, strict=True)):
            start = time.perf_counter()
            runner.infer(feed)
            seconds[call, place] = time.perf_counter() - start
    return [float(value * 1e3) for value in np.median(seconds, axis=0)]


def table(found: dict[str, Measured]) -> list[str]:
    """The published table beside the measured one, in Markdown."""
    lines = [
        "| network | parameters, published | measured | accuracy, %, published | measured "
        "| loss, published | measured | epochs | training, s "
        "| .keras, kB | ONNX, kB | Keras call, ms | ONNX Runtime, ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        told = PUBLISHED[name]
        cells = (
            name,
            f"{told.parameters:,}",
            f"{row.parameters:,}",
            f"{told.accuracy:.1f}",
            f"{row.accuracy:.2%}"[:-1],
            f"{told.loss}",
            f"{row.loss:.3f}",
            f"{row.epochs}",
            f"{row.seconds:.0f}",
            f"{row.keras_bytes / 1e3:,.0f}",
            f"{row.onnx_bytes / 1e3:,.0f}",
            f"{row.keras_ms:.2f}",
            f"{row.onnx_ms:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table_by_size(found: dict[str, Measured]) -> list[str]:
    """Accuracy in per cent over image size, for the networks that run at any, in Markdown."""
    rows = {name: row.by_size for name, row in found.items() if row.by_size}
    sizes = list(next(iter(rows.values()), {}))
    lines = [f"| network, trained at 28 | {' | '.join(map(str, sizes))} |", "|---" * (len(sizes) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{row[s]:.1%}'[:-1] for s in sizes)} |" for name, row in rows.items()]
    return lines


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when every network has the published number of parameters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--mnist", help="an .npz of MNIST; without it ../shared/data, then Keras's own loader"
    )
    parser.add_argument("--networks", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--epochs", type=int, default=0, help="instead of the recipe's number")
    parser.add_argument("--images", type=int, help="training images, of 60,000")
    parser.add_argument("--test-images", type=int, default=2000, help="the first of them, for each size")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args(words)
    data = _data(wanted.mnist, wanted.images)
    plan = Plan(epochs=wanted.epochs, sizes=wanted.sizes, test_images=wanted.test_images, seed=wanted.seed)
    found: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
        for name in wanted.networks:
            found[name] = measure(name, data, plan, Path(folder))
    print(*table(found), sep="\n")
    print("\nThe ONNX file of dense is its conversion, which runs at any size from 28x28.\n")
    print(f"Accuracy, %, on the first {wanted.test_images} test images, enlarged bilinearly:\n")
    print(*table_by_size(found), sep="\n")
    return int(any(row.parameters != PUBLISHED[name].parameters for name, row in found.items()))


def _data(mnist: str | None, images: int | None) -> Dataset:
    beside = str(MNIST_BESIDE) if MNIST_BESIDE.is_file() else "mnist"
    data = find_data(mnist or beside).load()
    return replace(data, x_train=data.x_train[:images], y_train=data.y_train[:images])


if __name__ == "__main__":
    raise SystemExit(main())
