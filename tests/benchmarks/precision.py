"""FP16 and INT8 against FP32 by size: accuracy of every calibration method, bytes, and time in ONNX Runtime.

    fcnship build multiscale --data mnist.npz --name mnist
    python tests/benchmarks/precision.py artifacts/mnist/onnx/fp32.onnx --data mnist.npz

Test images, enlarged bilinearly; ranges of training images, by calibration/default.toml. Exit code 1:
FP16 lost more than 0.1 points somewhere, INT8 by the default recipe more than 0.5, or its file has more than
0.35 of FP32's bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from fcnship.data import Dataset, find_data
from fcnship.data.images import resize, to_range
from fcnship.precision.calibrate import calibrate
from fcnship.precision.calibration import find_calibration
from fcnship.precision.drawing import draw
from fcnship.precision.fp16 import narrowed
from fcnship.precision.int8 import calibrated_tensors, quantized
from fcnship.precision.methods import METHODS, Method
from fcnship.runners import ORIGINAL, Runner, run
from fcnship.runners.onnxruntime import open_onnx
from fcnship.sizes import Profile, Size, short
from fcnship.verify.accuracy import scores_of
from fcnship.verify.latency import latency_rows
from fcnship.verify.schedule import Case

SIZES = "28 32 40 56 84 112 160 224 28x40 150x75 224x160"
TIMED = "28 56 80 112 224"
MOST_LOST = {"fp16": 0.1, "int8 default": 0.5}  # points
MOST_BYTES = 0.35
PIXELS_A_BATCH = 1 << 21


def main(words: Sequence[str] | None = None) -> int:
    """Print three tables in Markdown; 1 if a promise is broken."""
    given = _arguments(words)
    data, profile = find_data(given.data).load(), Profile.parse(given.profile)
    original = onnx.load(given.onnx)
    about = {entry.key: entry.value for entry in original.metadata_props}
    value_range = tuple(json.loads(about["fcnship.value_range"]))
    with tempfile.TemporaryDirectory() as folder:
        runners = _runners(_models(original, data, profile, value_range), Path(folder))
        ok = _print_bytes(Path(folder), runners)
        ok &= _print_accuracy(runners, data, value_range, given)
        _print_latency(runners, data, value_range, given)
    return 0 if ok else 1


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("onnx", type=Path, help="onnx/fp32.onnx of a run")
    asked.add_argument("--data", default="digits")
    asked.add_argument("--profile", default="28-224")
    asked.add_argument("--images", type=int, default=10_000, help="of the test images, the first")
    asked.add_argument("--sizes", type=Size.parse, nargs="+", default=list(map(Size.parse, SIZES.split())))
    asked.add_argument("--timed", type=Size.parse, nargs="*", default=list(map(Size.parse, TIMED.split())))
    asked.add_argument("--seconds", type=float, default=60.0, help="of timing")
    return asked.parse_args(words)


def _models(original: Any, data: Dataset, profile: Profile, value_range: Any) -> dict[str, Any]:
    models = {"fp32": original, "fp16": narrowed(original)}
    default = find_calibration("default")
    recipes = {"default": default} | {name: replace(default, method=Method(name=name)) for name in METHODS}
    for name, recipe in recipes.items():
        if name != "default" and recipe.method == default.method:
            continue  # it is the default
        ranges = calibrate(original, recipe, draw(recipe, data, [profile]), value_range).ranges
        used = {tensor: ranges[tensor] for tensor in calibrated_tensors(original)}
        models[f"int8 {name}"] = quantized(original, used, keep=recipe.keep_fp32)
    print(f"The default recipe's method is {default.method}.\n")
    return models


def _runners(models: dict[str, Any], folder: Path) -> list[Runner]:
    runners: list[Runner] = []
    for name, model in models.items():
        path = folder / f"{name}.onnx"
        onnx.save(model, path)
        runners.append(open_onnx(name, path, "nchw"))  # FP16 with its rounding, but for the timing
    return runners


def _print_bytes(folder: Path, runners: Sequence[Runner]) -> bool:
    sizes = {r.variant: (folder / f"{r.variant}.onnx").stat().st_size for r in runners}
    print("| file | bytes | of FP32 |\n|---|---|---|")
    for name in ("fp32", "fp16", "int8 default"):
        print(f"| {name} | {sizes[name]:,} | {sizes[name] / sizes['fp32']:.3f} |")
    return sizes["int8 default"] <= MOST_BYTES * sizes["fp32"]


def _print_accuracy(
    runners: Sequence[Runner], data: Dataset, value_range: Any, given: argparse.Namespace
) -> bool:
    names, lost = [runner.variant for runner in runners], dict.fromkeys(MOST_LOST, 0.0)
    images, labels = data.x_test[: given.images], data.y_test[: given.images]
    print(f"\nAccuracy in per cent, {len(images):,} test images:\n")
    print(f"| size | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for size in given.sizes:
        right = _right(runners, images, labels, size, data.value_range, value_range)
        shares = {name: 100 * float(right[name].mean()) for name in names}
        lost = {name: max(most, shares["fp32"] - shares[name]) for name, most in lost.items()}
        print(f"| {short(size)} | {' | '.join(f'{shares[n]:.2f}' for n in names)} |", flush=True)
    for name, most in lost.items():
        print(f"\n{name} loses at most {most:.2f} points (allowed {MOST_LOST[name]:g}).")
    return all(most <= MOST_LOST[name] + 1e-9 for name, most in lost.items())


def _right(
    runners: Sequence[Runner], images: Any, labels: Any, size: Size, old: Any, new: Any
) -> dict[str, Any]:
    """For each variant, which images it is right about; the images are resized once for all."""
    found: dict[str, list[Any]] = {runner.variant: [] for runner in runners}
    batch = max(1, PIXELS_A_BATCH // size.pixels)
    for start in range(0, len(images), batch):
        part = to_range(resize(images[start : start + batch], size), old, new)
        for runner in runners:
            answers = scores_of(run(runner, part)).argmax(axis=1)
            found[runner.variant].append(answers == labels[start : start + batch])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _print_latency(
    runners: Sequence[Runner], data: Dataset, value_range: Any, given: argparse.Namespace
) -> None:
    """FP32 is the one that the others are held against, in one interleaved run."""
    if not given.timed:
        return
    timed = [runner for runner in runners if runner.variant in ("fp32", "fp16", "int8 default")]
    timed[0].variant = ORIGINAL
    rows, timing = latency_rows(
        timed,
        [Case(size=size, batch=1) for size in given.timed],
        lambda case: to_range(resize(data.x_test[:1], case.size), data.value_range, value_range),
        seconds=given.seconds,
    )
    print(f"\nTime of one image over FP32's, {timing['rounds']} rounds, paired:\n")
    print("| size | FP32, ms | FP16 / FP32 | INT8 / FP32 |\n|---|---|---|---|")
    for size in given.timed:
        here = {r["variant"]: r for r in rows if (r["height"], r["width"]) == (size.height, size.width)}
        ratios = [here[name] for name in ("fp16", "int8 default")]
        told = [f"{r['ratio']:.2f} ({r['ratio_low']:.2f}-{r['ratio_high']:.2f})" for r in ratios]
        print(f"| {short(size)} | {here[ORIGINAL]['p50_ms']:.3f} | {' | '.join(told)} |")


if __name__ == "__main__":
    sys.exit(main())
