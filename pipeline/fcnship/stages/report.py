"""report: the stage records and the measured rows as JSON, Markdown, HTML and JUnit."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fcnship.driver import StageResult
from fcnship.errors import ArtifactError
from fcnship.hashing import sha256_of_file, sha256_of_value
from fcnship.reports import write_reports
from fcnship.reports.json_report import read_report
from fcnship.session import Session
from fcnship.ship.merge import device_files, device_rows
from fcnship.stages.onnx import COMPUTED_IN
from fcnship.stages.train import MEASURED
from fcnship.stages.validate import FILE as VALIDATION
from fcnship.stages.validate import LATENCY
from fcnship.verify.accuracy_gate import accuracy_reasons, accuracy_warnings, held_to
from fcnship.verify.gates import against_baseline, judged, latency_reasons, latency_warnings
from fcnship.verify.int8_budget import budget_reasons
from fcnship.verify.latency import timing_warnings
from fcnship.verify.parity_reasons import parity_reasons
from fcnship.verify.unfit_sizes import must_not_use
from fcnship.version import __version__
from fcnship.workspace import StageRecord

FILES = ("report.json", "report.md", "report.html", "junit.xml")
_TABLES = ("parity", "tolerance", "refusals", "budget", "reproducers")
_ROWS = (*_TABLES, "environment", "variants", "accuracy", "parity_warnings")
_TIMES = ("measured", "latency", "timing")


class Report:
    """Writes ``report.json``, ``report.md``, ``report.html`` and ``junit.xml``."""

    name = "report"
    needs = ("validate",)
    libraries: tuple[str, ...] = ()

    def inputs(self, session: Session) -> Mapping[str, str]:
        """What the other stages recorded, and fcnship itself."""
        options, baseline = session.options, session.baseline
        return {
            "stage records": sha256_of_value(_stages(session)),
            "fcnship": __version__,
            "max slowdown": _limit(options.max_slowdown),
            "min accuracy": _limit(options.min_accuracy),
            "INT8 budget": _limit(options.int8_budget),
            "baseline": sha256_of_value(baseline) if baseline else "none",
            "devices": sha256_of_value([sha256_of_file(p) for p in device_files(session.workspace.root)]),
        }

    def requires(self, session: Session) -> None:
        """Nothing beyond the records."""

    def run(self, session: Session) -> StageResult:
        """Put the facts together and render them."""
        write_reports(compose(session), session.workspace.root)
        return StageResult(files=FILES)

    def ensures(self, session: Session, result: StageResult) -> None:
        """report.json fits its own schema."""
        read_report(session.workspace.path("report.json"))


def compose(session: Session, *, with_devices: bool = True) -> dict[str, Any]:
    """The report, schema fcnship.report/1; with what devices have measured since, or without."""
    rows = _written_by_validate(session, VALIDATION, _ROWS)
    devices = device_rows(session.workspace.root, rows["variants"] if with_devices else ())
    rows |= {"variants": [*rows["variants"], *devices.variants], "parity": [*rows["parity"], *devices.parity]}
    timed = _written_by_validate(session, LATENCY, _TIMES)
    allowed = session.options.max_slowdown
    latency = judged(timed["latency"], allowed)
    before, now = session.baseline, {**timed, "environment": rows["environment"]}
    baseline = against_baseline(before, now, allowed) if before else None
    accuracy = held_to(session.options.min_accuracy, rows["accuracy"])
    look_into = f"fcnship validate {shlex.quote(str(session.workspace.root))} --attribute"
    reasons = [
        *parity_reasons(rows, look_into),
        *accuracy_reasons(accuracy),
        *budget_reasons(accuracy, session.options.int8_budget),
        *latency_reasons(latency, baseline),
    ]
    facts = session.facts.summary()
    certificate = session.record("convert").facts.get("certificate") if session.converted else None
    report = {
        "schema": "fcnship.report/1",
        "name": session.workspace.root.name,
        "created": timed["measured"],
        "fcnship": __version__,
        "verdict": "fail" if reasons else "pass",
        "reasons": reasons,
        "must_not_use": must_not_use(accuracy, session.profiles),
        "warnings": [
            *_range_warnings(session),
            *_dtype_warnings(session),
            *rows["parity_warnings"],
            *(certificate["warnings"] if certificate else ()),
            *accuracy_warnings(accuracy),
            *timing_warnings(timed["timing"]),
            *latency_warnings(latency, baseline),
        ],
        "environment": rows["environment"],
        "model": facts,
        "data": session.record("validate").facts["data"],
        "profiles": [profile.as_json() for profile in session.profiles],
        "variants": rows["variants"],
        "stages": _stages(session),
        **{key: rows[key] for key in _TABLES},
        "accuracy": accuracy,
        "latency": [*latency, *devices.latency],
        "timing": timed["timing"],
    }
    found = {
        "certificate": certificate,
        "precision": _precision(session),
        "baseline": baseline,
        "attribution": rows.get("attribution"),
        "devices": list(devices.devices),
    }
    return {**report, **{key: value for key, value in found.items() if value}}


def _written_by_validate(session: Session, file: str, keys: Sequence[str]) -> dict[str, Any]:
    """What validate wrote into a file of the run.

    Raises:
        ArtifactError: an older fcnship wrote it, which measured less or kept it otherwise.
    """
    path = session.workspace.path(file)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if missing := [key for key in keys if key not in found]:
        raise ArtifactError(
            f"{path} has no {' and no '.join(repr(key) for key in missing)}",
            cause="another version of fcnship validated this run",
            next=f"measure again: fcnship validate {shlex.quote(str(session.workspace.root))}",
        )
    return found


def _precision(session: Session) -> dict[str, Any]:
    """What the stages that narrow found out, by their precision; empty where none was asked for."""
    records = session.workspace.records()
    asked = [name for name in ("fp16", "int8") if name in session.options.precisions and name in records]
    return {name: dict(records[name].facts) for name in asked if records[name].status == "done"}


def _dtype_warnings(session: Session) -> list[str]:
    """Files in float32 are made of an original that is not: what it rounds off is no error of theirs."""
    found = session.record("onnx").facts.get(COMPUTED_IN)
    if not found:
        return []
    return [
        f"the original computes in {' and '.join(found)}; the ONNX files are made of it in float32. They may "
        "differ from it by its own rounding, which their tolerance is measured from"
    ]


def _range_warnings(session: Session) -> list[str]:
    """Narrow precisions fit one range of pixel values: a range that nobody stated may be the wrong one."""
    narrow = [name for name in session.options.precisions if name != "fp32"]
    if not narrow or not session.record("train").facts.get(MEASURED):
        return []
    low, high = session.facts.value_range
    return [
        f"made for pixels from {low:g} to {high:g}: {', '.join(narrow)}. That range was measured, nobody "
        "stated it; if the network takes another, say so with --value-range LOW,HIGH"
    ]


def _stages(session: Session) -> list[dict[str, Any]]:
    """In the order of a build: a record that was added later stands where its stage does."""
    from fcnship.stages import STAGES

    records = session.workspace.records()
    names = [stage.name for stage in STAGES if stage.name != Report.name]
    return [_stage(records[name]) for name in names if name in records]


def _stage(record: StageRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "status": record.status,
        "seconds": record.seconds,
        "reason": record.reason,
        "artifacts": [asdict(artifact) for artifact in record.artifacts],
    }


def _limit(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
