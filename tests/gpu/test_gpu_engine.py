"""A TensorRT engine, of the flavour that this machine has, on its GPU against ONNX Runtime.

The host's side, which needs all that fcnship needs; test_gpu_device.py needs no TensorFlow.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcnship.device.cuda import Gpu, first_gpu

GPU = first_gpu()
if not isinstance(GPU, Gpu):
    pytest.skip(f"no NVIDIA GPU answers here: {GPU}", allow_module_level=True)
if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is not installed", allow_module_level=True)

from fcnship import api  # noqa: E402
from fcnship.runners import Runner, Unrunnable, open_runner, run  # noqa: E402
from fcnship.stages.engine import Built, usable_flavours  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, saving
    # The bindings of each TensorRT call other names deprecated, and Polygraphy serves all of them.
    pytest.mark.filterwarnings("ignore:.*(TensorRT|swig):DeprecationWarning"),
]
PROFILES = ("16-32", "48x40,64,96x128@2,4,6")
# Every edge of both profiles, and sizes between: (batch, height, width).
SERVED = [
    (1, 16, 16),
    (1, 24, 24),
    (8, 32, 32),
    (3, 17, 29),
    (2, 48, 40),
    (4, 64, 64),
    (6, 96, 128),
    (5, 61, 77),
]
# One pixel or one image outside both: batch 1 and 9, and sizes below, between and above.
REFUSED = [(1, 15, 16), (1, 33, 32), (9, 32, 32), (2, 48, 39), (1, 64, 64), (7, 64, 64), (2, 97, 128)]
# TensorRT may take Winograd transforms for float32, which lose two digits more than plain sums.
TOLERANCE = 1e-4


def flavour() -> Built:
    """Full TensorRT if it is here, else TensorRT-RTX."""
    found = [name for name, reason in usable_flavours().items() if not reason]
    if not found:
        pytest.skip("; ".join(usable_flavours().values()))
    return found[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder up to the engine, of an untrained network with weights that tell pixels apart."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax", kernel_initializer="normal")(x))
    path = tmp_path_factory.mktemp("gpu")
    model.save(path / "small.keras")
    built = api.engine(path / "small.keras", profile=PROFILES, out=path, flavour=flavour())
    targets = built.stages[-1].facts["targets"]
    if flavour() == "tensorrt_rtx" and GPU.compute_capability not in targets:
        pytest.skip(f"TensorRT-RTX builds for {', '.join(targets)}, this GPU is {GPU.compute_capability}")
    return built.folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Any:
    runner = open_runner("engine-fp32", folder / f"engines/{flavour()}-fp32.engine", "nchw")
    yield runner
    runner.close()


@pytest.fixture(scope="module")
def reference(folder: Path) -> Runner:
    return open_runner("onnx-fp32", folder / "onnx/fp32.onnx", "nchw")


def pictures(shape: tuple[int, int, int]) -> Any:
    return np.random.default_rng(shape).uniform(0, 1, (*shape, 1)).astype(np.float32)


@pytest.mark.parametrize("shape", SERVED, ids=str)
def test_it_computes_what_onnx_runtime_computes(
    engine: Runner, reference: Runner, shape: tuple[int, int, int]
) -> None:
    expected, outputs = run(reference, pictures(shape)), run(engine, pictures(shape))
    assert outputs.shape == expected.shape == (shape[0], 10)
    assert np.abs(outputs - expected).max() < TOLERANCE
    assert (outputs.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_outputs_are_kept_when_the_next_batch_comes(engine: Runner) -> None:
    """Polygraphy gives its own buffers, which the next inference overwrites."""
    first = run(engine, pictures((1, 16, 16)))
    kept = first.copy()
    run(engine, pictures((1, 32, 32)))
    run(engine, pictures((4, 64, 64)))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("shape", REFUSED, ids=str)
def test_what_no_profile_serves_is_refused(engine: Runner, shape: tuple[int, int, int]) -> None:
    batch, height, width = shape
    with pytest.raises(Unrunnable, match=f"^no profile serves a batch of {batch} at {height}x{width}$"):
        engine.prepare(pictures(shape))
    assert run(engine, pictures((1, 16, 16))).shape == (1, 10)


def test_it_is_timed(engine: Runner, reference: Runner) -> None:
    for shape in SERVED:
        medians = [median_ms(runner, pictures(shape)) for runner in (reference, engine)]
        print(f"{shape}: ONNX Runtime {medians[0]:.3f} ms, TensorRT {medians[1]:.3f} ms")
        assert 0 < medians[1] < 100


def median_ms(runner: Runner, images: Any) -> float:
    """Of 50 inferences after 5, with images in the runtime's own form; copies to and from the GPU count."""
    prepared, seconds = runner.prepare(images), []
    for _ in range(55):
        start = time.perf_counter()
        runner.infer(prepared)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[5:]) * 1e3


def test_a_build_measures_the_engine(folder: Path) -> None:
    """The whole command: the engine is a variant like the others, with parity, accuracy and latency."""
    run_ = api.build(folder.parent / "small.keras", profile=PROFILES, out=folder.parent, flavour=flavour())
    assert run_.report
    assert run_.report["verdict"] == "pass"
    engine = next(row for row in run_.report["variants"] if row["variant"] == "engine-fp32")
    assert engine["status"] == "run"
    for what in ("parity", "accuracy", "latency"):
        assert any(row["variant"] == "engine-fp32" for row in run_.report[what])
