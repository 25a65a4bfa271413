"""What is live on this device, whether it is whole, and what else is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fcnship.device.engine_files import UnlikeEngine, read_about
from fcnship.device.gc import bytes_in
from fcnship.device.installed import Installed, read_installed
from fcnship.device.key import key_of, key_parts
from fcnship.device.manifest import Manifest
from fcnship.device.probe import Probe
from fcnship.device.store import Link, Root, hashed
from fcnship.device.verify import verify_release
from fcnship.errors import ArtifactError, EnvironmentLacks, FcnshipError


class LiveDamaged(ArtifactError):
    """What is live is not whole. ``facts`` holds the whole status."""

    facts: Mapping[str, Any]


def status(path: Path, device: Probe) -> dict[str, Any]:
    """The facts of a root; nothing is changed, and no lock is taken.

    Raises:
        ArtifactError: what is live is damaged.
        EnvironmentLacks: signatures are required and there is no ssh-keygen.
    """
    root = Root(path)
    live, before = _linked(root, "current", device), _linked(root, "previous", device)
    if before and live and before["release"] == live["release"]:
        before = None
    facts = {
        "root": str(root.path),
        "current": live,
        "previous": before,
        "releases": root.names(),
        "engines": hashed(root.engines),
        "used_bytes": bytes_in(root.path) if root.path.is_dir() else 0,
        "signature_required": root.signers(None) is not None,
    }
    if live and not live["whole"]:
        error = LiveDamaged(
            f"the live release in {root.path} is damaged",
            cause=live["fault"],
            next="install its drop again, or fcnship-device rollback",
        )
        error.facts = facts
        raise error
    return facts


def _linked(root: Root, link: Link, device: Probe) -> dict[str, Any] | None:
    """What a link leads to. ``engine_matches``: its engine was built for this very device."""
    release = root.linked(link)
    if release is None:
        return None
    facts: dict[str, Any] = {"release": release, "whole": False, "fault": "", "name": None, "version": None}
    try:
        verified = verify_release(root.release(release), root.signers(None))
        facts |= {"name": verified.manifest.name, "version": verified.manifest.version}
        record = read_installed(root.release(release))
        if record is None or not record.fits(verified.manifest):
            return {**facts, "fault": f"its install.json is {'another' if record else 'missing'}"}
        if record.engine_key is not None:
            read_about(root.engines / record.engine_key)
        return {**facts, "whole": True, **_runs(root, verified.manifest, record, device)}
    except EnvironmentLacks:  # without ssh-keygen nobody knows
        raise
    except UnlikeEngine as error:
        return {**facts, "fault": f"its engine is damaged: {error}"}
    except FcnshipError as error:
        return {**facts, "fault": f"{error.what}: {error.cause}"}


def _runs(root: Root, manifest: Manifest, record: Installed, device: Probe) -> dict[str, Any]:
    key = record.engine_key
    wanted = key and key_of(key_parts(manifest, record.precision, device))
    return {
        "backend": record.backend,
        "precision": record.precision,
        "engine": record.engine,
        "engine_matches": None if key is None else key == wanted,
        "installed": record.time,
        "signer": record.signer,
    }
