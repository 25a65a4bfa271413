"""engine: a TensorRT engine of each ONNX file, with one optimisation profile for each ``--profile``."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` for a file of this folder)
from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fcnship.device.building import BuildFailed, build_apart, ended
from fcnship.driver import StageResult
from fcnship.errors import EnvironmentLacks, InputRefused, ModelRefused, StageFailed, UsageError
from fcnship.graph.facts import check_profiles
from fcnship.graph.onnx_export import INPUT
from fcnship.machine import gpu_name, version_of
from fcnship.precision.truth import check_engine, check_file, counted
from fcnship.session import Session
from fcnship.stages.fp16 import FILE as FP16_FILE
from fcnship.stages.onnx import FILE as FP32_FILE

Built = Literal["tensorrt", "tensorrt_rtx"]
DISTRIBUTIONS: dict[Built, str] = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}
# Each precision's stage and file.
ONNX_FILES = {
    "fp32": ("onnx", FP32_FILE),
    "fp16": ("fp16", FP16_FILE),
    "int8": ("int8", "onnx/int8.onnx"),
}


def usable_flavours() -> dict[Built, str]:
    """For each flavour, why it cannot build an engine here; '' if it can."""
    full = "" if gpu_name() else "building with full TensorRT needs an NVIDIA GPU, and there is none here"
    if not importlib.util.find_spec("tensorrt"):
        full = "tensorrt is not installed"
    rtx = "" if importlib.util.find_spec("tensorrt_rtx") else "tensorrt-rtx is not installed"
    return {"tensorrt": full, "tensorrt_rtx": rtx}


class Engine:
    """Writes ``engines/<flavour>-<precision>.engine`` for each precision, and a JSON beside it that says what
    it is.
    """

    name = "engine"
    needs = ("onnx", "fp16", "int8")
    libraries = ("polygraphy",)

    def inputs(self, session: Session) -> Mapping[str, str]:
        """The profiles, the precisions, and which TensorRT builds."""
        flavour = chosen_flavour(session)
        return {
            "profiles": " ".join(str(profile) for profile in session.profiles),
            "precisions": ",".join(name for name in ONNX_FILES if name in session.options.precisions),
            "flavour": flavour or "none",
            "TensorRT": (version_of(DISTRIBUTIONS[flavour]) if flavour else None) or "none",
            "GPU": (gpu_name() or "none") if flavour == "tensorrt" else "not used",
        }

    def requires(self, session: Session) -> None:
        """A flavour that was asked for by name can build here. Asked before anything is trained, too."""
        asked = session.options.flavour
        if asked == "auto":
            return
        reason = usable_flavours()[asked]
        if reason:
            raise EnvironmentLacks(
                f"no {DISTRIBUTIONS[asked]} engine can be built here: {reason}",
                cause=f"--flavour {asked} was given",
                next=f"pip install {DISTRIBUTIONS[asked]}, or leave out --flavour; fcnship doctor says more",
            )

    def run(self, session: Session) -> StageResult:
        """Build each in a process of its own, because TensorRT may end the process when it fails."""
        check_profiles(session.facts, session.profiles)
        flavour = chosen_flavour(session)
        if flavour is None:
            reasons = "; ".join(usable_flavours().values())
            return StageResult(status="skipped", reason=f"no TensorRT that can build: {reasons}")
        sources = sources_of(session)
        engines: dict[str, dict[str, Any]] = {}
        files: list[str] = []
        try:
            for source in sources:
                session.events.progress(len(engines), len(sources), f"{flavour}, {source.precision}")
                files += [f"engines/{flavour}-{source.precision}.{end}" for end in ("engine", "json")]
                engines[source.precision] = _engine(session, flavour, source)
        except BaseException:
            session.workspace.remove(files)  # without its record, a finished engine beside them is nobody's
            raise
        first = next(iter(engines.values()))
        common = {key: first[key] for key in ("flavour", "version", "targets", "tf32")}
        each = {name: {key: about[key] for key in ("layers", "types")} for name, about in engines.items()}
        return StageResult(files=tuple(files), facts={**common, "engines": each})

    def ensures(self, session: Session, result: StageResult) -> None:
        """There is a plan for each precision, and it is not empty."""
        for file in result.files:
            assert session.workspace.path(file).stat().st_size > 0, file


@dataclass(frozen=True, kw_only=True)
class Source:
    """An ONNX file that an engine is built from, the stage that made it, and the layers it keeps in FP32."""

    precision: str
    stage: str
    file: str
    keep: tuple[str, ...] = ()


def sources_of(session: Session) -> list[Source]:
    """The ONNX file of each precision that was asked for and made, in the order of the precisions."""
    records = session.workspace.records()
    found = []
    for precision, (stage, file) in ONNX_FILES.items():
        record = records.get(stage)
        if precision in session.options.precisions and record is not None and record.status == "done":
            keep = tuple(entry["layer"] for entry in record.facts.get("kept", ()))
            found.append(Source(precision=precision, stage=stage, file=file, keep=keep))
    return found


def _engine(session: Session, flavour: Built, source: Source) -> dict[str, Any]:
    """Build one and write what it is beside it; gives that."""
    import onnx

    stem = f"engines/{flavour}-{source.precision}"
    with session.workspace.writing(f"{stem}.engine") as path:
        facts = _built(session, flavour, source, path)  # first: TensorRT says best what is wrong with a file
        model = onnx.load(session.workspace.path(source.file), load_external_data=False)
        products = check_file(model, source.precision, source.keep, source.file)
        types = facts.pop("products")
        check_engine(types, products, source.precision, f"{stem}.engine")
    about = {
        "flavour": flavour,
        "precision": source.precision,
        "io": session.options.io if source.precision == "fp16" else "fp32",
        "profiles": [profile.as_json() for profile in session.profiles],
        "layout": session.options.layout,
        "onnx": source.file,
        "onnx_sha256": session.record(source.stage).sha256_of(source.file),
        "polygraphy": version_of("polygraphy"),
        "gpu": gpu_name() if flavour == "tensorrt" else None,
        **facts,
        "types": counted(types.values()),
        "other_types": {name: kind for name, kind in types.items() if kind != source.precision},
    }
    session.workspace.write_text(f"{stem}.json", json.dumps(about, indent=1) + "\n")
    return about


def chosen_flavour(session: Session) -> Built | None:
    """The flavour that will be built: the one asked for, else full TensorRT before TensorRT-RTX."""
    asked = session.options.flavour
    if asked != "auto":
        return asked
    return next((flavour for flavour, reason in usable_flavours().items() if not reason), None)


def _built(session: Session, flavour: Built, source: Source, path: Path) -> dict[str, Any]:
    wanted = {
        "onnx": str(session.workspace.path(source.file).resolve()),
        "engine": str(path.resolve()),
        "flavour": flavour,
        "input": INPUT,
        "profiles": [_shapes(session, index) for index in range(len(session.profiles))],
    }
    try:
        # Beside the plan, in its temporary folder: should this process be killed, the next build clears it.
        return build_apart(wanted, path.parent)
    except BuildFailed as failed:
        raise _failure(failed, flavour) from None


def _shapes(session: Session, index: int) -> dict[str, list[int]]:
    profile, channels = session.profiles[index], session.facts.geometry.channels
    shapes = {}
    for edge, batch in zip(("min", "opt", "max"), profile.batch, strict=True):
        size = getattr(profile, edge)
        sides = [size.height, size.width]
        nchw = session.options.layout == "nchw"
        shapes[edge] = [batch, channels, *sides] if nchw else [batch, *sides, channels]
    return shapes


def _failure(failed: BuildFailed, flavour: Built) -> ModelRefused | StageFailed | UsageError | InputRefused:
    if failed.refused:
        return ModelRefused(
            f"{DISTRIBUTIONS[flavour]} made no engine: {failed.last}",
            cause=f"its logger says:\n    {failed.told}",
            next="fcnship doctor shows the versions; try another --profile or --flavour",
        )
    if failed.unwritten:
        return UsageError(
            f"{DISTRIBUTIONS[flavour]} could not write its engine: {failed.last}",
            cause="the disk is full, or a file or folder there may not be read or written",
            next="make room or change permissions and run it again; finished stages are kept",
        )
    if failed.status == -signal.SIGKILL:
        return InputRefused(
            f"{DISTRIBUTIONS[flavour]} was killed while it built an engine",
            cause="as a rule the system does that when memory runs out",
            next="choose a smaller maximum, or a machine with more memory; finished stages are kept",
        )
    return StageFailed(
        f"{DISTRIBUTIONS[flavour]} {ended(failed.status)}",
        cause=f"its last words:\n    {failed.told}",
        next="fcnship doctor shows the versions; report it with these lines",
    )
