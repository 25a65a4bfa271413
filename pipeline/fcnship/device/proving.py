"""A release proves itself: its engine, and the golden data at every profile, on this very device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fcnship.device.backends import BackendName
from fcnship.device.engines import Engine, engine_for
from fcnship.device.installed import Installed
from fcnship.device.manifest import Manifest
from fcnship.device.probe import Probe
from fcnship.device.selftest import self_test
from fcnship.device.store import Root
from fcnship.errors import ParityFailed
from fcnship.version import __version__

Say = Callable[[str], None]


class SelfTestFailed(ParityFailed):
    """Golden outputs differ by more than their tolerance. ``facts`` holds the rows."""

    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is to run of a release: the backend, the precision, and a folder with a ready engine, if any."""

    backend: BackendName
    precision: str
    ready: Path | None = None


def engine_of(root: Root, manifest: Manifest, choice: Choice, device: Probe, say: Say) -> Engine | None:
    """The engine for this device: taken where its key matches to the letter, else built. None: no TensorRT.

    Raises:
        ArtifactError: the ready engine is another's.
        EnvironmentLacks: TensorRT does not build it.
    """
    if choice.backend != "tensorrt":
        return None
    say(f"engine for {choice.precision}: taken if its key matches, else built (minutes on a small board)")
    return engine_for(
        root.release(manifest.sha256),
        manifest,
        choice.precision,
        root.engines,
        device,
        choice.ready,
        root.timing_cache,
    )


def prove(
    root: Root,
    manifest: Manifest,
    choice: Choice,
    engine: Engine | None,
    device: Probe,
    signer: str | None,
    say: Say,
) -> Installed:
    """Run the golden data of every profile, and give what install.json says.

    Raises:
        SelfTestFailed: an output differs by more than its tolerance.
    """
    say(f"self-test of {choice.precision} with {choice.backend}")
    release = root.release(manifest.sha256)
    rows = self_test(release, manifest, choice.precision, choice.backend, engine)
    failed = [row for row in rows if not row["passed"]]
    if failed:
        raise _failed(manifest, choice, rows, failed)
    return Installed(
        release=manifest.sha256,
        backend=choice.backend,
        runtime=runtime_of(choice, device),
        precision=choice.precision,
        engine=engine_facts(engine),
        signer=signer,
        parity=tuple(rows),
        time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        fcnship=__version__,
    )


def runtime_of(choice: Choice, device: Probe) -> str:
    """The version of what runs it: a self-test proves nothing of another."""
    return str(device.tensorrt if choice.backend == "tensorrt" else device.onnxruntime)


def engine_facts(engine: Engine | None) -> dict[str, Any] | None:
    """What is written of an engine."""
    if engine is None:
        return None
    return {"key": engine.key, "built": engine.built, "seconds": engine.seconds, "reason": engine.reason}


def _failed(
    manifest: Manifest, choice: Choice, rows: list[dict[str, Any]], failed: list[dict[str, Any]]
) -> SelfTestFailed:
    worst = max(failed, key=lambda row: float(row["max_abs"]) / max(row["tolerance"], 1e-30))
    place = f"{worst['height']}x{worst['width']} in batches of {worst['batch']}"
    error = SelfTestFailed(
        f"{manifest.name} {manifest.version} at {choice.precision} is not what Keras computes, "
        f"at {place}: {worst['fault']}",
        cause=f"{len(failed)} of {len(rows)} checks fail with {choice.backend} on this device",
        next="keep what is live, or try another --precision; report it to whoever made the drop",
    )
    error.facts = {"parity": rows, "backend": choice.backend, "precision": choice.precision}
    return error
