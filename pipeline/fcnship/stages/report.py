"""report: the stage records and the measured rows as JSON, Markdown, HTML and JUnit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from fcnship.driver import StageResult
from fcnship.hashing import sha256_of_value
from fcnship.reports import write_reports
from fcnship.reports.json_report import read_report
from fcnship.runners import ORIGINAL
from fcnship.session import Session
from fcnship.sizes import Size, short
from fcnship.stages.validate import FILE as VALIDATION
from fcnship.stages.validate import LATENCY
from fcnship.verify.gates import against_baseline, judged, latency_reasons, latency_warnings
from fcnship.verify.latency import timing_warnings
from fcnship.verify.parity_reasons import parity_reasons
from fcnship.version import __version__
from fcnship.workspace import StageRecord

FILES = ("report.json", "report.md", "report.html", "junit.xml")
_UNFIT_BELOW_BEST = 0.05


class Report:
    """Writes ``report.json``, ``report.md``, ``report.html`` and ``junit.xml``."""

    name = "report"
    needs = ("validate",)
    libraries: tuple[str, ...] = ()

    def inputs(self, session: Session) -> Mapping[str, str]:
        """What the other stages recorded, and fcnship itself."""
        limit, baseline = session.options.max_slowdown, session.baseline
        return {
            "stage records": sha256_of_value(_stages(session)),
            "fcnship": __version__,
            "max slowdown": "none" if limit is None else f"{limit:g}",
            "baseline": sha256_of_value(baseline) if baseline else "none",
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


def compose(session: Session) -> dict[str, Any]:
    """The report, schema fcnship.report/1."""
    rows = json.loads(session.workspace.path(VALIDATION).read_text(encoding="utf-8"))
    timed = json.loads(session.workspace.path(LATENCY).read_text(encoding="utf-8"))
    allowed = session.options.max_slowdown
    latency = judged(timed["latency"], allowed)
    before, now = session.baseline, {**timed, "environment": rows["environment"]}
    baseline = against_baseline(before, now, allowed) if before else None
    reasons = [*parity_reasons(rows), *latency_reasons(latency, baseline)]
    facts = session.facts.summary()
    certificate = session.record("convert").facts.get("certificate") if session.converted else None
    report = {
        "schema": "fcnship.report/1",
        "name": session.workspace.root.name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "fcnship": __version__,
        "verdict": "fail" if reasons else "pass",
        "reasons": reasons,
        "warnings": [
            *rows["parity_warnings"],
            *(certificate["warnings"] if certificate else ()),
            *warnings(rows["accuracy"]),
            *timing_warnings(timed["timing"]),
            *latency_warnings(latency, baseline),
        ],
        "environment": rows["environment"],
        "model": facts,
        "data": session.record("validate").facts["data"],
        "profiles": [profile.as_json() for profile in session.profiles],
        "variants": rows["variants"],
        "stages": _stages(session),
        **{key: rows[key] for key in ("parity", "tolerance", "refusals", "budget", "reproducers")},
        "accuracy": rows["accuracy"],
        "latency": latency,
        "timing": timed["timing"],
    }
    found = {"certificate": certificate, "baseline": baseline}
    return {**report, **{key: value for key, value in found.items() if value}}


def _stages(session: Session) -> list[dict[str, Any]]:
    return [_stage(record) for record in session.workspace.records().values() if record.name != Report.name]


def _stage(record: StageRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "status": record.status,
        "seconds": record.seconds,
        "reason": record.reason,
        "artifacts": [asdict(artifact) for artifact in record.artifacts],
    }


def warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sizes at which the original itself is much less accurate than at its best."""
    original = {Size(r["height"], r["width"]): r["accuracy"] for r in rows if r["variant"] == ORIGINAL}
    if not original:
        return []
    best = max(original, key=lambda size: original[size])
    unfit = [size for size, value in sorted(original.items()) if value < original[best] - _UNFIT_BELOW_BEST]
    if not unfit:
        return []
    told = ", ".join(f"{short(size)} ({original[size]:.1%})" for size in unfit)
    return [
        f"do not use the network at {told}: it is right {original[best]:.1%} of the time at {short(best)}"
    ]
