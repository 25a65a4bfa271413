"""The main job as the README gives it, on digits, with nothing replaced: what it left and what it reports."""

from __future__ import annotations

from importlib import metadata

import jsonschema
import pytest
from builds import (
    MAIN_JOB,
    SKIPPED,
    STAGES,
    Job,
    fcnship,
    files,
    not_as_recorded,
    outcomes,
    read,
    records,
    redone,
    sha256,
)

from fcnship.machine import gpu_name
from fcnship.reports.schema import report_schema

FILES = {
    "run.json",
    "keras/model.keras",
    "keras/history.json",
    "savedmodel/fingerprint.pb",
    "savedmodel/saved_model.pb",
    "savedmodel/variables/variables.data-00000-of-00001",
    "savedmodel/variables/variables.index",
    "onnx/fp32.onnx",
    "validation.json",
    "latency.json",
    "report.json",
    "report.md",
    "report.html",
    "junit.xml",
}


def test_it_ends_well_and_says_so(job: Job) -> None:
    assert outcomes(job.done) == {name: "skipped" if name in SKIPPED else "done" for name in STAGES}
    assert job.done.stdout.startswith("PASS  multiscale")
    assert "Traceback" not in job.done.stderr
    assert "Everything is in artifacts/multiscale" in job.done.stdout


def test_the_run_folder_is_the_design_s(job: Job) -> None:
    engines = {path for path in files(job.run) if path.startswith("engines/")}
    flavour = records(job.run)["engine"]["facts"]["flavour"]
    assert engines == {f"engines/{flavour}-fp32.engine", f"engines/{flavour}-fp32.json"}
    assert files(job.run) - engines == FILES
    assert not list(job.run.rglob(".fcnship-tmp-*"))


def test_the_records_are_true(job: Job) -> None:
    run = read(job.run / "run.json")
    assert (run["schema"], run["name"]) == ("fcnship.run/1", "multiscale")
    assert run["options"]["profiles"] == ["28,80,224@1,1,8"]
    assert [row["name"] for row in run["stages"]] == STAGES
    for row in run["stages"]:
        assert row["status"] == ("skipped" if row["name"] in SKIPPED else "done")
        assert row["seconds"] > 0 or row["name"] in SKIPPED
        assert row["inputs"]
        assert row["versions"] == {library: metadata.version(library) for library in row["versions"]}
    assert not_as_recorded(job.run) == []
    recorded = [artifact["path"] for row in run["stages"] for artifact in row["artifacts"]]
    assert sorted(recorded) == sorted(files(job.run) - {"run.json"})


@pytest.mark.parametrize(
    ("stage", "before"),
    [("savedmodel", "train"), ("onnx", "train"), ("engine", "onnx"), ("validate", "engine")],
)
def test_a_stage_s_inputs_are_the_files_before_it(job: Job, stage: str, before: str) -> None:
    made = {a["path"]: a["sha256"] for a in records(job.run)[before]["artifacts"]}
    assert made.items() <= records(job.run)[stage]["inputs"].items()


def test_the_report_fits_its_schema(job: Job) -> None:
    jsonschema.Draft202012Validator(report_schema()).validate(job.report)


def test_the_report_names_what_was_built(job: Job) -> None:
    report = job.report
    assert (report["verdict"], report["reasons"]) == ("pass", [])
    assert report.get("must_not_use", []) == []
    model = report["model"]
    assert (model["total_stride"], model["receptive_field"], model["minimum_size"]) == (32, 252, 4)
    assert (model["classes"], model["labels"]) == (10, [str(label) for label in range(10)])
    assert report["profiles"] == [{"min": [28, 28], "opt": [80, 80], "max": [224, 224], "batch": [1, 1, 8]}]
    assert (report["data"]["train"], report["data"]["test"]) == (1437, 360)
    kept = ("name", "status", "seconds", "reason", "artifacts")
    stages = [{key: row[key] for key in kept} for row in records(job.run).values()]
    assert report["stages"] == [row for row in stages if row["name"] != "report"]


