"""Shows a failure again from its reproducer: the same images, expected outputs and tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fcnship.errors import EnvironmentLacks, FcnshipError, ParityFailed, UsageError
from fcnship.runners import Unrunnable
from fcnship.runners.files import open_file
from fcnship.verify.parity import parity_row
from fcnship.verify.reproducer import Reproducer, read_reproducer
from fcnship.verify.sweep import answer_of


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A parity row, as the report has it, and the model that it is about."""

    model: Path
    row: dict[str, Any] = field(repr=False)

    @property
    def agrees(self) -> bool:
        """Whether the failure is gone."""
        return bool(self.row["passed"])

    def as_json(self) -> dict[str, Any]:
        """The facts for programs; what JSON cannot write is a string, as in report.json."""
        infinite = {k: str(v) for k, v in self.row.items() if isinstance(v, float) and not math.isfinite(v)}
        return {"model": str(self.model), **self.row, **infinite}


def reproduce_file(path: Path, model: Path | None) -> Reproduction:
    """Run a reproducer's model, or another one, on its images and hold it against what was expected.

    Raises:
        ParityFailed: it still fails. The error carries the Reproduction.
        UsageError, ArtifactError: the reproducer or the model is missing or damaged.
        EnvironmentLacks: the model is an engine, and nothing here runs it.
    """
    held = read_reproducer(path)
    target = model or held.path
    if not target.exists():
        raise UsageError(
            f"{target}: no such file or folder",
            cause="the model lay there when the reproducer was written, and has moved since",
            next=f"fcnship reproduce {path} MODEL",
        )
    found = Reproduction(model=target, row=_row(held, target))
    if not found.agrees:
        raise _still(found)
    return found


def _row(held: Reproducer, target: Path) -> dict[str, Any]:
    try:
        file = open_file(target, held.images.shape[-1])
    except Unrunnable as why:
        raise EnvironmentLacks(
            f"{target} does not run here: {why}",
            cause="an engine runs on the kind of GPU that it was built for",
            next="run the same command on a machine with that GPU",
        ) from None
    try:
        answer = answer_of(file.runner, held.images)
        named = held.variant, held.reference
        return parity_row(*named, held.images, answer, held.expected, held.tolerance, held.noise_floor)
    finally:
        file.runner.close()


def _still(found: Reproduction) -> FcnshipError:
    row = found.row
    error = ParityFailed(
        f"{found.model} still differs from {row['reference']} on these images: {row['fault']}",
        cause=f"a batch of {row['batch']} at {row['height']}x{row['width']}, largest error "
        f"{row['max_abs']:.3g}, allowed is {row['tolerance']:.3g}",
        next="look into the step that made the file; fcnship validate compares the variants before it",
    )
    error.run = found
    return error
