"""What the rows come to: the sentences and worst cases that every renderer tells the same way."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from fcnship.reports.data_rows import data_rows
from fcnship.reports.figures import (
    error_phrase,
    number,
    percent_text,
    share,
    share_text,
    side_text,
    size_text,
    where_text,
)
from fcnship.reports.order import Report, Row, in_order, variant_key

_NEXT = {
    1: "This is a fault in fcnship or in a library that it drives: run the command again with --debug and "
    "report what it prints.",
    2: "Correct the command line or the configuration; fcnship build --help shows the form.",
    3: "Look at what the model accepts with fcnship explain {model}, then change the model, data or profile.",
    4: "Find the variant and the sizes in the parity table. Build the variant again with fcnship build "
    "--force; if it still disagrees, do not ship it.",
    5: "Find the sizes in the accuracy table. Narrow --profile to the sizes that hold, or train on the sizes "
    "that do not.",
    6: "Measure again with fcnship validate while nothing else runs on this machine. If the ratio stays, "
    "ship the faster variant.",
    7: "Run fcnship doctor: it says what is missing here and how to get it.",
    8: "Run fcnship build again: what is damaged is made anew. If another build holds the folder, wait for "
    "it to end.",
    9: "Check that the device is on and that ssh reaches it, then run the command again.",
}


@dataclass(frozen=True, kw_only=True)
class ParitySummary:
    """All parity rows of one variant against one reference."""

    variant: str
    reference: str
    checks: int
    failed: int
    worst: Row


@dataclass(frozen=True, kw_only=True)
class AccuracySummary:
    """A variant's accuracy over its sizes."""

    variant: str
    sizes: int
    lowest: Row
    highest: Row


def next_step(report: Report, reason: Row) -> str:
    """What to do about a reason: its own ``next`` where it has one, else what its exit code suggests."""
    text = _NEXT.get(reason["code"], "See fcnship --help for what this exit code stands for.")
    return str(reason.get("next") or text.format(model=shlex.quote(report["model"]["name"])))


