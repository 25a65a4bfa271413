"""What a report says of the data: how many images, of which sizes, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fcnship.wording import counted

_LISTED = 5


def data_rows(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The data set's facts as (term, text); what an older report does not have is left out."""
    counts = [f"{data['train']:,} to train", f"{data['test']:,} to test"]
    if "calibration" in data:
        counts.append(f"{data['calibration']:,} to calibrate")
    found = [("Data", f"{data['name']}: {', '.join(counts)}")]
    if "sizes" in data:
        found.append(("Image sizes", _sizes(data)))
    if skipped := data.get("skipped_files"):
        named = [f"{row['path']} {row['reason']}" for row in skipped[:_LISTED]]
        more = data["skipped"] - len(named)
        found.append(("Left out", "; ".join(named) + (f"; and {more:,} more" if more > 0 else "")))
    if twice := data.get("in_two_classes"):
        first = " = ".join(data["in_two_classes_files"][0])
        found.append(("In two classes", f"{counted(twice, 'picture')}, first {first}"))
    if folders := data.get("unused_folders"):
        found.append(("Not used", ", ".join(folders)))
    return found


def _sizes(data: Mapping[str, Any]) -> str:
    """``40 sizes from 24x31 to 480x640, in 7 buckets of one shape; 3 images letterboxed``."""
    sizes = data["sizes"]
    first, last = ("x".join(map(str, sizes[end])) for end in ("smallest", "largest"))
    text = (
        f"all {first}" if sizes["different"] == 1 else f"{sizes['different']:,} sizes from {first} to {last}"
    )
    if data.get("fit") == "letterbox":
        return f"{text}; letterboxed: shapes are kept, on a background"
    if "buckets" not in data:
        return text
    text += f"; {data['buckets']:,} {'shape' if data['buckets'] == 1 else 'shapes'} to train with"
    outside = data.get("letterboxed", 0)
    return (
        f"{text}, {outside:,} images of a shape that no profile holds lie on a background"
        if outside
        else text
    )
