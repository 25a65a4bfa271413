"""What is live on this device, opened to be run: for ``bench`` and ``run``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fcnship.device.backends import Backend
from fcnship.device.engines import Engine, installed_engine
from fcnship.device.installed import Installed, read_installed
from fcnship.device.manifest import Manifest, read_manifest
from fcnship.device.probe import Probe
from fcnship.device.selftest import opened_backend
from fcnship.device.store import Root
from fcnship.errors import ArtifactError, InputRefused, UsageError
from fcnship.hashing import sha256_of_file


@dataclass(frozen=True, kw_only=True)
class Live:
    """The live release: its folder, what it is, what runs of it."""

    folder: Path
    manifest: Manifest
    record: Installed
    engine: Engine | None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Backend]:
        """Its network, opened for the block.

        Raises:
            ArtifactError: its file is damaged.
            DeviceError: the runtime does not open it.
        """
        if self.engine is None:
            self.check(self.manifest.variant(self.record.precision).file)
        precision, backend = self.record.precision, self.record.backend
        network = opened_backend(self.folder, self.manifest, precision, backend, self.engine)
        try:
            yield network
        finally:
            network.close()

    def check(self, name: str) -> None:
        """Hold a file of the release against the manifest's hash.

        Raises:
            ArtifactError: it is another, or gone.
        """
        try:
            same = sha256_of_file(self.folder / name) == self.manifest.file(name).sha256
            fault = "" if same else "its SHA-256 is not the one in the manifest"
        except OSError as error:
            fault = error.strerror or str(error)
        if fault:
            raise _damaged(self.folder / name, fault)


def live_release(path: Path, probe: Probe) -> Live:
    """What is live in a root, on the device that it was installed for. Takes no lock, changes nothing.

    Raises:
        UsageError: nothing is installed there.
        ArtifactError: it is damaged, or its engine was built for another device or TensorRT.
    """
    root = Root(path)
    name = root.linked("current")
    if name is None:
        raise UsageError(
            f"nothing is installed in {root.path}",
            cause="no drop went live there, or --root names another folder",
            next="fcnship-device install DROP, or name the root with --root",
        )
    manifest, record = _read(root.release(name))
    engine = None
    if record.engine_key is not None:
        engine = installed_engine(manifest, record.precision, root.engines, probe, record.engine_key)
    return Live(folder=root.release(name), manifest=manifest, record=record, engine=engine)


def _read(folder: Path) -> tuple[Manifest, Installed]:
    if not folder.is_dir():
        raise _damaged(folder, "the folder that is live is gone")
    try:
        manifest = read_manifest(folder)
    except (UsageError, InputRefused) as error:  # here it is no wrong command, and no stranger's file
        raise _damaged(folder, error.cause) from None
    record = read_installed(folder)
    if record is None:
        raise _damaged(folder, "its install.json is missing")
    if manifest.sha256 != folder.name or not record.fits(manifest):
        raise _damaged(folder, "its manifest or its install.json is another")
    return manifest, record


def _damaged(path: Path, cause: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is not what was installed",
        cause=cause,
        next="install the drop again, or fcnship-device rollback",
    )
