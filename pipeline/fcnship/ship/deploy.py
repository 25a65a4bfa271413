"""``fcnship deploy``: a drop goes to a device by ssh, and goes live there or changes nothing."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fcnship.device.manifest import Manifest
from fcnship.device.placing import unpack
from fcnship.device.verify import contents, open_drop, read_head
from fcnship.errors import ArtifactError, FcnshipError, UsageError
from fcnship.events import Events
from fcnship.ship.destination import Destination, destination_of
from fcnship.ship.merge import SCHEMA, keep_device_results, run_of_drop
from fcnship.ship.on_device import DeviceProgram, error_of_device
from fcnship.ship.ssh import Connection
from fcnship.ship.upload import Package, Plan, check_there, checked, names_of, planned, upload
from fcnship.ship.zipapp import NAME
from fcnship.workspace import StageRecord

_FACTS = (
    *("host", "port", "root", "release", "name", "version", "precision", "onnx_sha256"),
    *("dry_run", "sent_bytes", "reused", "previous"),
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for. ``root``, ``backend`` and ``precision`` go to the device's own command."""

    drop: Path
    host: str
    port: int | None
    root: str
    backend: str
    precision: str
    bench: bool
    dry_run: bool
    run: Path | None
    events: Events


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What happened. ``port`` is the one that was asked for.

    ``device`` is what ``fcnship-device install`` said, ``bench`` what its bench measured.

    Of a dry run, ``sent`` and ``sent_bytes`` are what would be sent, and ``device`` is None.
    """

    host: str
    port: int | None
    root: str
    release: str
    name: str
    version: str
    precision: str
    onnx_sha256: str
    dry_run: bool
    sent: tuple[str, ...]
    sent_bytes: int
    reused: int
    previous: str | None
    device: Mapping[str, Any] | None = field(default=None, repr=False)
    bench: Mapping[str, Any] | None = field(default=None, repr=False)
    report: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether another release is live than before; of a dry run, whether one would be."""
        return self.previous != self.release if self.device is None else bool(self.device.get("changed"))

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "schema": SCHEMA,
            **{key: getattr(self, key) for key in _FACTS},
            "changed": self.changed,
            "sent": list(self.sent),
            "device": self.device,
            "bench": self.bench,
            "report": str(self.report) if self.report else None,
            "warnings": list(self.warnings),
        }


def deploy(request: Request) -> Deployment:
    """Verify the drop here, bring what lacks to the device, and have it installed there.

    Raises:
        UsageError: the drop, the host or an option is none.
        InputRefused, ArtifactError: the drop is not what its manifest says; or the device says so.
        DeviceError: the device cannot be reached or does not let us in, or its store cannot be written.
        FcnshipError: whatever the device's own command ended with; ``run`` of the error is the Deployment.
    """
    _check(request)
    to = destination_of(request.host, request.port)
    with contextlib.ExitStack() as opened:
        with _step(request.events, "verify"):
            package = opened.enter_context(_unpacked(request.drop))
            _check_precision(package.manifest, request.precision)
            run = _run(package.manifest, request)
        with _step(request.events, "connect"):
            connection = opened.enter_context(Connection(to, request.events.say))
            plan = _survey(package, connection, request)
        if request.dry_run:
            return _outcome(request, package, plan, to)
        if not plan.whole:
            with _step(request.events, "upload"):
                upload(package, plan, connection, request.events)
        with _told_when_stopped(request.events, plan, to):
            return _deployed(request, package, plan, connection, run)


def _deployed(
    request: Request, package: Package, plan: Plan, connection: Connection, run: Path | None
) -> Deployment:
    check_there(package, plan, connection)
    program = DeviceProgram(
        connection=connection, root=plan.root, folder=plan.folder(package.manifest.sha256)
    )
    with _step(request.events, "install"):
        device = program.install(request.backend, request.precision)
        failed = error_of_device(connection.to.name, device)
        if failed:
            raise _with_outcome(failed, request, package, plan, connection.to, device, run)
    bench, warnings = None, []
    try:
        checked(connection.ask("clean", **package.request(plan.root)), connection.to.name)
        if request.bench:
            with _step(request.events, "bench"):
                bench = program.bench(package.manifest.sha256)
        failed = error_of_device(connection.to.name, bench) if bench else None
    except FcnshipError as error:
        failed = error
    if failed:
        warnings, bench = [f"the release is live, but what came after it failed: {failed.what}"], None
    return _reported(_outcome(request, package, plan, connection.to, device, bench, warnings), run)


