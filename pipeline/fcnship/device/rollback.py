"""Go back to the release before, and be able to come forward again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fcnship.device.backends import Asked, chosen_backend
from fcnship.device.install import record_facts
from fcnship.device.installed import Installed, read_installed
from fcnship.device.probe import Probe
from fcnship.device.proving import Choice, Say, engine_of, prove
from fcnship.device.store import Root
from fcnship.device.verify import Verified, verify_release
from fcnship.errors import ArtifactError, UsageError


def rollback(path: Path, allowed_signers: Path | None, device: Probe, say: Say) -> dict[str, Any]:
    """Swap ``current`` and ``previous``, after what is to go live proved itself once more on this device.

    It runs as its install.json says. Its engine is taken if its key still matches, and built anew if not:
    after an upgrade of JetPack no engine is loaded in hope.

    Raises:
        UsageError: there is nothing to roll back to, or the root cannot be used.
        ArtifactError: that release is damaged, or not signed as it must be, or another command is at work.
        ParityFailed, EnvironmentLacks, DeviceError: it does not run here as it should; nothing changed.
    """
    root = Root(path)
    if not root.path.is_dir():
        raise _nothing(root)
    with root.locked():
        live, back = root.linked("current"), root.previous()
        if back is None:
            raise _nothing(root)
        say(f"verifying {root.release(back)}")
        verified, before = _whole(root, back, allowed_signers)
        record = _proved(root, verified, before, device, say)
        record.write(root.release(back))
        # A kill between the two leaves both on the release that was asked for, which is whole.
        root.link("current", back)
        if live and root.release(live).is_dir():
            root.link("previous", live)
        return {
            "release": back,
            "name": verified.manifest.name,
            "version": verified.manifest.version,
            "previous": root.previous(),
            "changed": True,
            "signer": verified.signer,
            **record_facts(record),
        }


def _whole(root: Root, release: str, allowed_signers: Path | None) -> tuple[Verified, Installed]:
    verified = verify_release(root.release(release), root.signers(allowed_signers))
    record = read_installed(root.release(release))
    if record is None or not record.fits(verified.manifest):
        raise ArtifactError(
            f"{root.release(release)} is not what was installed there",
            cause=f"its install.json is {'another' if record else 'missing'}",
            next="install the drop that you want again: fcnship-device install DROP",
        )
    return verified, record


def _proved(root: Root, verified: Verified, before: Installed, device: Probe, say: Say) -> Installed:
    asked: Asked = "tensorrt" if before.backend == "tensorrt" else "onnxruntime"
    backend = chosen_backend(asked, device, verified.manifest)
    choice = Choice(backend=backend, precision=before.precision)
    engine = engine_of(root, verified.manifest, choice, device, say)
    return prove(root, verified.manifest, choice, engine, device, verified.signer, say)


def _nothing(root: Root) -> UsageError:
    return UsageError(
        f"there is nothing to roll back to in {root.path}",
        cause="a second release was never installed there, or gc or a killed command took it away",
        next="fcnship-device status shows what is there; install the older drop again",
    )
