"""report: the stage records and the measured rows as JSON, Markdown, HTML and JUnit."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from fcnship.driver import StageResult
from fcnship.errors import ParityFailed
from fcnship.hashing import sha256_of_value
from fcnship.reports import write_reports
from fcnship.reports.figures import number
from fcnship.reports.json_report import read_report
from fcnship.runners import ORIGINAL
from fcnship.session import Session
from fcnship.sizes import Size, short
from fcnship.stages.validate import FILE as VALIDATION
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
        return {"stage records": sha256_of_value(_stages(session)), "fcnship": __version__}

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
    reasons = failures(rows)
    facts = session.facts.summary()
    return {
        "schema": "fcnship.report/1",
        "name": session.workspace.root.name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "fcnship": __version__,
        "verdict": "fail" if reasons else "pass",
        "reasons": reasons,
        "warnings": warnings(rows["accuracy"]),
        "environment": rows["environment"],
        "model": facts,
        "data": session.record("validate").facts["data"],
        "profiles": [profile.as_json() for profile in session.profiles],
        "variants": rows["variants"],
        "stages": _stages(session),
        "parity": rows["parity"],
        "accuracy": rows["accuracy"],
        "latency": rows["latency"],
    }


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


def failures(rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Why the verdict is fail: one reason a variant, with its worst size."""
    failed = defaultdict(list)
    for row in rows["parity"]:
        if not row["passed"]:
            failed[row["variant"]].append(row)
    return [{"code": ParityFailed.exit_code, "text": _parity_text(v, found)} for v, found in failed.items()]


def _parity_text(variant: str, rows: Sequence[Mapping[str, Any]]) -> str:
    worst = max(rows, key=lambda row: (math.isnan(number(row["max_abs"])), number(row["max_abs"])))
    size = Size(worst["height"], worst["width"])
    return (
        f"{variant} differs from {worst['reference']} in {len(rows)} comparisons, most at {size}, batch "
        f"{worst['batch']}: {worst['max_abs']:.3g}, allowed is {worst['tolerance']:.3g}"
    )


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
