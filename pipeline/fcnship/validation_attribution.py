"""Which layer the errors of compared ONNX files come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcnship.errors import UsageError
from fcnship.events import Events
from fcnship.runners.files import ModelFileOpened, kind_of
from fcnship.validation_subject import FilesSubject
from fcnship.verify.attribution.ask import Ask, why_not
from fcnship.verify.attribution.attributed import Candidate
from fcnship.verify.attribution.attribution import Attribution
from fcnship.verify.checks import Checks


def files_attribution(
    files: Sequence[ModelFileOpened],
    unopened: Sequence[str],
    subject: FilesSubject,
    parity: Sequence[dict[str, Any]],
    checks: Checks,
    events: Events,
) -> list[dict[str, Any]]:
    """The report's ``attribution``; the first file is the reference, ``unopened`` variants did not run.

    Raises:
        UsageError: the reference has no layers to compare with.
    """
    first, profile = files[0], subject.profiles[0]
    check_reference(first.path)
    onnx = [file for file in files[1:] if kind_of(file.path) == "onnx"]
    others = [file.runner.variant for file in files[1:] if file not in onnx]
    return Ask(
        attribution=Attribution(first.runner.variant, first.path, first.layout, subject.images),
        candidates=[
            Candidate(variant=file.runner.variant, path=file.path, layout=file.layout) for file in onnx
        ],
        others={variant: why_not(variant) for variant in [*others, *unopened]},
        parity=parity,
        checks=checks,
        optimum=profile.opt,
        cases=(profile.min, profile.opt, profile.max),
        affordable=subject.affordable,
        on_step=events.say,
    ).answers()


def check_reference(path: Path) -> None:
    """Refuse a reference that cannot be run layer by layer.

    Raises:
        UsageError: it is a SavedModel or an engine.
    """
    kind = kind_of(path)
    if kind not in ("keras", "onnx"):
        raise UsageError(
            f"the layers of {path} cannot be looked into",
            cause=f"it is {'an engine' if kind == 'engine' else 'a SavedModel'}, which cannot be cut",
            next="name the Keras model, or an fp32 ONNX file, as the reference",
        )
