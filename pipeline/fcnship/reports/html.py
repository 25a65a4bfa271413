"""report.html: one file that works offline, on a phone, in print, in light and dark. It holds no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template

from fcnship.reports.certificate import TITLE as CERTIFICATE
from fcnship.reports.certificate import certificate_list
from fcnship.reports.figures import (
    ABSENT,
    bytes_text,
    ms_text,
    percent_text,
    ratio_text,
    share_text,
    size_text,
    stage_time,
)
from fcnship.reports.html_accuracy import accuracy_section
from fcnship.reports.html_attribution import attribution_section
from fcnship.reports.html_budget import budget_section
from fcnship.reports.html_devices import devices_section
from fcnship.reports.html_latency import latency_section
from fcnship.reports.html_measures import parity_section
from fcnship.reports.html_table import definitions, folded, section, sha, stacked_table, status, table
from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report, Row, in_order
from fcnship.reports.precision_tables import precision_section
from fcnship.reports.printable import printable
from fcnship.reports.summary import (
    ParitySummary,
    accuracy_summaries,
    evidence,
    geometry,
    headline,
    latency_at_optimum,
    next_step,
    parity_summaries,
)


def html_text(report: Report) -> str:
    """The report as one self-contained page. Text from outside is escaped."""
    report = printable(dict(report))
    body = joined(
        [
            _verdict(report),
            _must_not_use(report),
            _reasons(report),
            _warnings(report),
            _certificate(report),
            _at_a_glance(report),
            accuracy_section(report),
            latency_section(report),
            devices_section(report),
            parity_section(report),
            budget_section(report),
            attribution_section(report),
            precision_section(report),
            _build(report),
            _environment(report),
        ]
    )
    page = resources.files("fcnship.reports").joinpath("report.html.in").read_text(encoding="utf-8")
    return Template(page).substitute(
        title=escape(f"{report['name']}: {report['verdict']}"),
        body=body,
        footer=escape(f"fcnship {report['fcnship']}, {report['created']}, {report['schema']}"),
    )


def _verdict(report: Report) -> Markup:
    passed = report["verdict"] == "pass"
    shape = "M7 16.5l6 6 12-13" if passed else "M9 9l14 14M23 9l-14 14"
    sign = element("svg", element("path", d=shape), class_="sign", viewBox="0 0 32 32", aria_hidden="true")
    sentences = [element("li", sentence) for sentence in evidence(report)]
    return element(
        "header",
        element("p", "fcnship report", class_="over"),
        element("h1", report["name"]),
        element("p", sign, element("strong", "Pass" if passed else "Fail"), class_="verdict"),
        element("p", headline(report), class_="lead"),
        element("ul", *sentences, class_="evidence"),
        class_="pass" if passed else "fail",
    )


def _must_not_use(report: Report) -> Markup | None:
    """Where the network is wrong: before all else, for a passing report has it too."""
    told = report.get("must_not_use")
    if not told:
        return None
    items = [element("li", f"{row['text']}.") for row in told]
    return section("Where not to use it", "must-not-use", element("ul", *items, class_="warnings plainly"))


def _reasons(report: Report) -> Markup | None:
    if not report["reasons"]:
        return None
    items = [
        element(
            "li",
            element("p", element("strong", reason["text"]), element("small", f" exit {reason['code']}")),
            element("p", next_step(report, reason)),
        )
        for reason in report["reasons"]
    ]
    return section("What is wrong, and what to do", "reasons", element("ol", *items, class_="reasons"))


def _warnings(report: Report) -> Markup | None:
    if not report["warnings"]:
        return None
    items = [element("li", warning) for warning in report["warnings"]]
    return section("Before you ship", "warnings", element("ul", *items, class_="warnings"))


def _certificate(report: Report) -> Markup | None:
    lines = certificate_list(report)
    return section(CERTIFICATE, "certificate", lines) if lines else None


def _at_a_glance(report: Report) -> Markup:
    heads = (
        "variant",
        "file size",
        "status",
        "error / tolerance",
        "lowest accuracy",
        "time at optimum",
        "time ratio",
    )
    rows = [_glance_cells(report, row) for row in in_order(report["variants"])]
    variants = stacked_table(heads, rows, "The variants", (1, 3, 4, 5, 6)) if rows else None
    return section("At a glance", "glance", variants, definitions(geometry(report)))


def _glance_cells(report: Report, row: Row) -> Sequence[str]:
    name = row["variant"]
    parity = next((s for s in parity_summaries(report) if s.variant == name), None)
    accuracy = next((s for s in accuracy_summaries(report) if s.variant == name), None)
    latency = latency_at_optimum(report, name)
    reason = element("small", row["reason"]) if row["status"] == "not run" and row["reason"] else None
    return (
        name,
        bytes_text(row["bytes"]),
        joined([status(row["status"]), reason]),
        _worst(parity) if parity else "original" if name in _references(report) else ABSENT,
        f"{percent_text(accuracy.lowest['accuracy'])} at {size_text(accuracy.lowest)}"
        if accuracy
        else ABSENT,
        ms_text(latency["p50_ms"]) if latency else ABSENT,
        ratio_text(latency["ratio"]) if latency else ABSENT,
    )


def _worst(parity: ParitySummary) -> Markup:
    worst = share_text(parity.worst)
    return element(
        "span", f"fail {worst}" if parity.failed else worst, class_="bad" if parity.failed else None
    )


def _references(report: Report) -> set[str]:
    return {row["reference"] for row in report["parity"]}


def _build(report: Report) -> Markup | None:
    if not report["stages"]:
        return None
    stages = [
        (
            stage["name"],
            status(stage["status"]),
            stage_time(stage),
            joined(
                [stage["reason"] or None, *(_file(item) for item in stage["artifacts"][:3]), _more(stage)]
            ),
        )
        for stage in report["stages"]
    ]
    files = [
        (item["path"], bytes_text(item["bytes"]), sha(item["sha256"]))
        for stage in report["stages"]
        for item in stage["artifacts"]
    ]
    listing = folded("Files and their SHA-256", table(("file", "size", "sha256"), files, "Files", (1,)))
    heads = ("stage", "status", "time", "what came out")
    return section("Build", "build", stacked_table(heads, stages, "Stages", (2,)), listing if files else None)


def _file(item: Row) -> Markup:
    return element("span", f"{item['path']} ", element("small", bytes_text(item["bytes"])), class_="file")


def _more(stage: Row) -> Markup | None:
    rest = len(stage["artifacts"]) - 3
    return element("span", f"and {rest} more", class_="file") if rest > 0 else None


def _environment(report: Report) -> Markup:
    environment, data = report["environment"], report["data"]
    pairs = [
        ("Processor", f"{environment['cpu']}, {environment['cores']} cores"),
        ("GPU", environment["gpu"] or "none"),
        ("System", environment["platform"]),
        ("Python", environment["python"]),
        *sorted(environment["libraries"].items()),
    ]
    labels = ", ".join(report["model"]["labels"])
    inputs = [("Labels", labels)] if labels else []
    digest = [element("div", element("dt", "Data SHA-256"), element("dd", sha(data["sha256"])))]
    return section(
        "Environment",
        "environment",
        definitions(pairs),
        element("dl", *digest, class_="facts"),
        definitions(inputs),
    )
