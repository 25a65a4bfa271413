"""Which layer an error comes from: the sentences and cells that every renderer tells the same way."""

from __future__ import annotations

from fcnship.reports.figures import bytes_text, error_text, number, where_text
from fcnship.reports.order import Report, Row, variant_key

TITLE = "Which layer"
HEADS = ("layer", "no.", "adds", "steps", "at most", "in total", "what is wrong")
TRIAL_HEADS = ("kept in FP32", "at", "largest error before", "after", "changed decisions before", "after")
RIGHT, TRIAL_RIGHT = (1, 2, 3, 4, 5), (2, 3, 4, 5)
EXPLANATION = (
    "Adds: the error that the layer makes of the reference's own inputs, as a share of its output (root mean "
    "squares). Steps: the same in roundings to the variant's precision. In total: with all layers before it."
)


def attributions(report: Report) -> list[Row]:
    """One for each variant that was looked into, in order."""
    return sorted(report.get("attribution") or (), key=lambda row: variant_key(row["variant"]))


def sentences(found: Row) -> list[str]:
    """What was found in a variant, what to do about it, and what trying it came to."""
    if found["status"] == "skipped":
        return [f"{found['variant']} was not taken apart: {found['reason']}."]
    told = [f"{found['variant']} against {found['reference']} at {where_text(found)}: {found['finding']}."]
    if "suggestion" in found:
        told.append(f"Suggestion: {found['suggestion']['text']}.")
    told += [_tried(trial) for trial in found["trials"]]
    if found["reason"]:
        told.append(f"{found['reason']}.")
    return told


def layer_cells(row: Row) -> tuple[str, ...]:
    """The cells under ``HEADS``."""
    return (
        row["layer"],
        str(row["place"]),
        relative_text(row["local"]),
        f"{number(row['steps']):.3g}",
        error_text(row["local_max"]),
        relative_text(row["total"]),
        row["fault"] or "-",
    )


def trial_cells(found: Row) -> list[tuple[str, ...]]:
    """The cells under ``TRIAL_HEADS``: each trial at each size."""
    return [
        (
            ", ".join(trial["layers"]),
            where_text(row),
            error_text(row["before_max_abs"]),
            error_text(row["after_max_abs"]),
            str(row["before_flips"]),
            str(row["after_flips"]),
        )
        for trial in found["trials"]
        for row in trial["rows"]
    ]


def relative_text(value: object) -> str:
    """A relative error: ``1.2e-07``, ``0.34 %``, ``210 %``."""
    share = number(value)
    return f"{share:.2g}" if not 1e-4 <= share < 1e4 else f"{share * 100:.3g} %"


def _tried(trial: Row) -> str:
    before = max(number(row["before_max_abs"]) for row in trial["rows"])
    after = max(number(row["after_max_abs"]) for row in trial["rows"])
    flips = [sum(row[key] for row in trial["rows"]) for key in ("before_flips", "after_flips")]
    cost = trial["more_bytes"]
    size = f"{bytes_text(abs(cost))} {'larger' if cost >= 0 else 'smaller'}"
    return (
        f"Tried: with {', '.join(trial['layers'])} in FP32 the largest error goes from {error_text(before)} "
        f"to {error_text(after)}, changed decisions from {flips[0]} to {flips[1]}; the file is {size}."
    )
