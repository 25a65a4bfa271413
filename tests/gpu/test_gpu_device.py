"""What only a GPU can show of a device: engines are built on it, run at every profile, held against golden
data, refuse what lies outside, and are timed. Needs pytest, numpy, onnx, onnxruntime, polygraphy, and
tensorrt or tensorrt_rtx; no TensorFlow.

Two tests need no GPU: that the golden data themselves are right, and that an engine for any GPU is built.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu_drop import GOLDEN, TOLERANCE, make_drop

import fcnship.device
from fcnship.device.backends import Backend, Unrunnable, open_backend
from fcnship.device.cuda_memory import DriverMemory
from fcnship.device.engines import Engine, engine_for
from fcnship.device.golden import read_golden
from fcnship.device.manifest import Manifest, read_manifest
from fcnship.device.probe import Probe, probe
from fcnship.device.selftest import outside, self_test
from fcnship.errors import DeviceError

# The bindings of each TensorRT call other names of their own deprecated, and Polygraphy serves all of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*(TensorRT|swig):DeprecationWarning")
PACKAGE = Path(fcnship.device.__file__).parents[2]
PRECISIONS = tuple(TOLERANCE)
# In what TensorRT computes the two convolutions and the dense layer.
TYPES = {"fp32": {"fp32": 3}, "fp16": {"fp16": 3}, "int8": {"fp32": 2, "int8": 1}}


def rtx_targets() -> set[str]:
    """The compute capabilities that TensorRT-RTX knows, as ``8.6``."""
    import tensorrt_rtx

    names = [name[2:] for name in dir(tensorrt_rtx.ComputeCapability) if name[:2] == "SM"]
    return {f"{int(name) // 10}.{int(name) % 10}" for name in names if name.isdigit()}


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_drop(tmp_path_factory.mktemp("gpu") / "drop")


@pytest.fixture(scope="module")
def manifest(drop: Path) -> Manifest:
    return read_manifest(drop)


@pytest.fixture(scope="module")
def device() -> Probe:
    """This device; skips where it has no GPU, or no TensorRT for it."""
    found = probe()
    if found.gpu is None:
        pytest.skip(f"no NVIDIA GPU answers here: {found.gpu_fault}")
    if found.tensorrt_flavour is None:
        pytest.skip(f"there is no TensorRT here: {found.tensorrt_fault}")
    if found.tensorrt_flavour == "tensorrt_rtx" and found.compute_capability not in rtx_targets():
        pytest.skip(
            f"TensorRT-RTX {found.tensorrt} does not know compute capability {found.compute_capability}"
        )
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def built(drop: Path, manifest: Manifest, precision: str, store: Path, device: Probe) -> Engine:
    return engine_for(drop, manifest, precision, store / "engines", device, None, store / "timing.cache")


@pytest.fixture(scope="module", params=PRECISIONS)
def engine(
    request: pytest.FixtureRequest, drop: Path, manifest: Manifest, store: Path, device: Probe
) -> tuple[str, Engine]:
    """Each precision and its engine, built on this GPU."""
    precision = str(request.param)
    made = built(drop, manifest, precision, store, device)
    assert made.built
    return precision, made


@pytest.fixture(scope="module")
def opened(engine: tuple[str, Engine], drop: Path, manifest: Manifest) -> Iterator[Backend]:
    backend = open_backend("tensorrt", drop, manifest, *engine)
    yield backend
    backend.close()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_golden_data_hold_with_onnx_runtime(precision: str, drop: Path, manifest: Manifest) -> None:
    """Needs no GPU: what the engines are held against is right, and within the tolerances here too."""
    rows = self_test(drop, manifest, precision, "onnxruntime", None)
    assert [row["fault"] for row in rows] == [""] * len(GOLDEN)
    assert precision == "fp32" or any(row["max_abs"] > 1e-6 for row in rows)


def test_it_proves_itself_at_every_profile(
    engine: tuple[str, Engine], drop: Path, manifest: Manifest
) -> None:
    precision, made = engine
    rows = self_test(drop, manifest, precision, "tensorrt", made)
    for row in rows:
        print(f"{precision} {row['height']}x{row['width']} b{row['batch']}: {row['max_abs']:.2e}")
    assert [row["fault"] for row in rows] == [""] * len(GOLDEN)
    assert {row["profile"] for row in rows} == {0, 1}


def test_products_are_computed_in_the_precision_that_was_asked_for(engine: tuple[str, Engine]) -> None:
    precision, made = engine
    about = json.loads((made.folder / "about.json").read_text(encoding="utf-8"))
    assert about["facts"]["types"] == TYPES[precision]


def test_the_second_time_it_is_taken(
    engine: tuple[str, Engine], drop: Path, manifest: Manifest, store: Path, device: Probe
) -> None:
    precision, made = engine
    again = built(drop, manifest, precision, store, device)
    assert (again.key, again.built) == (made.key, False)


def test_wrong_golden_data_are_noticed(
    engine: tuple[str, Engine], drop: Path, manifest: Manifest, tmp_path: Path
) -> None:
    """A self-test that nothing can fail would show nothing."""
    precision, made = engine
    golden = manifest.golden[0]
    images, expected = read_golden(drop, manifest, golden)
    (tmp_path / "golden").mkdir()
    np.savez(tmp_path / golden.file, image=images, expected=expected[:, ::-1])
    rows = self_test(tmp_path, replace(manifest, golden=(golden,)), precision, "tensorrt", made)
    assert not rows[0]["passed"]


def test_outputs_are_those_of_the_right_batch(opened: Backend, drop: Path, manifest: Manifest) -> None:
    """Sizes and profiles in turn, twice: buffers are used again, and must not show through."""
    for golden in [*manifest.golden, *reversed(manifest.golden)]:
        images, expected = read_golden(drop, manifest, golden)
        outputs = opened.infer(opened.prepare(images))
        assert outputs.shape == expected.shape
        assert np.abs(outputs - expected).max() <= max(TOLERANCE.values())


def test_the_engine_itself_refuses_what_no_profile_has(opened: Backend, manifest: Manifest) -> None:
    beyond = list(outside(manifest))
    assert len(beyond) >= 10
    for _, size, batch in beyond:
        shape = manifest.input_shape(size, batch)
        assert opened.refuses(shape), shape
        with pytest.raises(Unrunnable, match=f"^no profile serves a batch of {batch} at {size}$"):
            opened.prepare(np.zeros(shape, np.float32))
    for profile in manifest.profiles:
        for size, batch in ((profile.min, profile.batch[0]), (profile.max, profile.batch[2])):
            assert opened.refuses(manifest.input_shape(size, batch)) is False


def test_what_is_no_plan_is_an_error_and_nothing_ends(
    drop: Path, manifest: Manifest, device: Probe, tmp_path: Path
) -> None:
    (tmp_path / "engine.plan").write_bytes(np.random.default_rng(0).bytes(100_000))
    made = Engine(
        key="0" * 64, folder=tmp_path, flavour=str(device.tensorrt_flavour), built=False, seconds=0.0
    )
    with pytest.raises(DeviceError, match="this GPU does not load it"):
        self_test(drop, manifest, "fp32", "tensorrt", made)


def for_any(drop: Path, manifest: Manifest, store: Path, precision: str = "fp32") -> Engine:
    """The engine that a machine without a GPU builds with TensorRT-RTX."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    found = probe()
    if found.tensorrt_flavour != "tensorrt_rtx":
        pytest.skip("full TensorRT is what this machine uses")
    nowhere = replace(found, gpu=None, compute_capability=None, sm_count=None)
    return built(drop, manifest, precision, store, nowhere)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_for_any_gpu_is_built_without_one(
    precision: str, drop: Path, manifest: Manifest, tmp_path: Path
) -> None:
    """Needs no GPU."""
    made = for_any(drop, manifest, tmp_path, precision)
    about = json.loads((made.folder / "about.json").read_text(encoding="utf-8"))
    assert about["parts"]["options"]["target"] == "any"
    assert "8.6" in about["facts"]["targets"]
    assert about["facts"]["types"] == TYPES[precision]