def _with_outcome(
    error: FcnshipError,
    request: Request,
    package: Package,
    plan: Plan,
    to: Destination,
    device: Mapping[str, Any],
    run: Path | None,
) -> FcnshipError:
    """The device's refusal, with what it measured before: that goes into the report too."""
    found = _outcome(request, package, plan, to, device)
    error.run = _reported(found, run) if device.get("parity") else found
    return error


def _reported(found: Deployment, run: Path | None) -> Deployment:
    """Written into the run's report, where the run is known. What is live stays so if that fails."""
    if run is None:
        return found
    try:
        return replace(found, report=keep_device_results(run, found.as_json()))
    except FcnshipError as error:
        told = f"the report of {run} was not written anew: {error.what}"
        return replace(found, warnings=(*found.warnings, told))


def _outcome(
    request: Request,
    package: Package,
    plan: Plan,
    to: Destination,
    device: Mapping[str, Any] | None = None,
    bench: Mapping[str, Any] | None = None,
    warnings: list[str] | None = None,
) -> Deployment:
    manifest = package.manifest
    variant = manifest.variant(request.precision or manifest.live)
    return Deployment(
        host=to.name,
        port=to.port,
        root=plan.root,
        release=manifest.sha256,
        name=manifest.name,
        version=manifest.version,
        precision=variant.precision,
        onnx_sha256=manifest.file(variant.file).sha256,
        dry_run=request.dry_run,
        sent=tuple(sorted(plan.send)),
        sent_bytes=plan.send_bytes,
        reused=len(plan.reuse),
        previous=plan.current,
        device=device,
        bench=bench,
        warnings=tuple(warnings or ()),
    )


@contextlib.contextmanager
def _told_when_stopped(events: Events, plan: Plan, to: Destination) -> Iterator[None]:
    """Ctrl-C ends the line, and the device ends with the line: say how to see what is live there."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        words = [f"{plan.root}/current/{NAME}", "status", "--root", plan.root]
        told = f"{to.name} stops too, and has the old release or the new one, whole"
        events.say(f"{told}: ssh {to.as_typed} {shlex.join(words)}")
        raise


def _survey(package: Package, connection: Connection, request: Request) -> Plan:
    found = connection.ask("survey", files=package.files, **package.request(request.root))
    plan = planned(package, checked(found, connection.to.name), connection.to)
    if plan.whole:
        told = "all of it is there"
    else:
        told = f"{plan.send_bytes / 1e6:.1f} MB to send: {names_of(plan.send) or 'nothing'}"
    request.events.say(told)
    return plan


def _run(manifest: Manifest, request: Request) -> Path | None:
    """The run folder whose report the device's results go into; a damaged one that nobody named is no bar."""
    try:
        return run_of_drop(manifest, request.run)
    except FcnshipError as error:
        if request.run is not None:
            raise
        request.events.say(f"no report will be written: {error.what}")
        return None


def _check(request: Request) -> None:
    root = request.root
    if not root.startswith(("/", "~/")) or not root.isprintable() or ".." in root.split("/"):
        raise UsageError(
            f"--root {root!a} is not a folder on a device",
            cause="it is a whole path there, from / or from ~/",
            next="write it like --root /data/fcnship, or leave it out",
        )


def _check_precision(manifest: Manifest, precision: str) -> None:
    if precision:
        manifest.variant(precision)


@contextlib.contextmanager
def _unpacked(place: Path) -> Iterator[Package]:
    """The drop as a folder, every byte of it verified. An archive is unpacked to a temporary one."""
    head = read_head(open_drop(place), None)
    if not any(file.path == NAME for file in head.manifest.files):
        raise ArtifactError(
            f"{place} holds no {NAME}, which is what installs it",
            cause="the drop was put together without it",
            next="make the drop with fcnship drop",
        )
    if place.is_dir():
        for _ in contents(head):
            pass
        yield Package.of(head.manifest, place)
        return
    with tempfile.TemporaryDirectory(prefix="fcnship-drop-") as temporary:
        unpack(head, Path(temporary))
        yield Package.of(head.manifest, Path(temporary))


@contextlib.contextmanager
def _step(events: Events, name: str) -> Iterator[None]:
    """Tell that a step begins and how it ended."""
    started = time.monotonic()
    events.stage_started(name)
    try:
        yield
    except BaseException:
        events.stage_ended(StageRecord(name=name, status="failed", seconds=time.monotonic() - started))
        raise
    events.stage_ended(StageRecord(name=name, status="done", seconds=time.monotonic() - started))
