"""What devices measured, in the report of the run that a drop was made of: further variants beside its own.

It is kept in the run folder, one file a device, and the report stage reads it: a report that is written anew
has it again, and one of a network that was changed since has it no more.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnship.errors import ArtifactError, FcnshipError, UsageError
from fcnship.workspace import Workspace

if TYPE_CHECKING:
    from fcnship.device.manifest import Manifest

FOLDER = "devices"
SCHEMA = "fcnship.deploy/1"
_PARITY = (
    *("reference", "height", "width", "batch", "max_abs", "mean_abs", "cosine", "argmax_flips"),
    *("tolerance", "passed", "fault"),
)
# A device has no original to be timed in turns with.
_ALONE = {"ratio": None, "ratio_low": None, "ratio_high": None, "verdict": "alone"}
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class DeviceRows:
    """What the report has of every device that runs what the run folder holds: facts, and rows of tables."""

    devices: tuple[Row, ...]
    variants: tuple[Row, ...]
    parity: tuple[Row, ...]
    latency: tuple[Row, ...]


def run_of_drop(manifest: Manifest, given: Path | None) -> Path | None:
    """The run folder that a drop was made of: the one given, or ``artifacts/<name>`` if it is that one.

    Raises:
        UsageError: the given one is no run folder, or another one.
    """
    run = given or Path("artifacts") / manifest.name
    if not (run / "run.json").is_file():
        if given is None:
            return None
        raise UsageError(
            f"{given} is no run folder",
            cause="there is no run.json in it",
            next="name a folder that fcnship build made, or leave out --run",
        )
    if _networks(run) & {manifest.file(variant.file).sha256 for variant in manifest.variants}:
        return run
    if given is None:
        return None
    raise UsageError(
        f"the drop {manifest.name} {manifest.version} was not made of {given}",
        cause="none of its ONNX files is one of that run; it may have been built again since",
        next=f"make the drop again: fcnship drop {given} -o DIR; or leave out --run",
    )


def keep_device_results(run: Path, deployment: Mapping[str, Any]) -> Path:
    """Keep what a device said, in place of what it said before, and write the run's reports anew.

    A bench that was left out this time is kept from the last, where nothing on the device has changed since.

    Raises:
        FcnshipError: the run is not whole, or in use, or the device's rows do not fit the report's schema. A
            verdict that has become fail is not raised.
    """
    from fcnship.reports.json_report import report_at
    from fcnship.runs import options_of, run_again

    options, workspace = options_of(run), Workspace(run)
    _check_rows(report_at(run), deployment)
    with _in_turn(run):
        with workspace.locked():
            place = f"{FOLDER}/{_place(deployment)}.json"
            bench = deployment["bench"] or _bench_before(workspace.path(place), deployment)
            workspace.write_text(place, json.dumps({**deployment, "bench": bench}, indent=1) + "\n")
        try:
            run_again(options, ("report",), None)
        except FcnshipError as error:
            if error.run is None:
                raise
    return workspace.path("report.json")


def _bench_before(path: Path, now: Row) -> Any:
    """What was measured of the very same: the release that was live already, in the same precision."""
    try:
        before = _read(path)
    except ArtifactError:  # there is none, or it is damaged and written anew
        return None
    same = all(before.get(key) == now[key] for key in ("release", "precision"))
    return before.get("bench") if same and not now["changed"] else None


@contextlib.contextmanager
def _in_turn(run: Path) -> Iterator[None]:
    """Wait for the results of another deploy: to several devices at once, each has its own process."""
    descriptor = os.open(run, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_rows(report: Row, deployment: Row) -> None:
    """A device says what it likes: what would spoil the report is not kept."""
    from fcnship.reports.json_report import canonical_report

    try:
        more = {"parity": list(_parity(deployment)), "latency": list(_latency(deployment))}
        whole = {**report, **{key: [*report[key], *rows] for key, rows in more.items()}}
        canonical_report({**whole, "devices": [_facts(deployment)]})
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{deployment['host']} says something else than what it measured",
            cause=f"{type(error).__name__}: {error}",
            next="look at its answer with --json",
        ) from None


def device_files(run: Path) -> list[Path]:
    """What is kept of devices, one file each."""
    return sorted((run / FOLDER).glob("*.json"))


def device_rows(run: Path, variants: Sequence[Row]) -> DeviceRows:
    """Rows of the devices that run one of the run's own networks, as ``variants`` lists them.

    Raises:
        ArtifactError: a file that is kept of a device cannot be read.
    """
    networks = {row["sha256"]: row for row in variants if row["sha256"]}
    kept = [_read(path) for path in device_files(run)] if networks else []
    ran = [(d, networks[d["onnx_sha256"]]) for d in kept if d["onnx_sha256"] in networks]
    return DeviceRows(
        devices=tuple(_facts(deployment) for deployment, _ in ran),
        variants=tuple(_variant(deployment, network) for deployment, network in ran),
        parity=tuple(row for deployment, _ in ran for row in _parity(deployment)),
        latency=tuple(row for deployment, _ in ran for row in _latency(deployment)),
    )


def _networks(run: Path) -> set[str]:
    """The hashes of a run's ONNX files."""
    records = Workspace(run).records().values()
    return {a.sha256 for record in records for a in record.artifacts if a.path.endswith(".onnx")}


def _read(path: Path) -> dict[str, Any]:
    try:
        deployment = json.loads(path.read_text(encoding="utf-8"))
        if deployment["schema"] != SCHEMA or not isinstance(deployment["onnx_sha256"], str):
            raise ValueError("it is of another schema")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} cannot be read as what a device has said",
            cause=str(error),
            next="remove it, or deploy again",
        ) from None
    return dict(deployment)


def _name(deployment: Row) -> str:
    return f"device-{deployment['precision']}@{_place(deployment)}"


def _place(deployment: Row) -> str:
    """The host, and the port that was named for it: behind one name several devices may be forwarded."""
    port = deployment.get("port")
    return f"{deployment['host']}:{port}" if port else str(deployment["host"])


def _facts(deployment: Row) -> Row:
    said, bench = deployment["device"], deployment["bench"] or {}
    facts = {key: deployment[key] for key in ("release", "version", "precision")}
    facts |= {"host": _place(deployment)}
    more = {key: said.get(key) for key in ("backend", "engine", "probe")}
    return {**facts, "installed": said["ok"], **more, "power": bench.get("power")}


def _variant(deployment: Row, network: Row) -> Row:
    return {
        "variant": _name(deployment),
        "path": network["path"],
        "bytes": network["bytes"],
        "sha256": network["sha256"],
        "status": "run",
        "reason": None,
    }


def _parity(deployment: Row) -> Iterator[Row]:
    for row in deployment["device"].get("parity") or ():
        yield {**{key: row[key] for key in _PARITY}, "variant": _name(deployment)}


def _latency(deployment: Row) -> Iterator[Row]:
    for row in (deployment["bench"] or {}).get("latency") or ():
        yield {**row, "variant": _name(deployment), **_ALONE}