def test_an_engine_for_any_gpu_runs_on_this_one(
    drop: Path, manifest: Manifest, device: Probe, tmp_path: Path
) -> None:
    made = for_any(drop, manifest, tmp_path)
    about = json.loads((made.folder / "about.json").read_text(encoding="utf-8"))
    if device.compute_capability not in about["facts"]["targets"]:
        pytest.skip(
            f"one engine for {', '.join(about['facts']['targets'])}; this is {device.compute_capability}"
        )
    rows = self_test(drop, manifest, "fp32", "tensorrt", made)
    assert [row["fault"] for row in rows] == [""] * len(GOLDEN)


def test_the_timing_cache_is_kept_used_and_thrown_away_when_refused(
    drop: Path, manifest: Manifest, device: Probe, tmp_path: Path
) -> None:
    if device.tensorrt_flavour != "tensorrt":
        pytest.skip("TensorRT-RTX has no timing cache")
    cache = tmp_path / "timing.cache"

    def builds(l4t: str) -> str:
        made = built(drop, manifest, "fp32", tmp_path, replace(device, l4t=l4t))
        return str(
            json.loads((made.folder / "about.json").read_text(encoding="utf-8"))["facts"]["timing_cache"]
        )

    assert builds("1.0.0") == "new"
    assert cache.stat().st_size > 0
    assert builds("1.0.1") == "used"
    cache.write_bytes(b"no cache" * 100)
    assert builds("1.0.2") in ("refused", "used", "new")  # TensorRT itself may take it for an empty one
    assert not cache.read_bytes().startswith(b"no cache")


