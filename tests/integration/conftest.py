"""Builds that are made once, and that tests look at or take a copy of."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from builds import BUILD_TINY, FIRST_COMMAND, MAIN_JOB, TINY, Job, as_a_newcomer, built, cloned
from dropped_runs import build_small


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tiny.py`` and, after ``fcnship build tiny.py --profile 8-16``, ``artifacts/tiny``.

    For looking only: other tests look at it too.
    """
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.py").write_text(TINY, encoding="utf-8")
    built(*BUILD_TINY, cwd=folder)
    return folder


@pytest.fixture
def tiny_copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of that folder, times of files included, to change."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The main job, done once as the README's first command: in a clone, with a fresh virtual environment.

    With ``FCNSHIP_OFFLINE``, where nothing can be installed, in the tests' own environment. For looking only.
    """
    if os.environ.get("FCNSHIP_OFFLINE"):
        folder = tmp_path_factory.mktemp("main")
        return Job(folder=folder, done=built(*MAIN_JOB, cwd=folder))
    folder = cloned(tmp_path_factory.mktemp("clone"))
    *before, build = FIRST_COMMAND.split(" && ")
    for step in before:
        as_a_newcomer(step, folder)
    return Job(folder=folder, done=as_a_newcomer(build, folder))


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run of every precision, to make drops of. For looking only."""
    return build_small(tmp_path_factory.mktemp("small"))
