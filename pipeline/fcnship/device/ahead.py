"""Build a drop's engine before it is installed: ``fcnship-device build``. Nothing goes live."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fcnship.device.backends import chosen_backend
from fcnship.device.engines import engine_for
from fcnship.device.manifest import DropFile
from fcnship.device.probe import Probe
from fcnship.device.room import check_profiles, check_room
from fcnship.device.store import Root
from fcnship.device.verify import Sink, contents, open_drop, read_head


def build_ahead(
    drop: Path,
    path: Path,
    device: Probe,
    *,
    precision: str | None,
    allowed_signers: Path | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Verify a drop as an install does, and build its engine into the root, where an install finds it.

    Raises:
        UsageError, InputRefused, ArtifactError: as ``verify_drop``.
        EnvironmentLacks, DeviceError: TensorRT is not there, or made no engine.
    """
    root = Root(path)
    with root.locked():
        say(f"verifying {drop}")
        head = read_head(open_drop(drop), root.signers(allowed_signers))
        manifest = head.manifest
        check_profiles(manifest)
        backend = chosen_backend("tensorrt", device, manifest)
        check_room(manifest, device)
        variant = manifest.variant(precision or manifest.live)
        with root.staging() as staged:
            target = staged / variant.file
            target.parent.mkdir(parents=True)
            with target.open("wb") as file:

                def sink_of(entry: DropFile) -> Sink:
                    return file.write if entry.path == variant.file else _nowhere

                for _ in contents(head, sink_of):
                    pass
            say(f"engine for {variant.precision}: taken if its key matches, else built")
            engine = engine_for(
                staged, manifest, variant.precision, root.engines, device, None, root.timing_cache
            )
    if engine.built:
        say(f"built in {engine.seconds:.1f} s: {engine.reason}")
    return {
        "release": manifest.sha256,
        "name": manifest.name,
        "version": manifest.version,
        "changed": engine.built,
        "backend": backend,
        "precision": variant.precision,
        "engine": {
            "key": engine.key,
            "built": engine.built,
            "seconds": engine.seconds,
            "reason": engine.reason,
            "folder": str(engine.folder),
        },
    }


def _nowhere(data: bytes) -> None:
    """Verified, and not needed."""
