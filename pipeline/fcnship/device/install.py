"""Make a drop live, in one step or not at all.

The order: lock; signature and names; is the device fit; room; copy to a temporary name, hashing what is
copied; flush; rename to ``releases/<sha256>``; build the engine, or take one whose key matches; self-test at
every profile; install.json; and only then ``previous`` and ``current``. Nothing of the drop is loaded or
executed before every byte of it was verified. A kill at any point leaves ``current`` on the release that was
live, or on the new one, proved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fcnship.device.backends import Asked, chosen_backend
from fcnship.device.installed import Installed, read_installed
from fcnship.device.key import key_of, key_parts
from fcnship.device.manifest import INSTALLED, SIGNATURE, Manifest
from fcnship.device.placing import place_release
from fcnship.device.probe import Probe
from fcnship.device.proving import Choice, Say, engine_of, prove, runtime_of
from fcnship.device.room import check_profiles, check_room
from fcnship.device.store import DEFAULT_ROOT, Root, write_whole
from fcnship.device.verify import Head, contents, open_drop, read_head, verify_release
from fcnship.errors import ArtifactError, FcnshipError, UsageError


@dataclass(frozen=True, kw_only=True)
class InstallRequest:
    """What to install, and where. ``precision`` None is what the drop itself makes live; ``engine`` is a
    folder with a ready engine; ``allowed_signers`` None is the root's own list, if it has one.
    """

    drop: Path
    root: Path = DEFAULT_ROOT
    backend: Asked = "auto"
    precision: str | None = None
    allowed_signers: Path | None = None
    engine: Path | None = None
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class _Plan:
    head: Head
    choice: Choice
    whole: bool  # the release is on the disk already, every byte of it

    @property
    def manifest(self) -> Manifest:
        return self.head.manifest


def install(request: InstallRequest, device: Probe, say: Say) -> dict[str, Any]:
    """Install a drop and give the facts of it; ``say`` is told each step.

    Raises:
        UsageError: there is no drop or no such precision, or the root cannot be used.
        InputRefused: the manifest, or one of its profiles, is refused.
        ParityFailed: a golden output differs by more than its tolerance.
        EnvironmentLacks, DeviceError: the device is not fit for the drop.
        ArtifactError: the drop is damaged or not signed as it must be, the engine given is another's, or
            another installer is at work.
    """
    root, drop = Root(request.root), open_drop(request.drop)
    if request.dry_run:
        root.check_ours()
        return _foretold(root, _plan(root, _head(root, request), request, device), device)
    with root.locked():
        _discard_unproved(root)
        say(f"verifying {drop.place}")
        return _installed(root, _plan(root, _head(root, request), request, device), device, say)


def _head(root: Root, request: InstallRequest) -> Head:
    return read_head(open_drop(request.drop), root.signers(request.allowed_signers))


def _plan(root: Root, head: Head, request: InstallRequest, device: Probe) -> _Plan:
    """What is to be done, once it is clear that the device is fit for it."""
    manifest = head.manifest
    check_profiles(manifest)
    backend = chosen_backend(request.backend, device, manifest)
    precision = request.precision or manifest.live
    manifest.variant(precision)
    if request.engine and backend != "tensorrt":
        raise UsageError(
            f"--engine {request.engine} is for TensorRT, and {backend} was chosen",
            cause="this device has no GPU, or --backend says so",
            next="leave out --engine",
        )
    whole = is_whole(root, manifest.sha256)
    check_room(manifest, device, there_already=whole)
    choice = Choice(backend=backend, precision=precision, ready=request.engine)
    return _Plan(head=head, choice=choice, whole=whole)


def is_whole(root: Root, release: str) -> bool:
    """Whether a release is there and every byte of it is its manifest's."""
    try:
        verify_release(root.release(release), None)
    except FcnshipError:
        return False
    return True


