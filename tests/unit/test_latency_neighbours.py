"""A variant that was called takes no processor from the one that is timed next."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnx_graphs import model_of

from fcnship.runners.onnxruntime import OnnxRunner

PAUSE = 0.02


def test_threads_rest_after_a_call(tmp_path: Path) -> None:
    path, channels = tmp_path / "wide.onnx", 32
    weights = {"w": np.ones((channels, 1, 3, 3), np.float32)}
    onnx.save(model_of([helper.make_node("Conv", ["image", "w"], ["probabilities"])], weights), path)
    runner = OnnxRunner("onnx-fp32", path, "nchw")
    feed = runner.prepare(np.ones((1, 128, 128, 1), np.float32))
    taken = []
    for _ in range(15):
        runner.infer(feed)
        start = time.process_time()
        time.sleep(PAUSE)
        taken.append(time.process_time() - start)
    # Threads that spin take a whole processor through the pause, each of them.
    assert float(np.median(taken)) < PAUSE / 4
