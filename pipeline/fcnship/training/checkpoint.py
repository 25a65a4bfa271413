"""A training's state in one file: every variable to the bit, and how far it has come. No pickle."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.training.standing import Standing

SCHEMA = "fcnship.checkpoint/1"
Array = np.ndarray[Any, Any]
# What a zip archive that was cut off or changed raises, and JSON and arrays that are not what they should be.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, TypeError),
    *(RuntimeError, MemoryError, OverflowError, AttributeError),
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What of a training of ``steps`` steps is kept. ``inputs`` say which training it is.

    ``variables`` and ``best`` (the best weights so far, or none) are the bytes of each variable, in order.
    """

    inputs: Mapping[str, str]
    steps: int
    standing: Standing
    variables: Sequence[Array]
    best: Sequence[Array] = ()

    def write(self, path: Path) -> None:
        """Write it to a file."""
        arrays: dict[str, Any] = {f"v{place}": array for place, array in enumerate(self.variables)}
        arrays |= {f"b{place}": array for place, array in enumerate(self.best)}
        about = {
            "schema": SCHEMA,
            "inputs": dict(self.inputs),
            "steps": self.steps,
            "standing": self.standing.as_json(),
            "variables": len(self.variables),
            "best": len(self.best),
        }
        with path.open("wb") as file:  # numpy would put .npz behind a path of another name
            np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)

    @classmethod
    def read(cls, content: bytes) -> Checkpoint:
        """Read a file's bytes.

        Raises:
            one of BROKEN: they are no whole checkpoint.
        """
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            about = _about(file)
            return cls(
                inputs=about["inputs"],
                steps=about["steps"],
                standing=Standing.from_json(about["standing"]),
                variables=[file[f"v{place}"] for place in range(about["variables"])],
                best=[file[f"b{place}"] for place in range(about["best"])],
            )


def steps_kept(path: Path, inputs: Mapping[str, str]) -> tuple[int, int] | None:
    """How many steps of how many a checkpoint holds; None if there is none of these inputs."""
    try:
        # Opened here: numpy leaves a file open that it finds damaged.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            about = _about(file)
            if about["inputs"] != dict(inputs):
                return None
            return Standing.from_json(about["standing"]).step, int(about["steps"])
    except BROKEN:
        return None


def _about(file: Any) -> dict[str, Any]:
    about = json.loads(file["about"].tobytes())
    if about["schema"] != SCHEMA:
        raise ValueError(f"its schema is {about['schema']!r}, this fcnship reads {SCHEMA!r}")
    if not isinstance(about["inputs"], dict) or not isinstance(about["steps"], int):
        raise ValueError("it does not say of which training it is")
    return dict(about)


def bytes_of(variables: Sequence[Any]) -> list[Array]:
    """The bytes of each variable, whatever its type."""
    from fcnship.graph.surgery.values import array_of

    arrays = [np.ascontiguousarray(array_of(variable)) for variable in variables]
    return [np.frombuffer(array.tobytes(), np.uint8) for array in arrays]


def arrays_from(contents: Sequence[Array], variables: Sequence[Any]) -> list[Array]:
    """The arrays that ``bytes_of`` took of such variables.

    Raises:
        ValueError: they are of other variables.
    """
    from fcnship.graph.surgery.values import array_of

    if len(contents) != len(variables):
        raise ValueError(f"it has {len(contents)} variables, the model and its optimiser {len(variables)}")
    like = [array_of(variable) for variable in variables]
    return [
        np.frombuffer(content.tobytes(), old.dtype).reshape(old.shape)
        for content, old in zip(contents, like, strict=True)
    ]
