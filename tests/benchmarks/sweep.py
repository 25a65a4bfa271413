"""A sweep of sizes over a run's variants, parity alone: seconds. The aim: 200 sizes of four variants in 60 s.

    python tests/benchmarks/sweep.py artifacts/multiscale [SIZES]

Variants that cannot run here do not count; the ONNX file is opened again without optimisation as one more.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from fcnship.data import find_data
from fcnship.graph.cost import cost_of
from fcnship.graph.loading import load_model
from fcnship.runners import open_runner
from fcnship.runners.onnxruntime import OnnxRunner
from fcnship.runs import options_of
from fcnship.session import Session
from fcnship.sizes import Size
from fcnship.verify.bounds import MeasuredBounds, pooled
from fcnship.verify.image_batches import ImageBatches
from fcnship.verify.sizes_that_find import every_size
from fcnship.verify.sweep import Subject, sweep
from fcnship.verify.tolerance import Tolerance


def main(run: Path, count: int) -> None:
    """Sweep ``count`` of the profile's sizes, evenly chosen."""
    session = Session(options_of(run))
    network, data = session.facts.network, find_data(session.options.data).load()
    layout, onnx = session.options.layout, run / "onnx/fp32.onnx"
    runners = [
        open_runner("keras", session.network_file, layout),
        open_runner("savedmodel", run / "savedmodel", layout),
        open_runner("onnx-fp32", onnx, layout),
        OnnxRunner("onnx-fp32:plain", onnx, layout, plain=True),
    ]
    images = ImageBatches(
        channels=session.facts.geometry.channels,
        value_range=session.facts.value_range,
        pictures=data.x_test,
        picture_range=data.value_range,
    )
    every = every_size(session.profiles[0])
    sizes = [every[place * len(every) // count] for place in range(count)]
    start = time.perf_counter()
    measured = MeasuredBounds(
        tolerance=Tolerance(load_model(session.network_file)),
        multiply_adds=lambda size: cost_of(network, size).multiply_adds,
    )
    subject = Subject(
        reference=runners[0],
        candidates=runners[1:],
        images=images,
        bounds=pooled(measured, runners[0], images, session.profiles[0].opt, 8),
        served=lambda size, batch: True,
    )
    found = sweep(subject, [(Size(size.height, size.width), 1) for size in sizes])
    seconds = time.perf_counter() - start
    worst = max(row["max_abs"] / row["tolerance"] for row in found.parity)
    failed = sum(not row["passed"] for row in found.parity)
    print(f"{len(sizes)} sizes, {len(runners)} variants: {seconds:.1f} s, {failed} failed, ", end="")
    print(f"the largest error is {worst:.2f} of the tolerance")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200)
