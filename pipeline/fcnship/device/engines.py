"""Engines on a device: taken if they were built for exactly this, else built here, and kept by their key.

ENGINES/<key>/engine.plan    what TensorRT made
ENGINES/<key>/about.json     schema fcnship.engine/1: the key's parts, the plan's SHA-256, facts of the build
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fcnship.device.building import BuildFailed, build_apart
from fcnship.device.engine_files import PLAN, About, UnlikeEngine, read_about, write_about
from fcnship.device.engine_refusals import build_error, not_this_key, not_whole
from fcnship.device.key import Parts, differences, key_of, key_parts
from fcnship.device.manifest import Manifest
from fcnship.device.probe import Probe
from fcnship.device.store import TEMPORARY, remove, sync_folder
from fcnship.sizes import Profile


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine of a key, in its folder. ``seconds`` is the time of the build, 0 if none was needed.

    ``reason`` says why it was built; '' if it was taken.
    """

    key: str
    folder: Path
    flavour: str
    built: bool
    seconds: float
    reason: str = ""


def engine_for(
    release: Path,
    manifest: Manifest,
    precision: str,
    engines: Path,
    probe: Probe,
    ready: Path | None,
    timing_cache: Path,
) -> Engine:
    """The engine of one precision for this device: the one of its key, the ``ready`` one, or a new one.

    Raises:
        ArtifactError: the ready engine is of another key, or damaged.
        EnvironmentLacks, DeviceError: TensorRT made no engine.
    """
    parts = key_parts(manifest, precision, probe)
    if ready is not None:
        return _from_ready(ready, engines, parts)
    reason = _reason(engines, parts)
    if not reason:
        return _engine(engines, parts)
    start = time.perf_counter()
    with _staged(engines, parts) as folder:
        _build(release, manifest, parts, folder, timing_cache)
    return _engine(engines, parts, seconds=time.perf_counter() - start, reason=reason)


def installed_engine(manifest: Manifest, precision: str, engines: Path, probe: Probe, key: str) -> Engine:
    """The engine that a release was installed with, if this device is still what it was built for.

    Raises:
        ArtifactError: it is not, or the engine is damaged or gone.
    """
    here = key_parts(manifest, precision, probe)
    folder = engines / key
    try:
        about = read_about(folder)
    except UnlikeEngine as error:
        raise not_whole(folder, str(error)) from None
    if about.parts != here or key != key_of(here):
        raise not_this_key(folder, differences(about.parts, here))
    return _engine(engines, here)


def _engine(engines: Path, parts: Parts, *, seconds: float = 0.0, reason: str = "") -> Engine:
    key = key_of(parts)
    return Engine(
        key=key,
        folder=engines / key,
        flavour=str(parts["flavour"]),
        built=bool(reason),
        seconds=round(seconds, 3),
        reason=reason,
    )


def _reason(engines: Path, parts: Parts) -> str:
    """Why an engine has to be built; '' if there is a whole one of this key."""
    folder = engines / key_of(parts)
    if folder.exists() or folder.is_symlink():
        try:
            return (
                "" if read_about(folder).parts == parts else "the one of this key says that it is another's"
            )
        except UnlikeEngine as error:
            return f"the one of this key is damaged: {error}"
    return _nearest(engines, parts) or "there is none of this key"


def _nearest(engines: Path, parts: Parts) -> str:
    """What sets the most similar engine of the same network apart from this device; '' if there is none."""
    found = []
    for folder in sorted(engines.iterdir()) if engines.is_dir() else []:
        with contextlib.suppress(UnlikeEngine):
            about = read_about(folder, whole=False)
            if about.parts.get("onnx_sha256") == parts["onnx_sha256"]:
                found.append(differences(about.parts, parts))
    nearest = min(found, key=len, default=[])
    return f"built for {'; '.join(nearest)}" if nearest else ""


def _from_ready(ready: Path, engines: Path, parts: Parts) -> Engine:
    try:
        about = read_about(ready)
    except UnlikeEngine as error:
        raise not_whole(ready, str(error)) from None
    if about.parts != parts:
        raise not_this_key(ready, differences(about.parts, parts))
    if _reason(engines, parts):
        with _staged(engines, parts) as folder:
            shutil.copyfile(ready / PLAN, folder / PLAN)
            write_about(folder, about)
    return _engine(engines, parts)


@contextlib.contextmanager
def _staged(engines: Path, parts: Parts) -> Iterator[Path]:
    """A folder that becomes the engine of this key, in one step, when the block has filled it."""
    engines.mkdir(parents=True, exist_ok=True)
    staging = engines / f"{TEMPORARY}{secrets.token_hex(8)}"
    staging.mkdir()
    try:
        yield staging
        read_about(staging)
        sync_folder(staging)
        folder = engines / key_of(parts)
        if folder.exists() or folder.is_symlink():
            doomed = engines / f"{TEMPORARY}{secrets.token_hex(8)}"
            folder.rename(doomed)
            remove(doomed)
        staging.rename(folder)
        sync_folder(engines)
    finally:
        remove(staging)


def _build(release: Path, manifest: Manifest, parts: Parts, folder: Path, timing_cache: Path) -> None:
    variant = manifest.variant(str(parts["precision"]))
    request = {
        "onnx": str((release / variant.file).resolve()),
        "engine": str((folder / PLAN).resolve()),
        "flavour": parts["flavour"],
        "input": manifest.network.input,
        "profiles": [_shapes(manifest, profile) for profile in manifest.profiles],
        "target": parts["options"]["target"],
        "timing_cache": str(timing_cache.resolve()),
    }
    start = time.perf_counter()
    try:
        facts = build_apart(request, folder)
    except BuildFailed as failure:
        # A damaged cache can end TensorRT's process; without one the build is slower, and may work.
        told = failure.refused or failure.unwritten or failure.status == -signal.SIGKILL
        if told or not timing_cache.exists():
            raise build_error(failure, parts, variant.file) from None
        timing_cache.unlink()
        try:
            facts = build_apart(request, folder)
        except BuildFailed as again:
            raise build_error(again, parts, variant.file) from None
    for name in ("request.json", "facts.json"):
        (folder / name).unlink()
    write_about(folder, About.of(parts, folder, facts, time.perf_counter() - start))


def _shapes(manifest: Manifest, profile: Profile) -> dict[str, list[int]]:
    edges = zip(("min", "opt", "max"), profile.batch)  # noqa: B905
    return {edge: list(manifest.input_shape(getattr(profile, edge), batch)) for edge, batch in edges}
