"""``fcnship drop`` of a real run: what is in it, what it proves, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from builds import read, records, sha256
from dropped_runs import PRECISIONS, held
from onnx import helper, numpy_helper

from fcnship import drop
from fcnship.device.manifest import parse_manifest
from fcnship.errors import FcnshipError, ParityFailed
from fcnship.ship.drop import Drop
from fcnship.ship.manifest import manifest_schema

jsonschema = pytest.importorskip("jsonschema")
Change = Callable[[Any], None]


@pytest.fixture(scope="module")
def made(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Drop:
    """The drop of that run. For looking only."""
    return drop(small_run, tmp_path_factory.mktemp("made") / "drop")


def golden(folder: Path) -> list[tuple[dict[str, Any], Any, Any]]:
    """Each golden file's row, images and expected outputs."""
    found = []
    for row in read(folder / "manifest.json")["golden"]:
        with np.load(folder / row["file"], allow_pickle=False) as held:
            found.append((row, held["image"], held["expected"]))
    return found


def test_it_holds_what_the_contract_says(made: Drop, small_run: Path) -> None:
    files, manifest = held(made.path), read(made.path / "manifest.json")
    cases = {row["file"] for row in manifest["golden"]}
    networks = {f"onnx/{precision}.onnx" for precision in PRECISIONS}
    assert set(files) == {"manifest.json", "README.md", "fcnship-device", *networks, *cases}
    assert manifest["files"] == [
        {"path": name, "bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
        for name in sorted(files)
        if name != "manifest.json"
    ]
    for name in networks:
        assert files[name] == (small_run / name).read_bytes()
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.path.rglob("*") if path.is_file()}
    assert modes.pop("fcnship-device") == 0o755
    assert set(modes.values()) == {0o644}
    assert made.release == sha256(made.path / "manifest.json")
    assert (made.files, made.bytes) == (
        len(files) - 1,
        sum(map(len, files.values())) - len(files["manifest.json"]),
    )
    assert made.bytes < 2_000_000


def test_the_manifest_fits_its_schema_and_the_device_s_reader(made: Drop, small_run: Path) -> None:
    manifest, report = read(made.path / "manifest.json"), read(small_run / "report.json")
    jsonschema.Draft202012Validator.check_schema(manifest_schema())
    jsonschema.validate(manifest, manifest_schema())
    parsed = parse_manifest((made.path / "manifest.json").read_bytes())
    assert (parsed.name, parsed.live, parsed.created) == ("small", "fp32", report["created"])
    assert manifest["version"] == report["created"][:10].replace("-", ".")
    assert manifest["profiles"] == report["profiles"]
    assert [row["precision"] for row in manifest["variants"]] == list(PRECISIONS)
    assert all(row["io"] == "fp32" and row["opset"] >= 17 for row in manifest["variants"])
    assert manifest["network"]["layout"] == "nchw"
    assert manifest["network"]["value_range"] == [0.0, 1.0]
    train = records(small_run)["train"]
    assert manifest["sources"] == {
        "keras/model.keras": sha256(small_run / "keras/model.keras"),
        "recipe": train["inputs"]["recipe"],
        "data": train["inputs"]["data"],
    }
    assert manifest["evidence"]["verdict"] == "pass"
    shipped = {f"onnx-{precision}" for precision in PRECISIONS}
    assert {row["variant"] for row in manifest["evidence"]["parity"]} == shipped
    assert {row["variant"] for row in manifest["evidence"]["accuracy"]} == {"keras", *shipped}


def test_the_room_that_is_told_is_enough(made: Drop, small_run: Path) -> None:
    """For a copy of the drop and any engine that was built here; and for a process that runs the network."""
    requires = read(made.path / "manifest.json")["requires"]
    engines = [path.stat().st_size for path in (small_run / "engines").glob("*.engine")]
    if engines:
        assert made.bytes + max(engines) <= requires["disk_bytes"]
    code = (
        "import re, sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "session.run(None, {'image': numpy.zeros((8, 1, 16, 16), numpy.float32)})\n"
        "print(1024 * int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]))"
    )
    words = [sys.executable, "-c", code, str(small_run / "onnx" / "int8.onnx")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= requires["memory_bytes"] <= 3 * int(done.stdout)


@pytest.mark.parametrize(
    "change", ["unknown key", "wrong schema", "short hash", "no golden", "fractional side"]
)
def test_the_schema_and_the_device_s_reader_refuse_the_same(made: Drop, change: str) -> None:
    manifest = read(made.path / "manifest.json")
    if change == "unknown key":
        manifest["requires"]["moon"] = "full"
    elif change == "wrong schema":
        manifest["schema"] = "fcnship.drop/2"
    elif change == "short hash":
        manifest["files"][0]["sha256"] = "0" * 63
    elif change == "no golden":
        manifest["golden"] = []
    else:
        manifest["golden"][0]["height"] = 8.5
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, manifest_schema())
    with pytest.raises(FcnshipError):
        parse_manifest(json.dumps(manifest).encode())