@pytest.mark.parametrize("variant", ["savedmodel", "onnx-fp32"])
def test_parity_covers_the_range(job: Job, variant: str) -> None:
    rows = job.rows("parity", variant)
    cases = {(row["height"], row["width"], row["batch"]) for row in rows}
    assert {(side, side, 1) for side in (27, 28, 29, 80, 223, 224, 225)} <= cases
    assert {(side, side, 8) for side in (28, 80, 224)} <= cases
    inside = [(h, w) for h, w, _ in cases if min(h, w) > 29 and max(h, w) < 223]
    assert any(h % 2 and w % 2 and h == w for h, w in inside)
    assert any(h > w for h, w in inside)
    assert any(h < w for h, w in inside)
    for row in rows:
        assert row["reference"] == "keras"
        assert row["passed"]
        assert row["max_abs"] < 1e-5
        assert row["max_abs"] <= row["tolerance"] < 1e-4
        assert row["argmax_flips"] == 0


def test_it_is_right_at_every_size(job: Job) -> None:
    lowest = min(job.rows("accuracy", "keras"), key=lambda row: row["accuracy"])
    assert lowest["accuracy"] >= 0.95, lowest
    assert not job.report["must_not_use"]


def test_every_variant_has_every_accuracy(job: Job) -> None:
    accuracies = [
        [(row["height"], row["width"], row["accuracy"]) for row in job.rows("accuracy", variant)]
        for variant in ("keras", "savedmodel", "onnx-fp32")
    ]
    assert accuracies[0] == accuracies[1] == accuracies[2]


@pytest.mark.parametrize("variant", ["keras", "savedmodel", "onnx-fp32"])
def test_latency_at_min_opt_and_max_and_for_the_batches_of_the_profile(job: Job, variant: str) -> None:
    rows = job.rows("latency", variant)
    cases = {(row["height"], row["width"], row["batch"]) for row in rows}
    assert {(28, 28, 1), (80, 80, 1), (224, 224, 1)} <= cases
    for row in rows:
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["images_per_second"] == pytest.approx(row["batch"] * 1e3 / row["p50_ms"], rel=1e-4)
        assert row["runs"] >= 5
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        # ONNX Runtime takes a twentieth of a Keras call: no load on the machine turns that round.
        assert row["verdict"] == {"keras": "reference", "onnx-fp32": "faster"}.get(variant, row["verdict"])


@pytest.mark.skipif(gpu_name() is not None, reason="there is a GPU: the engine runs here")
def test_the_engine_is_listed_as_built_and_not_run(job: Job) -> None:
    engine = next(row for row in job.report["variants"] if row["variant"] == "engine-fp32")
    assert engine["status"] == "not run"
    assert "no NVIDIA GPU answers here" in engine["reason"]
    assert engine["bytes"] == (job.run / engine["path"]).stat().st_size > 100_000
    assert engine["sha256"] == sha256(job.run / engine["path"])
    assert not any(job.rows(what, "engine-fp32") for what in ("parity", "accuracy", "latency"))
    assert engine["reason"] in " ".join(job.done.stdout.split())  # wrapped at the width of the console
    about = read((job.run / engine["path"]).with_suffix(".json"))
    assert about["onnx_sha256"] == sha256(job.run / "onnx/fp32.onnx")
    assert about["profiles"] == job.report["profiles"]


def test_the_same_command_again_leaves_everything_alone(job: Job) -> None:
    def state() -> dict[str, tuple[int, int]]:
        stats = {path: (job.run / path).stat() for path in files(job.run)}
        return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}

    before = state()
    again = fcnship(*MAIN_JOB, cwd=job.folder)
    assert (again.returncode, redone(again)) == (0, [])
    assert state() == before
    assert again.stdout == job.done.stdout
