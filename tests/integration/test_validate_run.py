"""``fcnship validate RUN``: a fault in a built run is found, shrunk, kept, and seen again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import faulty_onnx as faults
import pytest
from builds import read

import fcnship
from fcnship.errors import ArtifactError, ParityFailed, UsageError
from fcnship.events import Silence

# Keras 3 hands variables to NumPy 2 in the old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


def built_faulty(run: Path, edit: faults.Edit) -> None:
    """Put a fault into the run's ONNX file as if it had been built so."""
    path = run / "onnx/fp32.onnx"
    faults.faulty(path, edit, path)
    for about in run.glob("engines/*-fp32.json"):  # as if the engine were of this file too
        told = read(about) | {"onnx_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        about.write_text(json.dumps(told), encoding="utf-8")
    record = read(run / "run.json")
    for stage in record["stages"]:
        for artifact in stage["artifacts"]:
            if artifact["path"] == "onnx/fp32.onnx" or artifact["path"].endswith("-fp32.json"):
                changed = run / artifact["path"]
                artifact["bytes"] = changed.stat().st_size
                artifact["sha256"] = hashlib.sha256(changed.read_bytes()).hexdigest()
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_sound_run_reports_floors_tolerance_and_budget(tiny_folder: Path) -> None:
    report = read(tiny_folder / "artifacts/tiny/report.json")
    assert report["reproducers"] == []
    assert report["tolerance"].startswith("16 times the original's noise")
    assert {row["before"] for row in report["budget"]} == {"keras", "savedmodel"}
    assert all(row["floors"] <= 16 and row["fault"] == "" for row in report["parity"])
    assert not (tiny_folder / "artifacts/tiny/reproduce").exists()


class Steps(Silence):
    """Counts the steps of a run."""

    def __init__(self) -> None:
        self.done = 0

    def progress(self, done: int, total: int, text: str) -> None:
        self.done += 1


def test_a_misspelt_variant_is_told_before_anything_is_measured(tiny_copy: Path) -> None:
    run, steps = tiny_copy / "artifacts/tiny", Steps()
    before = read(run / "run.json")
    with pytest.raises(UsageError, match="there is no variant 'onnx-fp23' to look into"):
        fcnship.validate(run, attribute=True, variant=["onnx-fp23"], events=steps)
    assert steps.done == 0
    assert read(run / "run.json") == before


def test_a_fault_is_shrunk_kept_and_seen_again_until_it_is_gone(tiny_copy: Path) -> None:
    run = tiny_copy / "artifacts/tiny"
    built_faulty(run, faults.where_remainder_is(2, 4, 3, 1e-3))
    with pytest.raises(ParityFailed) as caught:
        fcnship.validate(run)
    report = caught.value.run.report
    (told,) = report["reproducers"]
    assert (told["variant"], told["height"], told["width"], told["batch"]) == ("onnx-fp32", 11, 8, 1)
    assert told["path"] == "reproduce/onnx-fp32.npz"
    assert told["command"] in report["reasons"][0]["next"]
    for name in ("report.md", "report.html"):
        assert told["command"].rpartition("/")[2] in (run / name).read_text(encoding="utf-8")
    with pytest.raises(ParityFailed):
        fcnship.reproduce(run / told["path"])
    assert fcnship.reproduce(run / told["path"], run / "savedmodel").agrees
    fixed = fcnship.validate(run, atol=1e-2)
    assert fixed.report
    assert fixed.report["tolerance"].startswith("fixed: 0.01")
    assert not (run / "reproduce").exists()
    record = next(row for row in read(run / "run.json")["stages"] if row["name"] == "validate")
    assert record["inputs"]["checks"] == "atol 0.01"


def test_an_engine_s_outputs_from_another_machine(tiny_copy: Path) -> None:
    run, saved = tiny_copy / "artifacts/tiny", tiny_copy / "gpu.npz"
    variants = {row["variant"]: row for row in read(run / "report.json")["variants"]}
    if variants["engine-fp32"]["status"] == "run":
        pytest.skip("the engine runs here")
    fcnship.validate(run, save_outputs=saved)
    _renamed(saved, "onnx-fp32", "engine-fp32", variants["engine-fp32"]["sha256"])
    report = fcnship.validate(run, load_outputs=saved).report
    assert report
    assert {row["variant"] for row in report["parity"]} >= {"engine-fp32", "onnx-fp32"}
    assert {row["variant"] for row in report["refusals"]} == {"engine-fp32"}
    assert all(row["refused"] for row in report["refusals"])
    _renamed(saved, "engine-fp32", "engine-fp32", "0" * 64)
    with pytest.raises(ArtifactError, match="holds outputs of another engine-fp32"):
        fcnship.validate(run, load_outputs=saved)


def _renamed(path: Path, old: str, new: str, sha256: str) -> None:
    """The saved outputs of one variant under the name of another: no GPU is needed to make some."""
    import numpy as np

    with np.load(path) as held:
        arrays = dict(held)
    about = json.loads(str(arrays.pop("about")))
    about["variants"].pop(old)
    about["variants"][new] = sha256
    for place, case in enumerate(about["cases"]):
        if not (8 <= case["height"] <= 16 and 8 <= case["width"] <= 16):
            case["without"] = {new: "no profile of the engine serves it"}
            arrays.pop(f"{place}/{old}", None)
    arrays = {key.replace(f"/{old}", f"/{new}"): value for key, value in arrays.items()}
    np.savez(path, about=np.array(json.dumps(about)), **arrays)
