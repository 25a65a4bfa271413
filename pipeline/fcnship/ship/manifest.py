"""manifest.json, schema ``fcnship.drop/1``: what the drop holds, was made from, and is proved by."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` for a folder of the package)
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from fcnship.device.manifest import SCHEMA, parse_manifest
from fcnship.errors import InputRefused, UsageError
from fcnship.graph.onnx_export import INPUT, OUTPUT
from fcnship.runners import ORIGINAL
from fcnship.session import Session
from fcnship.ship.golden import Golden
from fcnship.ship.requirements import requirements
from fcnship.stages.engine import Source
from fcnship.stages.train import MODEL
from fcnship.version import __version__
from fcnship.workspace import Workspace

Report = Mapping[str, Any]
_GEOMETRY = ("total_stride", "receptive_field", "minimum_size")


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``fcnship.drop/1``, a fresh copy."""
    text = resources.files("fcnship.ship").joinpath("manifest.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def manifest_facts(
    session: Session,
    report: Report,
    sources: Sequence[Source],
    golden: Sequence[Golden],
    folder: Path,
    *,
    version: str,
    live: str,
) -> dict[str, Any]:
    """The manifest but for its ``files``; ``folder`` holds the networks, the golden data and the program."""
    network = session.facts.network
    sizes = {file.path: file.bytes for file in Workspace(folder).artifacts(".")}
    return {
        "schema": SCHEMA,
        "name": report["name"],
        "version": version,
        "created": report["created"],
        "fcnship": __version__,
        "sources": _sources(session),
        "network": _network(session),
        "requires": requirements(network, session.profiles, sizes),
        "live": live,
        "profiles": [profile.as_json() for profile in session.profiles],
        "variants": [_variant(session, source, folder) for source in sources],
        "golden": [each.as_json() for each in golden],
        "evidence": _evidence(report, [source.precision for source in sources]),
    }


def manifest_bytes(facts: Mapping[str, Any], folder: Path) -> bytes:
    """The file's bytes, read once as a device will read them. ``folder`` holds every other file of the drop.

    Raises:
        InputRefused: a name or a label of the run is nothing that a device accepts.
    """
    files = sorted(Workspace(folder).artifacts("."), key=lambda file: file.path)
    manifest = {**facts, "files": [asdict(file) for file in files]}
    text = (json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    try:
        parse_manifest(text)
    except InputRefused as error:
        raise InputRefused(
            f"the run {facts['name']} cannot be dropped: a device would refuse its manifest",
            cause=error.cause,
            next="give the run and its classes plain printable names, and build again",
        ) from None
    return text


def live_of(asked: str, sources: Sequence[Source]) -> str:
    """The precision that an install makes live: the one asked for, else FP32, else the first.

    Raises:
        UsageError: the run has not got it.
    """
    there = [source.precision for source in sources]
    if asked and asked not in there:
        raise UsageError(
            f"--live {asked}: the run has no such precision",
            cause=f"it was built with --precision {','.join(there)}",
            next=f"give one of {', '.join(there)}, or build again with another --precision",
        )
    return asked or ("fp32" if "fp32" in there else there[0])


def _sources(session: Session) -> dict[str, str]:
    """Hashes of what the networks were made from: recipe or model, data, Keras files."""
    train = session.record("train")
    files = {MODEL: train.sha256_of(MODEL), session.network_path: session.network_sha256}
    inputs = {name: train.inputs[name] for name in ("recipe", "model", "data") if name in train.inputs}
    return {**files, **inputs}


def _network(session: Session) -> dict[str, Any]:
    facts = session.facts.summary()
    return {
        "input": INPUT,
        "output": OUTPUT,
        "layout": session.options.layout,
        **{key: facts[key] for key in ("channels", "classes", "labels", "value_range", *_GEOMETRY)},
    }


def _variant(session: Session, source: Source, folder: Path) -> dict[str, Any]:
    import onnx

    opsets = {entry.domain: entry.version for entry in onnx.load(folder / source.file).opset_import}
    return {
        "precision": source.precision,
        "file": source.file,
        "io": session.options.io if source.precision == "fp16" else "fp32",
        "opset": opsets[""],
        "kept_fp32": list(source.keep),
    }


def _evidence(report: Report, precisions: Sequence[str]) -> dict[str, Any]:
    """What this machine measured of the files that are shipped, and how accurate the original is."""
    shipped = {f"onnx-{precision}" for precision in precisions}
    return {
        "verdict": report["verdict"],
        "parity": [row for row in report["parity"] if row["variant"] in shipped],
        "accuracy": [row for row in report["accuracy"] if row["variant"] in {ORIGINAL, *shipped}],
    }