def _installed(root: Root, plan: _Plan, device: Probe, say: Say) -> dict[str, Any]:
    """The release's files, its proof, and the links, in that order. What does not prove itself goes again."""
    release = plan.manifest.sha256
    there = root.release(release).exists()
    if plan.whole:
        for _ in contents(plan.head):
            pass
        if plan.head.signature is not None:  # it may be a new one: no manifest vouches for it
            write_whole(root.release(release) / SIGNATURE, plan.head.signature, root.releases)
    else:
        say(f"copying {plan.manifest.size_bytes / 1e6:,.1f} MB to {root.release(release)}")
        place_release(root, plan.head)
    try:
        record, changed = _proved(root, plan, device, say)
    except BaseException:
        if not there:
            root.discard(root.release(release))
        raise
    changed = changed or root.linked("current") != release
    if changed:
        record.write(root.release(release))
        _go_live(root, release)
    return {**_facts(root, plan, changed), **record_facts(record)}


def _proved(root: Root, plan: _Plan, device: Probe, say: Say) -> tuple[Installed, bool]:
    """What install.json is to say, and whether that is new. What proved itself just so before is believed."""
    engine = engine_of(root, plan.manifest, plan.choice, device, say)
    before = _record(root, plan)
    same = before is not None and _runs_so(before, plan.choice, device, engine.key if engine else None)
    if before and same and not (engine and engine.built) and not plan.choice.ready:
        signer = plan.head.signer
        return replace(before, signer=signer), before.signer != signer
    record = prove(root, plan.manifest, plan.choice, engine, device, plan.head.signer, say)
    return record, not same or bool(engine and engine.built)


def _record(root: Root, plan: _Plan) -> Installed | None:
    """What install.json says of a whole release; None where it is missing or damaged: it is written anew."""
    try:
        record = read_installed(root.release(plan.manifest.sha256)) if plan.whole else None
    except ArtifactError:
        return None
    return record if record and record.fits(plan.manifest) else None


def _runs_so(record: Installed, choice: Choice, device: Probe, key: str | None) -> bool:
    """Whether a release proved itself just as it is to run now."""
    wanted = (choice.backend, runtime_of(choice, device), choice.precision, key)
    return (record.backend, record.runtime, record.precision, record.engine_key) == wanted


def _go_live(root: Root, release: str) -> None:
    """Swap the links; a kill between the two leaves both on the old release, which is live and whole."""
    live = root.linked("current")
    if live == release:
        return
    if live and root.release(live).is_dir():
        root.link("previous", live)
    root.link("current", release)


def _discard_unproved(root: Root) -> None:
    """Remove what a killed install had copied and not proved: not linked, and without install.json."""
    linked = {root.linked("current"), root.linked("previous")}
    for name in root.names():
        if name not in linked and not (root.release(name) / INSTALLED).exists():
            root.discard(root.release(name))


def _foretold(root: Root, plan: _Plan, device: Probe) -> dict[str, Any]:
    """What an install would do. Every file of the drop is verified, and nothing is written."""
    for _ in contents(plan.head):
        pass
    release, choice = plan.manifest.sha256, plan.choice
    record, key = _record(root, plan), None
    if choice.backend == "tensorrt":
        key = key_of(key_parts(plan.manifest, choice.precision, device))
    build = key is not None and not choice.ready and not (root.engines / key).is_dir()
    as_it_is = record is not None and _runs_so(record, choice, device, key)
    changed = build or not as_it_is or root.linked("current") != release
    would = {"copy_bytes": 0 if plan.whole else plan.manifest.size_bytes, "build_engine": build}
    facts = _facts(root, plan, changed)
    engine = key and {"key": key, "built": False, "seconds": 0.0}
    return {
        **facts,
        "previous": root.linked("current") if changed else facts["previous"],
        "backend": choice.backend,
        "precision": choice.precision,
        "engine": engine,
        "parity": [],
        "dry_run": True,
        "would": would,
    }


def _facts(root: Root, plan: _Plan, changed: bool) -> dict[str, Any]:
    return {
        "release": plan.manifest.sha256,
        "name": plan.manifest.name,
        "version": plan.manifest.version,
        "previous": root.previous(),
        "changed": changed,
        "signer": plan.head.signer,
    }


def record_facts(record: Installed) -> dict[str, Any]:
    """What a command says of a release that proved itself."""
    return {
        "backend": record.backend,
        "precision": record.precision,
        "engine": record.engine,
        "parity": list(record.parity),
    }
