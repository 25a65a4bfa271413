"""Why parity makes the verdict fail: one reason a variant, with its worst size and how to see it again."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fcnship.errors import ParityFailed
from fcnship.sizes import Size

Row = Mapping[str, Any]


def parity_reasons(found: Mapping[str, Any], look_into: str = "") -> list[dict[str, Any]]:
    """Reasons from the tables of a sweep: failed parity rows, and sizes that an engine had to refuse.

    ``look_into``: the command that says which layer an error comes from, told where that is not known yet.
    """
    commands = {row["variant"]: _seen_again(row) for row in found.get("reproducers", ())}
    failed: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in found["parity"]:
        if not row["passed"]:
            failed[row["variant"], row["reference"]].append(row)
    layers = {row["variant"]: row for row in found.get("attribution", ())}

    def next_of(variant: str) -> str:
        told = _layer_told(layers.get(variant), variant, look_into), commands.get(variant, "")
        return " ".join(text for text in told if text)

    reasons = [_reason(_text(*names, rows), next_of(names[0])) for names, rows in failed.items()]
    ran = defaultdict(list)
    for row in found.get("refusals", ()):
        if not row["passed"]:
            ran[row["variant"]].append(str(Size(row["height"], row["width"])))
    return reasons + [
        _reason(f"{variant} accepts sizes that no profile has: {', '.join(sizes)}", None)
        for variant, sizes in ran.items()
    ]


def _reason(text: str, next: str | None) -> dict[str, Any]:
    reason = {"code": ParityFailed.exit_code, "text": text}
    return {**reason, "next": next} if next else reason


def _layer_told(found: Row | None, variant: str, look_into: str) -> str:
    """Which layer a failure comes from, or how to find out."""
    if found and found["status"] == "done":
        advice = found.get("suggestion")
        return f"{found['finding'].rstrip('.')}." + (f" {advice['text']}." if advice else "")
    known = look_into and variant.startswith("onnx-")
    return f"See which layer it comes from: {look_into} ." if known else ""


def _seen_again(row: Row) -> str:
    size, images = (
        Size(row["height"], row["width"]),
        "one image" if row["batch"] == 1 else f"{row['batch']} images",
    )
    return (
        f"See the failure again, at its smallest ({size}, {images}): {row['command']} . "
        "Build the variant again with fcnship build --force; if it still disagrees, do not ship it."
    )


def _text(variant: str, reference: str, rows: Sequence[Row]) -> str:
    worst = max(rows, key=lambda row: (not math.isfinite(row["max_abs"]), row["max_abs"]))
    size, many = Size(worst["height"], worst["width"]), "comparison" if len(rows) == 1 else "comparisons"
    where = (
        f"{variant} differs from {reference} in {len(rows)} {many}, most at {size}, batch {worst['batch']}"
    )
    faulty = not math.isfinite(worst["max_abs"]) or worst["max_abs"] <= worst["tolerance"]
    if faulty and worst.get("fault"):
        return f"{where}: {worst['fault']}"
    return f"{where}: {worst['max_abs']:.3g}, allowed is {worst['tolerance']:.3g}"
