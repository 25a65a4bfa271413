"""junit.xml: a test case for each variant, size and metric, so that a CI server shows where it failed.

A variant that was not run has a skipped case wherever the others were measured: the names of the cases do
not depend on the machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

from fcnship.reports.accuracy_map import interval_text as accuracy_interval
from fcnship.reports.figures import (
    count_text,
    error_text,
    interval_text,
    ms_text,
    percent_text,
    ratio_text,
    size_text,
    tolerance_text,
    where_text,
)
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.printable import one_line, printable
from fcnship.reports.summary import next_step, not_run


def junit_text(report: Report) -> str:
    """The report as JUnit XML. The case ``verdict`` fails whenever the report does."""
    report = printable(dict(report))
    root = ET.Element("testsuites", name=f"fcnship {report['name']}")
    _verdict_suite(root, report)
    _stages_suite(root, report)
    _metric_suite(root, report, "parity", where_text, _parity_facts)
    _metric_suite(root, report, "accuracy", size_text, _accuracy_facts)
    _metric_suite(root, report, "latency", where_text, _latency_facts)
    _refusal_suite(root, report)
    _baseline_suite(root, report)
    for suite in root:
        suite.attrib |= _counts(suite)
    root.attrib |= _counts(root)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _verdict_suite(root: ET.Element, report: Report) -> None:
    case = _case(_suite(root, report, "verdict"), "verdict", report["name"], "verdict")
    if report["verdict"] == "fail":
        lines = [f"exit {r['code']}: {r['text']}\nnext: {next_step(report, r)}" for r in report["reasons"]]
        _add(case, "failure", one_line(report["reasons"][0]["text"]), "\n\n".join(lines))
    for told in report.get("must_not_use", ()):
        ET.SubElement(case, "system-out").text = f"{told['text']}."
    for warning in report["warnings"]:
        ET.SubElement(case, "system-out").text = f"warning: {warning}"


def _stages_suite(root: ET.Element, report: Report) -> None:
    suite = _suite(root, report, "stages")
    for stage in report["stages"]:
        case = _case(suite, "stage", stage["name"], stage["name"])
        case.set("time", f"{stage['seconds']:.3f}")
        reason = stage["reason"] or "no reason recorded"
        if stage["status"] == "skipped":
            _add(case, "skipped", one_line(reason))
        elif stage["status"] == "failed":
            _add(case, "failure", one_line(reason), reason)


def _metric_suite(
    root: ET.Element, report: Report, metric: str, where: Callable[[Row], str], facts: Callable[[Row], str]
) -> None:
    suite = _suite(root, report, metric)
    rows = in_order(report[metric])
    for row in rows:
        name = where(row) + (f" against {row['reference']}" if "reference" in row else "")
        case = _case(suite, metric, row["variant"], name)
        if row.get("passed", True):
            ET.SubElement(case, "system-out").text = facts(row)
        else:
            _add(case, "failure", f"{row['variant']} at {where(row)}: {facts(row)}", _all_facts(row))
    measured = {row["variant"] for row in rows}
    for variant in not_run(report):
        if variant["variant"] not in measured:
            _skipped_cases(suite, metric, variant, rows, where)


def _refusal_suite(root: ET.Element, report: Report) -> None:
    """Sizes that no profile has: a case each, failed where an engine took it all the same."""
    rows = in_order(report.get("refusals", ()))
    if not rows:
        return
    suite = _suite(root, report, "refusals")
    for row in rows:
        case = _case(suite, "refusal", row["variant"], where_text(row))
        if not row["passed"]:
            message = f"{row['variant']} accepts {where_text(row)}, which no profile has"
            _add(case, "failure", message, _all_facts(row))


def _baseline_suite(root: ET.Element, report: Report) -> None:
    """The ratios against those of an earlier report: a case each, or one skipped case that says why."""
    baseline = report.get("baseline")
    if not baseline:
        return
    suite = _suite(root, report, "baseline")
    if baseline["status"] == "skipped":
        _add(_case(suite, "baseline", "latency", "baseline"), "skipped", one_line(baseline["reason"]))
    for row in in_order(baseline["rows"]):
        case = _case(suite, "baseline", row["variant"], where_text(row))
        if row["passed"]:
            ET.SubElement(case, "system-out").text = _baseline_facts(row)
        else:
            message = f"{row['variant']} at {where_text(row)}: {_baseline_facts(row)}"
            _add(case, "failure", message, _all_facts(row))


def _skipped_cases(
    suite: ET.Element, metric: str, variant: Row, rows: list[Row], where: Callable[[Row], str]
) -> None:
    # Against what most are held: the converted network alone is held against what it was made from.
    usual = Counter(row.get("reference") for row in rows).most_common(1)
    reference = usual[0][0] if usual else None
    rows = [row for row in rows if row.get("reference") == reference]
    against = f" against {reference}" if reference else ""
    places = sorted({(row["height"], row["width"], row.get("batch", 1), where(row)) for row in rows})
    for name in [place[-1] + against for place in places] or ["not run"]:
        reason = one_line(variant["reason"] or "no reason recorded")
        _add(_case(suite, metric, variant["variant"], name), "skipped", reason)


def _parity_facts(row: Row) -> str:
    return (
        f"largest error {error_text(row['max_abs'])} against {row['reference']}, {tolerance_text(row)} the "
        f"tolerance of {error_text(row['tolerance'])}, argmax flips: {count_text(row['argmax_flips'])}"
    )


def _accuracy_facts(row: Row) -> str:
    held = f", the floor is {percent_text(row['floor'])}" if "floor" in row else ""
    sure = f"95 % interval {accuracy_interval(row)}"
    return f"accuracy {percent_text(row['accuracy'])} over {row['images']} images ({sure}){held}"


def _latency_facts(row: Row) -> str:
    return (
        f"median {ms_text(row['p50_ms'])}, 95 % within {ms_text(row['p95_ms'])}, {row['runs']} runs, "
        f"ratio to the original {ratio_text(row['ratio'])} ({interval_text(row)}): {row['verdict']}"
        + (f", allowed {row['allowed']:g}" if "allowed" in row else "")
    )


def _baseline_facts(row: Row) -> str:
    return (
        f"ratio to the original {row['before']:.3f} in the baseline, {row['now']:.3f} now: "
        f"{row['change']:.3f} times as much ({row['change_low']:.3f}-{row['change_high']:.3f}), "
        f"allowed {row['allowed']:g}"
    )


def _all_facts(row: Row) -> str:
    return "\n".join(f"{key}: {value}" for key, value in row.items())


def _suite(root: ET.Element, report: Report, name: str) -> ET.Element:
    return ET.SubElement(root, "testsuite", name=name, timestamp=report["created"])


def _case(suite: ET.Element, metric: str, group: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=f"fcnship.{metric}.{group}", name=name)


def _add(case: ET.Element, kind: str, message: str, text: str = "") -> None:
    ET.SubElement(case, kind, message=message).text = text or None


def _counts(element: ET.Element) -> dict[str, Any]:
    kinds = {"tests": "testcase", "failures": "failure", "skipped": "skipped"}
    return {name: str(sum(1 for _ in element.iter(tag))) for name, tag in kinds.items()} | {"errors": "0"}
