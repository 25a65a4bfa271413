"""Parity of model files of any origin: the first is the reference, the others are held against it."""

from __future__ import annotations

import contextlib
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fcnship.errors import ModelRefused, UsageError
from fcnship.events import Events, Silence
from fcnship.hashing import files_under, sha256_of_file, sha256_of_value
from fcnship.runners import Runner, Unrunnable
from fcnship.runners.files import ModelFileOpened, engine_about, kind_of, open_file
from fcnship.sizes import Profile
from fcnship.validation_attribution import check_reference, files_attribution
from fcnship.validation_report import FilesReport
from fcnship.validation_subject import FilesSubject
from fcnship.verify.checks import Checks
from fcnship.verify.outputs_file import Recorder, SavedOutputs, read_outputs
from fcnship.verify.sweep import Swept, sweep
from fcnship.wording import counted
from fcnship.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class FilesRequest:
    """What to compare, at which sizes, on which images. What is left out is found from the files."""

    paths: tuple[Path, ...]
    profiles: tuple[Profile, ...] = ()
    data: str = "digits"
    skip_bad: bool = False
    value_range: tuple[float, float] | None = None
    seed: int = 0
    checks: Checks = field(default_factory=Checks)
    out: Path | None = None
    events: Events = field(default_factory=Silence)


@dataclass(kw_only=True)
class Opened:
    """The files that run here, the reference first, runners of saved outputs, and a row about each."""

    files: list[ModelFileOpened]
    loaded: list[Runner]
    variants: list[dict[str, Any]]
    saved: SavedOutputs | None


def validate_files(request: FilesRequest) -> dict[str, Any]:
    """Compare files and give the report (schema fcnship.report/1); it is written where ``out`` is given.

    Raises:
        UsageError: there is nothing to compare, or a path leads nowhere.
        ModelRefused: a file is no model, or two are unlike: channels, classes.
        DataRefused: saved outputs are of other images.
        ArtifactError: a file is damaged.
    """
    with _opened(request) as opened:
        _check_alike(opened.files)
        subject = FilesSubject(request, opened.files, opened.loaded, opened.saved)
        cases, done = subject.cases(), 0
        request.events.stage_started("validate")

        def step(text: str) -> None:
            nonlocal done
            done += 1
            request.events.progress(done, len(cases), text)

        recorder = (
            Recorder(subject.images, subject.data_name, subject.profiles)
            if request.checks.save_outputs
            else None
        )
        if request.checks.attribute:
            check_reference(opened.files[0].path)
        swept = sweep(subject.subject, cases, step, recorder)
        if recorder and request.checks.save_outputs:
            recorder.write(
                request.checks.save_outputs, {row["variant"]: row["sha256"] for row in opened.variants}
            )
        workspace = Workspace(request.out) if request.out else None
        reproducers = subject.reproducers(swept.parity, workspace) if workspace else []
        report = FilesReport(
            subject=subject,
            swept=swept,
            variants=opened.variants,
            reproducers=reproducers,
            command=_look_into(request.paths),
            attribution=_attribution(opened, subject, swept, request) if request.checks.attribute else None,
        )
        found = report.compose()
    if request.out:
        from fcnship.reports import write_reports

        write_reports(found, request.out)
    return found


def _attribution(
    opened: Opened, subject: FilesSubject, swept: Swept, request: FilesRequest
) -> list[dict[str, Any]]:
    here = {file.runner.variant for file in opened.files}
    others = [row["variant"] for row in opened.variants if row["variant"] not in here]
    return files_attribution(opened.files, others, subject, swept.parity, request.checks, request.events)


def _look_into(paths: Sequence[Path]) -> str:
    """The command that says which layer an error comes from."""
    return f"fcnship validate {shlex.join(map(str, paths))} --attribute"


@contextlib.contextmanager
def _opened(request: FilesRequest) -> Iterator[Opened]:
    saved = read_outputs(request.checks.load_outputs) if request.checks.load_outputs else None
    if len(request.paths) < (1 if saved else 2):
        raise UsageError(
            "there is nothing to compare",
            cause="it takes a run folder, or at least two files: a reference and a candidate",
            next="fcnship validate REFERENCE CANDIDATE, or a reference with --load-outputs FILE.npz",
        )
    for path in request.paths:
        kind_of(path)  # a misspelt path is told before TensorFlow is imported
    files: list[ModelFileOpened] = []
    variants: list[dict[str, Any]] = []
    names: Counter[str] = Counter()
    try:
        for path in request.paths:
            channels = files[0].interface.channels if files else None
            try:
                file = open_file(path, channels)
                file.runner.variant = _unique(file.runner.variant, path, names)
                files.append(file)
                variants.append({**_row(file.runner.variant, path), "status": "run", "reason": ""})
            except Unrunnable as why:
                variant = _unique(f"engine-{engine_about(path)['precision']}", path, names)
                variants.append({**_row(variant, path), "status": "not run", "reason": str(why)})
        if not files or files[0].path != request.paths[0]:
            raise UsageError(
                f"the reference {request.paths[0]} cannot run here: {variants[0]['reason']}",
                cause="the reference is what all others are held against",
                next="name a reference that runs here first, and give the engine's outputs by --load-outputs",
            )
        loaded = _loaded(saved, files, variants) if saved else []
        yield Opened(files=files, loaded=loaded, variants=variants, saved=saved)
    finally:
        for file in files:
            file.runner.close()


def _loaded(
    saved: SavedOutputs, files: Sequence[ModelFileOpened], variants: list[dict[str, Any]]
) -> list[Runner]:
    """Runners for saved outputs of what does not run here; a row about each."""
    here = {file.runner.variant for file in files}
    found: list[Runner] = []
    for variant, digest in saved.variants.items():
        if variant in here:
            continue
        variants[:] = [row for row in variants if row["variant"] != variant]
        origin = {"path": str(saved.path), "bytes": None, "sha256": digest or None}
        reason = "its outputs were computed elsewhere and loaded"
        variants.append({"variant": variant, **origin, "status": "run", "reason": reason})
        found.append(saved.runner(variant))
    return found


def _unique(variant: str, path: Path, names: Counter[str]) -> str:
    """The variant's name; with the file's where several files are of one kind."""
    names[variant] += 1
    if names[variant] == 1:
        return variant
    return _unique(f"{variant}:{path.stem}" if ":" not in variant else f"{variant}'", path, names)


def _row(variant: str, path: Path) -> dict[str, Any]:
    files = list(files_under(path))
    hashes = [sha256_of_file(file) for file in files]
    digest = hashes[0] if len(hashes) == 1 else sha256_of_value(hashes)
    size = sum(file.stat().st_size for file in files)
    return {"variant": variant, "path": str(path), "bytes": size, "sha256": digest}


def _check_alike(files: Sequence[ModelFileOpened]) -> None:
    """Refuse to compare networks that take or give different things."""
    first = files[0]
    for file in files[1:]:
        for what, noun in (("channels", "channel"), ("classes", "class")):
            mine, others = getattr(first.interface, what), getattr(file.interface, what)
            if None not in (mine, others) and mine != others:
                raise ModelRefused(
                    f"{file.path} has {counted(others, noun)}, {first.path} has {mine}",
                    cause="they are not variants of one network",
                    next="compare files that were exported from the same model",
                )
