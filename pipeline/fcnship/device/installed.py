"""install.json of a release: what runs, and the proof of it. Written when the release has proved itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fcnship.device.fields import Malformed, Record, strict_json
from fcnship.device.manifest import INSTALLED, MAX_BYTES, Manifest
from fcnship.device.store import write_whole
from fcnship.errors import ArtifactError

SCHEMA = "fcnship.install/1"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What runs of a release. ``runtime`` is the version of TensorRT or ONNX Runtime that proved it.

    ``engine`` has ``key``, ``built``, ``seconds`` and ``reason``; None with ONNX Runtime. ``signer`` is
    who signed it, None where nobody asked; ``parity`` are the rows of the self-test; ``time`` is that of the
    device, whose clock may never have been set.
    """

    release: str
    backend: str
    runtime: str
    precision: str
    engine: Mapping[str, Any] | None
    signer: str | None
    parity: tuple[Mapping[str, Any], ...]
    time: str
    fcnship: str

    @property
    def engine_key(self) -> str | None:
        """The key of the engine that runs."""
        return None if self.engine is None else str(self.engine["key"])

    def fits(self, manifest: Manifest) -> bool:
        """Whether it is of this release, and of a network that is in it."""
        there = {variant.precision for variant in manifest.variants}
        return self.release == manifest.sha256 and self.precision in there

    def write(self, release: Path) -> None:
        """Write install.json; its temporary name stands beside the release, which is never half-written."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)
        write_whole(release / INSTALLED, text.encode(), release.parent)


def read_installed(release: Path) -> Installed | None:
    """What install.json of a release says; None if there is none, because it never proved itself.

    Raises:
        ArtifactError: it is damaged.
    """
    path = release / INSTALLED
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    try:
        return _installed(Record(strict_json(text), INSTALLED))
    except Malformed as error:
        raise _damaged(path, str(error)) from None


def _installed(row: Record) -> Installed:
    row.text("schema", SCHEMA)
    engine = row.any("engine")
    record = Installed(
        release=row.text("release", r"[0-9a-f]{64}"),
        backend=row.one_of("backend", ("tensorrt", "onnxruntime")),
        runtime=row.text("runtime"),
        precision=row.text("precision"),
        engine=None if engine is None else _engine(row.record("engine")),
        signer=None if row.any("signer") is None else row.text("signer"),
        parity=tuple(part.values() for part in row.records("parity")),
        time=row.text("time"),
        fcnship=row.text("fcnship"),
    )
    _check_proof(record)
    return record


def _check_proof(record: Installed) -> None:
    """What is written is only what proved itself: another backend or precision than that was put there."""
    if (record.backend == "tensorrt") != (record.engine is not None):
        raise Malformed(f"{INSTALLED}.backend is {record.backend}, which its engine does not fit")
    rows = [(row.get("variant"), row.get("passed")) for row in record.parity]
    if not rows or set(rows) != {(f"device-{record.precision}", True)}:
        raise Malformed(f"{INSTALLED}.parity is no proof of {record.precision}")


def _engine(row: Record) -> dict[str, Any]:
    row.text("key", r"[0-9a-f]{64}")
    return row.values()


def _damaged(path: Path, cause: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is damaged",
        cause=cause,
        next="install the drop again: fcnship-device install DROP",
    )
