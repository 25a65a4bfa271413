"""Makes a drop from a run: everything that a device needs, whole or not at all."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnship.device.manifest import MANIFEST, read_manifest
from fcnship.errors import ArtifactError, UsageError
from fcnship.events import Events
from fcnship.hashing import sha256_of_file
from fcnship.runs import named_session, options_of
from fcnship.session import Session
from fcnship.ship.signing import check_signable, sign
from fcnship.ship.tar import Form, form_of, write_tar
from fcnship.ship.target import Earlier, appearing, check_target
from fcnship.stages.engine import Source, sources_of

if TYPE_CHECKING:
    from fcnship.ship.golden import Golden

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What ``fcnship drop`` was asked for; an empty ``version`` or ``live`` means the default."""

    run: Path
    out: Path
    sign: Path | None = None
    version: str = ""
    live: str = ""


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A drop that was written.

    ``release`` is the SHA-256 of its manifest, ``bytes`` the size of all its files, ``signer`` the signing
    key's fingerprint, ``replaced`` the version of the drop that stood there before. ``warnings`` say which
    precision's golden data prove little.
    """

    path: Path
    form: Form
    release: str
    name: str
    version: str
    created: str
    live: str
    precisions: tuple[str, ...]
    profiles: tuple[str, ...]
    golden: int
    files: int
    bytes: int
    signer: str | None
    replaced: str | None
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The facts as ``fcnship drop --json`` prints them."""
        facts = {**asdict(self), "path": str(self.path)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}


def make_drop(request: Request, events: Events) -> Drop:
    """Check the run and the target, measure, write.

    Raises:
        UsageError: no run folder, not built, out of date; the target or the key cannot be used.
        ArtifactError: a file of the run is damaged, or a build holds it.
        ParityFailed, AccuracyBelowFloor, LatencyExceeded: the run's report says fail, or an ONNX file does
            not hold against its golden data.
        EnvironmentLacks: ssh-keygen or Polygraphy is missing.
    """
    session = named_session(options_of(request.run), events)
    form = form_of(request.out)
    earlier = check_target(request.out, form)
    check_version(request.version)
    if request.sign:
        check_signable(request.sign)
    with session.workspace.locked():
        return _made(request, session, form, earlier)


def _made(request: Request, session: Session, form: Form, earlier: Earlier | None) -> Drop:
    from fcnship.ship.golden import golden_of, weak
    from fcnship.ship.manifest import live_of
    from fcnship.ship.shippable import report_to_ship

    report = report_to_ship(session)
    sources = sources_of(session)
    live = live_of(request.live, sources)
    session.events.stage_started("drop")
    golden = golden_of(session, sources)
    created = datetime.fromisoformat(report["created"])
    version = request.version or f"{created:%Y.%m.%d}"
    signer = None
    with appearing(request.out) as made:
        folder = made if form == "folder" else made.with_name("content")
        told = {"version": version, "live": live}
        _write_contents(folder, session, report, sources, golden, **told, signed=request.sign is not None)
        if request.sign:
            signer = sign(folder / MANIFEST, request.sign)
        manifest = read_manifest(folder)
        if form != "folder":
            write_tar(folder, made, form, created)
    return Drop(
        path=request.out,
        form=form,
        release=manifest.sha256,
        name=manifest.name,
        version=version,
        created=manifest.created,
        live=live,
        precisions=tuple(variant.precision for variant in manifest.variants),
        profiles=tuple(map(str, manifest.profiles)),
        golden=len(golden),
        files=len(manifest.files),
        bytes=manifest.size_bytes,
        signer=signer,
        replaced=earlier.version if earlier else None,
        warnings=weak(golden),
    )


def check_version(version: str) -> None:
    """Refuse a version that is no single word of letters, digits and ``._+-``.

    Raises:
        UsageError: it is another.
    """
    if version and not _VERSION.fullmatch(version):
        raise UsageError(
            f"{version!r} is not a version",
            cause="it is one word of at most 64 letters, digits, dots, dashes, pluses and underscores",
            next="write it like --version 1.4.0; the day of the build if left out",
        )


def _write_contents(
    folder: Path,
    session: Session,
    report: dict[str, Any],
    sources: Sequence[Source],
    golden: Sequence[Golden],
    *,
    version: str,
    live: str,
    signed: bool,
) -> None:
    """Every file of the drop but its signature. The README says what the manifest does, so it comes late."""
    from fcnship.ship.manifest import manifest_bytes, manifest_facts
    from fcnship.ship.readme import readme_text
    from fcnship.ship.zipapp import NAME, zipapp_bytes

    for source in sources:
        _copy_network(session, source, folder / source.file)
    _write(folder / NAME, zipapp_bytes(), 0o755)
    for each in golden:
        _write(folder / each.case.file, each.content)
    facts = manifest_facts(session, report, sources, golden, folder, version=version, live=live)
    _write(folder / "README.md", readme_text(facts, signed=signed).encode())
    _write(folder / MANIFEST, manifest_bytes(facts, folder))


def _copy_network(session: Session, source: Source, target: Path) -> None:
    """Byte for byte as its stage recorded it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(session.workspace.path(source.file), target)
    _set_mode(target, 0o644)
    if sha256_of_file(target) != session.record(source.stage).sha256_of(source.file):
        raise ArtifactError(
            f"{session.workspace.path(source.file)} changed while it was copied",
            cause="another program writes to it",
            next="run the same fcnship build again, then drop",
        )


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    _set_mode(path, mode)


def _set_mode(path: Path, mode: int) -> None:
    """A USB stick's FAT keeps no modes and refuses to change them; the drop is whole without."""
    with contextlib.suppress(PermissionError):
        path.chmod(mode)
