"""Outputs of variants in a file, so that one machine runs an engine and another one compares.

The file holds no images: what made them (seed, range of values, data) and the SHA-256 of each batch. Outputs
are used only for images that have exactly that hash.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import ArtifactError, DataRefused, UsageError
from fcnship.runners import Unrunnable
from fcnship.sizes import Profile, Size
from fcnship.verify.image_batches import ImageBatches, identity
from fcnship.workspace import Workspace

Array = np.ndarray[Any, Any]
SCHEMA = "fcnship.outputs/1"
_DAMAGE = (
    *(OSError, EOFError, zipfile.BadZipFile, UsageError),
    *(ValueError, KeyError, TypeError, AttributeError),
)


@dataclass
class Recorder:
    """Gathers the outputs of a sweep; given to ``sweep`` as ``on_case``."""

    images: ImageBatches
    data: str
    profiles: Sequence[Profile]
    _cases: list[dict[str, Any]] = field(default_factory=list)
    _arrays: dict[str, Array] = field(default_factory=dict)

    def __call__(self, size: Size, batch: int, images: Array, outputs: Mapping[str, Array | str]) -> None:
        """Take down one case; a variant that gave no outputs has its reason instead."""
        none = {variant: answer for variant, answer in outputs.items() if isinstance(answer, str)}
        place = len(self._cases)
        for variant, answer in outputs.items():
            if not isinstance(answer, str):
                self._arrays[f"{place}/{variant}"] = answer
        self._cases.append(
            {
                "height": size.height,
                "width": size.width,
                "batch": batch,
                "images_sha256": identity(images),
                "without": none,
            }
        )

    def write(self, path: Path, variants: Mapping[str, str]) -> None:
        """Write the file whole or not at all; ``variants`` have the SHA-256 of their files.

        Raises:
            UsageError: it cannot be written.
        """
        about = {
            "schema": SCHEMA,
            "seed": self.images.seed,
            "value_range": list(self.images.value_range),
            "channels": self.images.channels,
            "data": self.data,
            "profiles": [str(profile) for profile in self.profiles],
            "variants": dict(variants),
            "cases": self._cases,
        }
        arrays: dict[str, Any] = {"about": np.array(json.dumps(about)), **self._arrays}
        try:
            with Workspace(path.parent).writing(path.name) as made, made.open("wb") as file:
                np.savez_compressed(file, **arrays)
        except OSError as error:
            raise UsageError(
                f"cannot write {path}: {error.strerror}",
                cause="the folder is missing or read-only, or the disk is full",
                next="name another file with --save-outputs",
            ) from None


@dataclass(frozen=True, kw_only=True)
class SavedOutputs:
    """A file of outputs that was read."""

    path: Path
    seed: int
    value_range: tuple[float, float]
    data: str
    profiles: tuple[Profile, ...]
    variants: Mapping[str, str]
    cases: tuple[tuple[Size, int], ...]
    answers: Mapping[str, Mapping[str, Any]]

    def runner(self, variant: str) -> LoadedRunner:
        """A runner that answers with what was saved."""
        return LoadedRunner(variant, self)


def read_outputs(path: Path) -> SavedOutputs:
    """Read a file that ``--save-outputs`` wrote. Nothing in it is unpickled.

    Raises:
        UsageError: there is no such file.
        ArtifactError: it is damaged, or no file of outputs.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file",
            cause="the path is misspelt, or relative to another folder",
            next="give --load-outputs the file that --save-outputs wrote",
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            about = json.loads(str(held["about"]))
            if about["schema"] != SCHEMA:
                raise ValueError(f"its schema is {about['schema']!r}, this fcnship reads {SCHEMA!r}")
            low, high = about["value_range"]
            return SavedOutputs(
                path=path,
                seed=int(about["seed"]),
                value_range=(float(low), float(high)),
                data=str(about["data"]),
                profiles=tuple(Profile.parse(text) for text in about["profiles"]),
                variants=dict(about["variants"]),
                cases=tuple((Size(c["height"], c["width"]), int(c["batch"])) for c in about["cases"]),
                answers={
                    case["images_sha256"]: {
                        variant: case["without"].get(variant)
                        if variant in case["without"]
                        else held[f"{place}/{variant}"]
                        for variant in about["variants"]
                    }
                    for place, case in enumerate(about["cases"])
                },
            )
    except _DAMAGE as error:
        raise ArtifactError(
            f"{path} cannot be read as a file of outputs",
            cause=f"it is damaged, or another kind of file ({error})",
            next="write it again with fcnship validate ... --save-outputs",
        ) from None


class LoadedRunner:
    """Answers with saved outputs, for the very images that they were computed from."""

    def __init__(self, variant: str, saved: SavedOutputs) -> None:
        self.variant, self._saved = variant, saved

    def prepare(self, images: Array) -> Any:
        """What was saved for these images.

        Raises:
            DataRefused: it was saved for others.
        """
        try:
            return self._saved.answers[identity(images)][self.variant]
        except KeyError:
            batch, height, width, _ = images.shape
            raise DataRefused(
                f"{self._saved.path} has no outputs of {self.variant} for the batch of {batch} at "
                f"{height}x{width}: the hash of the images differs",
                cause="they were computed from other images: another data set, seed or range of values, or "
                "another version of fcnship",
                next="give the same --data, --seed and --value-range as there",
            ) from None

    def infer(self, prepared: Any) -> Any:
        """As saved; a text says why there is nothing."""
        if isinstance(prepared, str):
            raise Unrunnable(prepared)
        return prepared

    def finish(self, outputs: Any) -> Array:
        """As they are."""
        return np.asarray(outputs, np.float32)

    def refuses(self, images: Array) -> bool:
        """Whether the engine refused these images where it ran."""
        return isinstance(self.prepare(images), str)

    def close(self) -> None:
        """Nothing is held open."""