def test_the_golden_data_cover_the_profile(made: Drop) -> None:
    rows = golden(made.path)
    sizes = {(row["height"], row["width"]) for row, _, _ in rows}
    assert {(8, 8), (16, 16)} <= sizes
    assert len([size for size in sizes if size[0] != size[1]]) == 2
    assert {row["batch"] for row, _, _ in rows} == {1, 8}
    for row, image, expected in rows:
        assert image.dtype == expected.dtype == np.float32
        assert image.shape == (row["batch"], 1, row["height"], row["width"])
        assert expected.shape == (row["batch"], 10)
        assert image.min() >= 0 and image.max() <= 1
        assert set(row["tolerance"]) == set(PRECISIONS)
        assert row["tolerance"]["fp32"] < 1e-4 < row["tolerance"]["fp16"] < 0.1
        assert row["tolerance"]["int8"] < 0.3


def worst(path: Path, folder: Path, precision: str) -> float:
    """The largest error of a network on the golden data, in tolerances."""
    session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[float] = []
    for row, image, expected in golden(folder):
        error = np.abs(session.run(None, {"image": image})[0] - expected).max()
        found.append(float(error) / row["tolerance"][precision])
    return max(found)


def edited(rank: int, change: Callable[[Any], Any]) -> Change:
    """A change of the last weights of so many dimensions: 4 of a convolution, 2 of the dense layer."""

    def edit(model: Any) -> None:
        tensor = [tensor for tensor in model.graph.initializer if len(tensor.dims) == rank][-1]
        array = np.ascontiguousarray(change(numpy_helper.to_array(tensor).copy()))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return edit


def one_weight(weights: Any) -> Any:
    """The largest one has the other sign."""
    place = np.unravel_index(np.abs(weights.astype(np.float64)).argmax(), weights.shape)
    weights[place] = -weights[place]
    return weights


def swapped_classes(model: Any) -> None:
    """The first two classes of the answer."""
    graph, name = model.graph, model.graph.output[0].name
    for node in graph.node:
        node.output[:] = ["before" if made == name else made for made in node.output]
    order = np.array([1, 0, *range(2, 10)], np.int64)
    graph.initializer.append(numpy_helper.from_array(order, "order"))
    graph.node.append(helper.make_node("Gather", ["before", "order"], [name], axis=1))


FAULTS: dict[str, Change] = {
    "one weight": edited(2, one_weight),
    "two classes": swapped_classes,
    "mirrored kernels": edited(4, lambda weights: weights[:, :, ::-1, ::-1]),
    "mirrored channels": edited(4, lambda weights: weights[:, ::-1]),
}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_was_built_is_within_the_tolerance(made: Drop, precision: str) -> None:
    assert worst(made.path / f"onnx/{precision}.onnx", made.path, precision) <= 1


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_outside_of_it(made: Drop, tmp_path: Path, precision: str, fault: str) -> None:
    model = onnx.load(made.path / f"onnx/{precision}.onnx")
    FAULTS[fault](model)
    onnx.save(model, tmp_path / "faulty.onnx")
    assert worst(tmp_path / "faulty.onnx", made.path, precision) > 1


def test_a_network_that_leaves_its_tolerance_is_refused(small_run: Path, tmp_path: Path) -> None:
    """Its record vouches for it, as where the fault is in the machine."""
    copy = Path(shutil.copytree(small_run, tmp_path / "small"))
    from fcnship.runs import options_of
    from fcnship.session import Session
    from fcnship.ship.golden import golden_of
    from fcnship.stages.engine import sources_of

    model = onnx.load(copy / "onnx" / "int8.onnx")
    swapped_classes(model)
    onnx.save(model, copy / "onnx" / "int8.onnx")
    session = Session(options_of(copy))
    with pytest.raises(ParityFailed, match="onnx-int8 does not hold against its golden data"):
        golden_of(session, sources_of(session))
