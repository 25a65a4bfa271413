"""A build that is killed in any stage goes on from the last whole one; half-written files never count."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from glob import glob
from pathlib import Path
from typing import Any

import pytest
from builds import BUILD_TINY, STAGES, TINY, built, command, fcnship, not_as_recorded, outcomes, read, records

RUN = Path("artifacts/tiny")
TEMPORARY = ".fcnship-tmp-*"
PATIENCE = 120.0
Happens = Callable[[Path, str], bool]


def writes(stage: str, pattern: str) -> tuple[str, Happens, float]:
    """The moment at which a stage's half-written files lie there (or, where that was too short to be seen,
    the moment after the stage).
    """

    def happens(run: Path, said: str) -> bool:
        # Not Path.glob, which raises where a folder vanishes while it looks.
        return bool(glob(pattern, root_dir=run)) or f"\n{stage} " in f"\n{said}"  # noqa: PTH207

    return f"{stage} writes", happens, 0.0


def after(stage: str, within: float) -> tuple[str, Happens, float]:
    """Any moment within so many seconds after a stage."""
    return f"after {stage}", lambda run, said: f"\n{stage} " in f"\n{said}", random.uniform(0, within)


# Training says that it begins in a line of its own; in the other stages only the end is a line.
MOMENTS = [
    after("train", 0.5),
    writes("train", f"keras/{TEMPORARY}/model.keras"),
    writes("savedmodel", f"{TEMPORARY}/savedmodel/variables/*"),
    after("savedmodel", 0.2),
    writes("onnx", f"onnx/{TEMPORARY}/*"),
    after("int8", 0.2),
    writes("engine", f"engines/{TEMPORARY}/*.engine"),
    after("engine", 4.0),
    writes("validate", f"{TEMPORARY}/validation.json"),
    writes("report", f"{TEMPORARY}/report.*"),
]


def killed(folder: Path, happens: Happens, delay: float) -> None:
    """Start the build, and kill it with all its children ``delay`` seconds after ``happens`` is true."""
    said = folder / "said.txt"
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    with (
        said.open("w", encoding="utf-8") as stream,
        subprocess.Popen(
            command(*BUILD_TINY),
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        ) as build,
    ):
        end = time.monotonic() + PATIENCE
        while build.poll() is None and time.monotonic() < end:
            if happens(folder / RUN, said.read_text(encoding="utf-8")):
                time.sleep(delay)
                os.killpg(build.pid, signal.SIGKILL)
                break
    assert build.returncode == -signal.SIGKILL, said.read_text(encoding="utf-8")


def whole(run: Path) -> set[str]:
    """The stages with a record, after a look at every file that a record names."""
    if not (run / "run.json").exists():
        return set()
    assert not_as_recorded(run) == []
    return {name for name, record in records(run).items() if record["status"] != "failed"}


def substance(report: Any) -> dict[str, Any]:
    """What two builds of the same inputs must have in common: everything but times, hashes and noise."""
    return {
        **{key: report[key] for key in ("verdict", "reasons", "model", "data", "profiles", "name")},
        "variants": [
            (row["variant"], row["path"], row["status"], row["reason"]) for row in report["variants"]
        ],
        "stages": [
            (row["name"], row["status"], row["reason"], [a["path"] for a in row["artifacts"]])
            for row in report["stages"]
        ],
        "parity": [
            (row["variant"], row["height"], row["width"], row["batch"], row["passed"])
            for row in report["parity"]
        ],
        # Larger batches are timed where there is time for them.
        "latency": [
            (row["variant"], row["height"], row["width"]) for row in report["latency"] if row["batch"] == 1
        ],
    }


def accuracies(report: Any) -> dict[tuple[str, int, int], float]:
    return {(row["variant"], row["height"], row["width"]): row["accuracy"] for row in report["accuracy"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the recipe and nothing built."""
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    (tmp_path / "tmp").mkdir()
    return tmp_path


def test_killed_in_every_stage(folder: Path, tiny_folder: Path) -> None:
    """One run folder; each build goes on from the last whole stage and is killed a little later."""
    run, before = folder / RUN, set[str]()
    for name, happens, delay in MOMENTS:
        killed(folder, happens, delay)
        now = whole(run)
        said = outcomes_of(folder)
        assert before <= now, name
        assert {stage for stage, outcome in said.items() if outcome == "unchanged"} <= before, name
        assert all(said.get(stage) in ("unchanged", None) for stage in before), name
        before = now
    assert set(STAGES[:-1]) <= before
    check_end(folder, tiny_folder, left_alone=before)


def outcomes_of(folder: Path) -> dict[str, str]:
    """What the killed build had said of each stage."""
    said = (folder / "said.txt").read_text(encoding="utf-8")
    return outcomes(subprocess.CompletedProcess([], 0, "", said))


def check_end(folder: Path, uninterrupted: Path, left_alone: set[str]) -> None:
    """The same command once more ends well, with the report of a build that nobody disturbed."""
    left = set((folder / "tmp").iterdir())
    done = fcnship(*BUILD_TINY, cwd=folder, TMPDIR=str(folder / "tmp"))
    assert done.returncode == 0, done.stderr
    assert {stage for stage, outcome in outcomes(done).items() if outcome == "unchanged"} == left_alone
    assert whole(folder / RUN) == set(STAGES)
    assert not list((folder / RUN).rglob(TEMPORARY))
    assert set((folder / "tmp").iterdir()) <= left
    report, expected = read(folder / RUN / "report.json"), read(uninterrupted / RUN / "report.json")
    assert substance(report) == substance(expected)
    assert accuracies(report) == pytest.approx(accuracies(expected), abs=0.02)
    assert outcomes(built(*BUILD_TINY, cwd=folder)) == dict.fromkeys(STAGES, "unchanged")