def command(*words: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-m", "fcnship.device", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))  # alone on standard output, whatever TensorRT logs


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_commands(precision: str, drop: Path, manifest: Manifest, device: Probe, tmp_path: Path) -> None:
    """install, install again, run, bench: as a person with this device types them."""
    root = ("--root", str(tmp_path / "root"))
    first = command("install", str(drop), "--precision", precision, *root)
    assert (first["backend"], first["changed"], first["engine"]["built"]) == ("tensorrt", True, True)
    assert all(row["passed"] for row in first["parity"])
    again = command("install", str(drop), "--precision", precision, *root)
    assert (again["changed"], again["engine"]["key"]) == (False, first["engine"]["key"])
    golden = manifest.golden[2]
    _, expected = read_golden(drop, manifest, golden)
    told = command("run", str(drop / golden.file), *root)
    scores = np.array([[row["score"] for row in image["scores"]] for image in told["images"]])
    assert np.abs(scores - expected).max() <= TOLERANCE[precision]
    timed = command("bench", "--seconds", "0.2", *root)
    for row in timed["latency"]:
        place = f"{row['height']}x{row['width']} b{row['batch']}"
        print(f"{device.gpu}, {precision} {place}: {row['p50_ms']:.3f} ms")
        assert 0 < row["p50_ms"] <= row["p95_ms"] < 1000
        assert row["runs"] >= 20


def test_the_driver_copies_where_there_is_no_cuda_runtime(
    engine: tuple[str, Engine], drop: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with TensorRT-RTX's wheels and a driver has no libcudart, which Polygraphy asks for."""
    from polygraphy.cuda import cuda

    monkeypatch.setattr(cuda, "G_CUDA", DriverMemory())
    precision, made = engine
    rows = self_test(drop, manifest, precision, "tensorrt", made)
    assert [row["fault"] for row in rows] == [""] * len(GOLDEN)
