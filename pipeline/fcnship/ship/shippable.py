"""Which runs may leave: whole, up to date, and found right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fcnship.driver import AGAIN, Change, stale
from fcnship.errors import UsageError
from fcnship.runs import Run, check_whole, verdict_of
from fcnship.session import Session
from fcnship.stages import STAGES
from fcnship.stages.report import compose
from fcnship.workspace import Workspace


def report_to_ship(session: Session) -> dict[str, Any]:
    """The report of a run that may be dropped, of this machine alone. Imports no TensorFlow.

    What a device has made of an earlier drop is no reason against another one.

    Raises:
        UsageError: a stage was never done or has failed, or something changed since it was done.
        ArtifactError: a file of the run is not what was built.
        ParityFailed, AccuracyBelowFloor, LatencyExceeded: as the report's verdict is.
    """
    for stage in STAGES:
        check_whole(session.workspace, stage.name)
    report = compose(session, with_devices=False)
    check_verdict(session.workspace, report)
    check_current(session)
    return report


def check_verdict(workspace: Workspace, report: dict[str, Any]) -> None:
    """Refuse a run whose report says fail, with the exit code of its first reason."""
    run = Run(folder=workspace.root, stages=(), report=report)
    if not run.passed:
        error = verdict_of(run)
        raise type(error)(
            f"{workspace.root} is not dropped, its report says fail: {error.what}",
            cause=error.cause,
            next=error.next,
        )


def check_current(session: Session) -> None:
    """Refuse a run that a build would change: what ships is what was validated."""
    changed = {stage: _names(changes) for stage, changes in stale(STAGES, session).items()}
    told = "; ".join(f"{stage}: {', '.join(names)}" for stage, names in changed.items() if names)
    if told:
        raise UsageError(
            f"{session.workspace.root} is not dropped, it is out of date: {told}",
            cause="that changed since the run was built, and a drop ships what was validated",
            next="run the same fcnship build again; fcnship why says what it will redo",
        )


def _names(changes: Iterable[Change]) -> list[str]:
    return [change.input for change in changes if change.now != AGAIN]
