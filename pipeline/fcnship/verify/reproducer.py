"""A reproducer: images at which a variant fails, what was expected, and a command that shows it again."""

from __future__ import annotations

import json
import os
import shlex
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import ArtifactError, UsageError
from fcnship.runners import Runner, run
from fcnship.sizes import Size
from fcnship.verify.shrink import shrunk
from fcnship.verify.sweep import Subject
from fcnship.workspace import Workspace

Array = np.ndarray[Any, Any]
SCHEMA = "fcnship.reproduce/1"
FOLDER = "reproduce"


@dataclass(frozen=True, kw_only=True)
class Reproducer:
    """What a file of reproduce/ holds."""

    images: Array
    expected: Array
    variant: str
    reference: str
    tolerance: float
    noise_floor: float | None
    path: Path
    layout: str


def written(
    subject: Subject,
    candidate: Runner,
    failed: list[dict[str, Any]],
    *,
    smallest: Size,
    stride: Size,
    workspace: Workspace,
    model: Path,
    layout: str,
) -> dict[str, Any] | None:
    """Shrink a variant's smallest failed row and write reproduce/VARIANT.npz; what the report says of it.

    None where the failure does not come again, or shows over several sizes only.
    """
    cases = [(Size(row["height"], row["width"]), row["batch"]) for row in failed]
    # A size that a profile has matters more than a smaller one beside it.
    size, batch = min(cases, key=lambda case: (not subject.served(*case), case[0].pixels * case[1], case))
    floor = Size(min(smallest.height, size.height), min(smallest.width, size.width))

    def fails(size: Size, batch: int) -> bool:
        return not subject.row(candidate, size, batch)["passed"]

    if not fails(size, batch):
        return None
    found_size, found_batch = shrunk(fails, size, batch, smallest=floor, stride=stride)
    row = subject.row(candidate, found_size, found_batch)
    images = subject.images(found_size, found_batch)
    relative = f"{FOLDER}/{_file_name(candidate.variant)}.npz"
    about = {
        "schema": SCHEMA,
        **{key: row[key] for key in ("variant", "reference", "tolerance", "noise_floor", "fault")},
        "path": os.path.relpath(model.resolve(), workspace.path(FOLDER).resolve()),
        "layout": layout,
    }
    with workspace.writing(relative) as path, path.open("wb") as file:
        np.savez_compressed(
            file, about=np.array(json.dumps(about)), images=images, expected=run(subject.reference, images)
        )
    where = {key: row[key] for key in ("variant", "reference", "height", "width", "batch", "fault")}
    command = f"fcnship reproduce {shlex.quote(str(workspace.path(relative)))}"
    return {**where, "path": relative, "command": command}


def read_reproducer(path: Path) -> Reproducer:
    """Read a file of reproduce/. Nothing in it is unpickled.

    Raises:
        UsageError: there is no such file.
        ArtifactError: it is damaged, or no reproducer.
    """
    if not path.is_file():
        raise UsageError(
            f"{path} is a folder, not a reproducer" if path.is_dir() else f"{path}: no such file",
            cause="fcnship validate writes one into reproduce/ for each variant that fails",
            next="name the file that the report names",
        )
    try:
        # Told here: NumPy's own message for what is no .npz says how to unpickle it.
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .npz")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            about = json.loads(str(held["about"]))
            if about["schema"] != SCHEMA:
                raise ValueError(f"its schema is {about['schema']!r}")
            return Reproducer(
                images=held["images"],
                expected=held["expected"],
                path=path.parent / about["path"],
                **{key: about[key] for key in ("variant", "reference", "tolerance", "noise_floor", "layout")},
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise ArtifactError(
            f"{path} cannot be read as a reproducer",
            cause=f"it is damaged, or another kind of file ({error})",
            next="run fcnship validate again: it writes it anew",
        ) from None


def _file_name(variant: str) -> str:
    """A variant's name as a file's: it may hold the stem of a stranger's file."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in variant)
