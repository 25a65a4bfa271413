"""Runs the command line as a person does, in a process of its own, and a recipe that trains in a moment."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGES = ["train", "convert", "savedmodel", "onnx", "fp16", "int8", "engine", "validate", "report"]
# Of a fully convolutional recipe, where no other precision is asked for.
SKIPPED = ("convert", "fp16", "int8")
TINY = '''\
"""tiny: two convolutions, three steps."""

import keras
from keras import layers

VALUE_RANGE = (0, 1)
TRAINING = {"steps": 3, "pixels": 4096}


def model(channels, classes):
    image = keras.Input((None, None, channels))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x), name="tiny")


def optimizer(steps):
    return keras.optimizers.Adam(1e-3)
'''
ROOT = Path(__file__).parents[2]
FIRST_COMMAND, SECOND_COMMAND = re.findall(
    r"```sh\n(\S.*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
)[:2]
MAIN_JOB = ("build", "--profile", "28-224")
BUILD_TINY = ("build", "tiny.py", "--profile", "8-16")
Done = subprocess.CompletedProcess[str]


def command(*words: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The words of ``fcnship ...`` with the Python that runs the tests."""
    return [sys.executable, *flags, "-m", "fcnship", *words]


def fcnship(*words: str, cwd: Path, flags: tuple[str, ...] = (), **environment: str) -> Done:
    """Run ``fcnship WORDS`` to its end and give its exit code and what it wrote."""
    return subprocess.run(
        command(*words, flags=flags),
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def cloned(folder: Path) -> Path:
    """What a clone would hold: the tracked files, and those that git would add."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def as_a_newcomer(command: str, folder: Path, **extra: str) -> Done:
    """Run a command of the README as a newcomer's shell does; it must end well."""
    foreign = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**{key: value for key, value in os.environ.items() if key not in foreign}, **extra},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def built(*words: str, cwd: Path) -> Done:
    """The same, where it must end well."""
    done = fcnship(*words, cwd=cwd)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def outcomes(done: Done) -> dict[str, str]:
    """What standard error says of each stage: unchanged, done, skipped or failed."""
    lines = re.findall(r"^(\w+) +(unchanged|done|skipped|failed)\b", done.stderr, re.MULTILINE)
    return {stage: outcome for stage, outcome in lines if stage in STAGES}


def redone(done: Done) -> list[str]:
    """The stages that were not left alone."""
    return [stage for stage, outcome in outcomes(done).items() if outcome != "unchanged"]


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def records(run: Path) -> dict[str, Any]:
    """The stage records of a run folder, by name."""
    return {row["name"]: row for row in read(run / "run.json")["stages"]}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, counted here and not by fcnship."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(run: Path) -> set[str]:
    """Every file in a run folder but its lock."""
    return {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()} - {".lock"}


def not_as_recorded(run: Path) -> list[str]:
    """Artifacts whose size or hash is not what run.json says."""
    artifacts = [artifact for record in records(run).values() for artifact in record["artifacts"]]
    return [
        a["path"]
        for a in artifacts
        if (run / a["path"]).stat().st_size != a["bytes"] or sha256(run / a["path"]) != a["sha256"]
    ]


@dataclass(frozen=True, kw_only=True)
class Job:
    """The finished main job: the folder in which it was started, and what it said."""

    folder: Path
    done: Done

    @property
    def run(self) -> Path:
        return self.folder / "artifacts" / "multiscale"

    @property
    def report(self) -> Any:
        return read(self.run / "report.json")

    def rows(self, what: str, variant: str) -> list[Any]:
        return [row for row in self.report[what] if row["variant"] == variant]