def parity_summaries(report: Report) -> list[ParitySummary]:
    """One summary for each variant and reference, worst row by share of the tolerance, failures first."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in in_order(report["parity"]):
        groups.setdefault((row["variant"], row["reference"]), []).append(row)
    return [
        ParitySummary(
            variant=variant,
            reference=reference,
            checks=len(rows),
            failed=sum(not row["passed"] for row in rows),
            worst=max(rows, key=lambda row: (not row["passed"], share(row))),
        )
        for (variant, reference), rows in groups.items()
    ]


def accuracy_summaries(report: Report) -> list[AccuracySummary]:
    """The lowest and the highest accuracy of each variant."""
    groups: dict[str, list[Row]] = {}
    for row in in_order(report["accuracy"]):
        groups.setdefault(row["variant"], []).append(row)
    return [
        AccuracySummary(
            variant=variant,
            sizes=len(rows),
            lowest=min(rows, key=lambda row: number(row["accuracy"])),
            highest=max(rows, key=lambda row: number(row["accuracy"])),
        )
        for variant, rows in groups.items()
    ]


def failed_parity(report: Report) -> list[Row]:
    """The parity rows that failed, the worst first."""
    return sorted(
        (row for row in in_order(report["parity"]) if not row["passed"]), key=lambda row: -share(row)
    )


def not_run(report: Report) -> list[Row]:
    """The variants that were not run, in order."""
    return [row for row in in_order(report["variants"]) if row["status"] == "not run"]


def key_latency(report: Report) -> list[Row]:
    """Latency rows at the smallest batch and at the min, opt and max of the profiles, by size, then variant.

    All sizes of that batch where none of them was measured.
    """
    rows = in_order(report["latency"])
    smallest = min((row["batch"] for row in rows), default=1)
    rows = [row for row in rows if row["batch"] == smallest]
    named = {tuple(profile[end]) for profile in report["profiles"] for end in ("min", "opt", "max")}
    at_ends = [row for row in rows if (row["height"], row["width"]) in named]
    return sorted(
        at_ends or rows, key=lambda row: (_pixels(row), size_text(row), variant_key(row["variant"]))
    )


def latency_at_optimum(report: Report, variant: str) -> Row | None:
    """A variant's latency row at the first profile's optimum and the smallest batch, if it was measured."""
    optimum = report["profiles"][0]["opt"] if report["profiles"] else None
    found = (row for row in key_latency(report) if row["variant"] == variant)
    return next((row for row in found if [row["height"], row["width"]] == optimum), None)


def headline(report: Report) -> str:
    """The verdict in one sentence."""
    if report["verdict"] == "fail":
        reasons = len(report["reasons"])
        return f"Do not ship this build: {reasons} {'reason' if reasons == 1 else 'reasons'} against it."
    if not report["parity"]:
        return "Nothing failed. No variant was compared with the original."
    return "Every variant that ran agrees with the original."


def evidence(report: Report) -> list[str]:
    """The facts behind the verdict, a sentence each: parity, accuracy, what did not run."""
    sentences = [_parity_sentence(report["parity"]), _refusal_sentence(report), _accuracy_sentence(report)]
    for row in not_run(report):
        sentences.append(
            f"{row['variant']} was not run: {(row['reason'] or 'no reason recorded').rstrip('.')}."
        )
    return [sentence for sentence in sentences if sentence]


def timing_sentence(report: Report) -> str:
    """How latency was timed, in one line; empty where the report does not say."""
    timing = report.get("timing")
    if not timing:
        return ""
    threads = sorted({count for count in timing["threads"].values() if count is not None})
    facts = [
        f"Timed: {timing['timed']}",
        f"{timing['rounds']} rounds" if "rounds" in timing else "",
        f"threads: {', '.join(map(str, threads))}" if threads else "",
        f"governor: {timing['governor'] or 'not told'}",
        f"clock: {timing['clock']}",
        f"other programs took {timing['other_load']:.0%} of the processors"
        if timing.get("other_load")
        else "",
        *(f"not timed: {left}" for left in timing.get("left_out", ())),
    ]
    return "; ".join(fact for fact in facts if fact) + "."


def alone_sentence(report: Report) -> str:
    """What ``alone`` in the latency table means; empty where no device was timed."""
    if all(row["verdict"] != "alone" for row in report["latency"]):
        return ""
    return "What stands alone was timed by a device itself, not in turns with the original: see Devices."


def size_range(rows: Iterable[Row]) -> str:
    """``25 sizes from 28x28 to 224x224``."""
    sizes = sorted({(row["height"] * row["width"], row["height"], row["width"]) for row in rows})
    first, last = (f"{height}x{width}" for _, height, width in (sizes[0], sizes[-1]))
    return f"size {first}" if len(sizes) == 1 else f"{len(sizes)} sizes from {first} to {last}"


def geometry(report: Report) -> list[tuple[str, str]]:
    """The model's key facts as (term, text)."""
    model = report["model"]
    low, high = model["value_range"]
    channels = "1 channel" if model["channels"] == 1 else f"{model['channels']} channels"
    output = "one vector an image" if model["output"] == "vector" else "a map"
    return [
        ("Model", model["name"]),
        ("Parameters", f"{model['parameters']:,}"),
        ("Profiles", "; ".join(map(profile_text, report["profiles"])) or "none"),
        ("Minimum size", side_text(model["minimum_size"])),
        ("Total stride", side_text(model["total_stride"])),
        ("Receptive field", side_text(model["receptive_field"])),
        ("Input", f"{channels}, values {low:g} to {high:g}"),
        ("Output", f"{model['classes']} classes, {output}"),
        *data_rows(report["data"]),
    ]


def profile_text(profile: Row) -> str:
    """``28x28 to 224x224, optimum 80x80, batch 1 to 8``."""
    low, opt, high = (
        f"{height}x{width}" for height, width in (profile[end] for end in ("min", "opt", "max"))
    )
    first, _, last = profile["batch"]
    sizes = f"{low} only" if low == high else f"{low} to {high}, optimum {opt}"
    return f"{sizes}, batch {first}" if first == last else f"{sizes}, batch {first} to {last}"


def _parity_sentence(rows: list[Row]) -> str:
    if not rows:
        return ""
    failed = sum(not row["passed"] for row in rows)
    worst = max(in_order(rows), key=lambda row: (not row["passed"], share(row)))
    where = f"{worst['variant']} at {where_text(worst)}"
    checks = f"{len(rows)} parity {'check' if len(rows) == 1 else 'checks'} at {size_range(rows)}"
    if failed:
        return f"{failed} of {checks} failed. The worst is {where}: {error_phrase(worst)}."
    return f"{checks} passed. The largest error is {share_text(worst)} of the tolerance, {where}."


def _refusal_sentence(report: Report) -> str:
    rows = report.get("refusals", ())
    if not rows:
        return ""
    names = " and ".join(sorted({row["variant"] for row in rows}))
    refused = sum(row["refused"] for row in rows)
    return f"{names} refused {refused} of the {len(rows)} cases that no profile has."


def _accuracy_sentence(report: Report) -> str:
    summaries = [s for s in accuracy_summaries(report) if math.isfinite(number(s.lowest["accuracy"]))]
    if not summaries:
        return ""
    lowest = min(summaries, key=lambda summary: number(summary.lowest["accuracy"]))
    where = f"{lowest.variant} at {size_text(lowest.lowest)}"
    return f"The lowest accuracy is {percent_text(lowest.lowest['accuracy'])}, {where}."


def _pixels(row: Row) -> int:
    pixels: int = row["height"] * row["width"]
    return pixels
