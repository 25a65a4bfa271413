"""Accuracy as a gate: what is right less often than was asked for, from the rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fcnship.errors import AccuracyBelowFloor
from fcnship.sizes import Size
from fcnship.verify.proportion import interval_of_share
from fcnship.verify.unfit_sizes import best_of

Row = Mapping[str, Any]
_HALF = 0.5


def held_to(floor: float | None, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Accuracy rows, each with its floor and whether the measured value reaches it."""
    if floor is None:
        return [dict(row) for row in rows]
    return [{**row, "floor": floor, "passed": row["accuracy"] >= floor} for row in rows]


def accuracy_reasons(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Why the verdict is fail, with the worst size; variants that are right alike share a reason."""
    by_variant = defaultdict(list)
    for row in rows:
        if "passed" in row:
            by_variant[row["variant"]].append(row)
    alike = defaultdict(list)
    for variant, measured in by_variant.items():
        if failed := tuple(_facts(row) for row in measured if not row["passed"]):
            alike[failed].append(variant)
    return [
        {"code": AccuracyBelowFloor.exit_code, "text": _text(variants, by_variant[variants[0]])}
        for variants in alike.values()
    ]


def accuracy_warnings(rows: Sequence[Row]) -> list[str]:
    """What no gate tells: a network that is wrong at every size, and what passed by less than can be told."""
    return [*_wrong_everywhere(rows), *_too_close_to_tell(rows)]


def _wrong_everywhere(rows: Sequence[Row]) -> list[str]:
    """Where not to use a network is told beside its best size; of one that has none nothing would be told."""
    best = best_of(rows)
    if best is None or best["accuracy"] >= _HALF:
        return []
    return [
        f"{best['variant']} is wrong more often than right at every size that was measured; at its best, "
        f"{_where(best)}, it is right for {_measured(best)}. If it should be better, it was trained for "
        "other sizes, for other pixel values (--value-range) or with its labels in another order"
    ]


def _too_close_to_tell(rows: Sequence[Row]) -> list[str]:
    """What the gate passed though so few images leave open whether it should: said once, at the closest."""
    open_ = [row for row in rows if row.get("passed", False) and _interval(row)[0] < row["floor"]]
    if not open_:
        return []
    closest = min(open_, key=lambda row: (row["accuracy"], row["images"]))
    count = sum("passed" in row for row in rows)
    place = f"{closest['variant']} at {_where(closest)}"
    return [
        f"{len(open_)} of {count} accuracies reach the floor of {_percent(closest['floor'])} by less than "
        f"their images can tell, the closest {place}: {_measured(closest)}. "
        "More test images would settle it"
    ]


def _text(variants: Sequence[str], rows: Sequence[Row]) -> str:
    failed = [row for row in rows if not row["passed"]]
    worst = min(failed, key=lambda row: float(row["accuracy"]))
    who = variants[0] if len(variants) == 1 else f"{', '.join(variants[:-1])} and {variants[-1]}"
    is_right = "is right" if len(variants) == 1 else "are right"
    return (
        f"{who} {is_right} less than {_percent(worst['floor'])} of the time "
        f"at {len(failed)} of {len(rows)} sizes, worst at {_where(worst)}: {_measured(worst)}"
    )


def _facts(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("height", "width", "images", "accuracy"))


def _measured(row: Row) -> str:
    low, high = _interval(row)
    return (
        f"{_percent(row['accuracy'])} of {row['images']} images (95 % interval {_percent(low)} to "
        f"{_percent(high)})"
    )


def _interval(row: Row) -> tuple[float, float]:
    return interval_of_share(row["accuracy"], row["images"])


def _where(row: Row) -> str:
    return str(Size(row["height"], row["width"]))


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"
