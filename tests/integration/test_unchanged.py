"""The same command again does nothing; after one change only what depends on it is done again."""

from __future__ import annotations

import json
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import (
    BUILD_TINY,
    STAGES,
    built,
    fcnship,
    files,
    not_as_recorded,
    outcomes,
    records,
    redone,
)

HEAVY = {"tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "polygraphy", "tensorrt", "tensorrt_rtx"}
RUN = Path("artifacts/tiny")
SECONDS, SECONDS_OF_HELP = 1.5, 0.5
FROM_SAVED = ("saved.keras", "--profile", "8-16", "--name", "tiny")
# Up to the engine: the measurements after it take most of the time of so small a build.
TO_ENGINE = ("engine", *BUILD_TINY[1:])


def state(run: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file: a file that was written again has others."""
    stats = {path: (run / path).stat() for path in files(run)}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def why(*words: str, cwd: Path) -> dict[str, list[dict[str, str]]]:
    """What ``fcnship why`` says, stage by stage, of the build with these words."""
    done = fcnship("why", *words[1:], "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    stages: dict[str, list[dict[str, str]]] = json.loads(done.stdout)["stages"]
    return stages


def fastest(*words: str, cwd: Path) -> tuple[float, float]:
    """The least wall time and the least processor time of five runs: others may be busy on this machine."""
    walls, processors = [], []
    for _ in range(5):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        built(*words, cwd=cwd)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"{' '.join(words)}: {min(walls):.2f} s, {min(processors):.2f} s of processor time")
    return min(walls), min(processors)


def test_nothing_is_built_again(tiny_copy: Path) -> None:
    before, kept = state(tiny_copy / RUN), records(tiny_copy / RUN)
    again = built(*BUILD_TINY, cwd=tiny_copy)
    assert outcomes(again) == dict.fromkeys(STAGES, "unchanged")
    assert state(tiny_copy / RUN) == before
    assert records(tiny_copy / RUN) == kept
    assert not any(why(*BUILD_TINY, cwd=tiny_copy).values())


@pytest.mark.parametrize("words", [BUILD_TINY, ("why", *BUILD_TINY[1:]), ("--help",), ("report", str(RUN))])
def test_nothing_heavy_is_imported(tiny_copy: Path, words: tuple[str, ...]) -> None:
    done = fcnship(*words, cwd=tiny_copy, flags=("-X", "importtime"))
    assert done.returncode == 0
    imported = re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE)
    assert "fcnship.cli" in imported
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()


def test_it_takes_a_moment(tiny_copy: Path) -> None:
    wall, _ = fastest(*BUILD_TINY, cwd=tiny_copy)
    assert wall < SECONDS
    _, processor = fastest("--help", cwd=tiny_copy)
    assert processor < SECONDS_OF_HELP


def _comment(folder: Path) -> None:
    with (folder / "tiny.py").open("a", encoding="utf-8") as recipe:
        recipe.write("\n# a remark\n")


def _flip(relative: str) -> Callable[[Path], None]:
    def flip(folder: Path) -> None:
        file = folder / RUN / relative
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    return flip


def _delete(relative: str) -> Callable[[Path], None]:
    return lambda folder: (folder / RUN / relative).unlink()


def _nothing(folder: Path) -> None:
    pass


TRAINED = STAGES[:-2]
CHANGES: dict[str, Any] = {
    "seed": (_nothing, (*TO_ENGINE, "--seed", "7"), TRAINED, "train", "seed"),
    "comment in the recipe": (_comment, TO_ENGINE, TRAINED, "train", "recipe"),
    "second profile": (_nothing, (*BUILD_TINY, "--profile", "12-24"), STAGES, "train", "profiles"),
    "layout": (
        _nothing,
        (*TO_ENGINE, "--layout", "nhwc"),
        ["onnx", "fp16", "int8", "engine"],
        "onnx",
        "layout",
    ),
    # What is built again from the same inputs has the same bytes, so that nothing behind it has to follow.
    "damaged ONNX": (_flip("onnx/fp32.onnx"), BUILD_TINY, ["onnx", "report"], "onnx", "onnx/fp32.onnx"),
    "damaged engine": (
        _flip("engines/tensorrt_rtx-fp32.engine"),
        BUILD_TINY,
        ["engine", "report"],
        "engine",
        "engines/tensorrt_rtx-fp32.engine",
    ),
    "no measurements": (
        _delete("validation.json"),
        BUILD_TINY,
        ["validate", "report"],
        "validate",
        "validation.json",
    ),
    "no HTML": (_delete("report.html"), BUILD_TINY, ["report"], "report", "report.html"),
    "flavour by its name": (_nothing, (*BUILD_TINY, "--flavour", "tensorrt_rtx"), [], None, None),
}


@pytest.mark.parametrize(("change", "words", "again", "stage", "named"), CHANGES.values(), ids=CHANGES)
def test_one_change_redoes_what_depends_on_it(
    tiny_copy: Path,
    change: Callable[[Path], None],
    words: tuple[str, ...],
    again: list[str],
    stage: str | None,
    named: str | None,
) -> None:
    change(tiny_copy)
    check(tiny_copy, words, again, stage, named)


def check(
    folder: Path, words: tuple[str, ...], again: list[str], stage: str | None, named: str | None
) -> None:
    """``why`` names the input, the build redoes what it should and no more, and the next one nothing."""
    run = folder / RUN
    told = why(*words, cwd=folder)
    before, old = state(run), records(run)
    done = built(*words, cwd=folder)
    assert redone(done) == again
    if stage:
        assert [change["input"] for change in told[stage]] == [named]
    assert set(again) <= {name for name, changes in told.items() if changes}
    new, after = records(run), state(run)
    for name in STAGES:
        paths = [artifact["path"] for artifact in old[name]["artifacts"]]
        if name in again:
            assert all(after[path] != before.get(path) for path in paths)
        else:
            assert new[name] == old[name]
            assert {path: after[path] for path in paths} == {path: before[path] for path in paths}
    assert not_as_recorded(run) == []
    assert redone(built(*words, cwd=folder)) == []


def test_a_saved_model_is_not_tied_to_profiles(tiny_copy: Path) -> None:
    """A second profile asks for no other network where nothing is trained."""
    (tiny_copy / RUN / "keras/model.keras").rename(tiny_copy / "saved.keras")
    built("engine", *FROM_SAVED, cwd=tiny_copy)
    words = ("engine", *FROM_SAVED, "--profile", "12-24")
    check(tiny_copy, words, ["engine"], "engine", "profiles")
    stale = [name for name, changes in why("build", *FROM_SAVED, cwd=tiny_copy).items() if changes]
    assert stale == ["engine", "validate", "report"]


def test_other_data_are_other_inputs(tiny_copy: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (40, 12, 12), dtype=np.uint8),
        "y_train": np.arange(40) % 4,
        "x_test": rng.integers(0, 256, (8, 12, 12), dtype=np.uint8),
        "y_test": np.arange(8) % 4,
    }
    np.savez(tiny_copy / "own.npz", **arrays)
    check(tiny_copy, (*TO_ENGINE, "--data", "own.npz"), TRAINED, "train", "data")


def test_force_does_everything_again(tiny_copy: Path) -> None:
    before = state(tiny_copy / RUN)
    assert redone(built(*TO_ENGINE, "--force", cwd=tiny_copy)) == TRAINED
    after, made = state(tiny_copy / RUN), records(tiny_copy / RUN)
    assert before.keys() == after.keys()
    again = {artifact["path"] for name in TRAINED for artifact in made[name]["artifacts"]}
    assert {path for path in before if before[path] != after[path]} == again | {"run.json"}
