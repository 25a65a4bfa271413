"""Accuracy over height and width, as every renderer shows it: a grid for each profile and kind of variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fcnship.reports.figures import number
from fcnship.reports.order import Report, Row, in_order
from fcnship.runners import ORIGINAL
from fcnship.sizes import Profile, Size
from fcnship.verify.accuracy_grid import grid
from fcnship.verify.proportion import interval_of_share

Place = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class AccuracyMap:
    """Variants with the same figures in the same cells of a grid, and those of them that must not be used.

    ``rows`` are of the first of them, by height and width.
    """

    variants: Sequence[str]
    rows: Sequence[Row]
    unfit: frozenset[Place]

    @property
    def heights(self) -> list[int]:
        """Rising."""
        return sorted({row["height"] for row in self.rows})

    @property
    def widths(self) -> list[int]:
        """Rising."""
        return sorted({row["width"] for row in self.rows})

    @property
    def caption(self) -> str:
        """Whose it is, and how many images stand behind a cell."""
        return f"{', '.join(self.variants)}. {_images(self.rows)}"


def accuracy_maps(report: Report) -> list[AccuracyMap]:
    """A map for each profile and each set of variants that are right alike, where a grid was measured."""
    return [found for cells in map_cells(report) for found in _maps(report, cells)]


def map_cells(report: Report) -> list[Mapping[Place, Row]]:
    """For each profile the measured sizes that make a grid of heights and widths, where there is one."""
    measured = {(row["height"], row["width"]): row for row in report["accuracy"]}
    found = [_cells_of(profile, measured) for profile in report["profiles"]]
    return [cells for cells in found if len({h for h, _ in cells}) > 1 and len({w for _, w in cells}) > 1]


def _cells_of(profile: Row, measured: Mapping[Place, Row]) -> Mapping[Place, Row]:
    """The profile's own grid; where it was measured otherwise, all sizes within that share their sides."""
    low, opt, high = (Size(*profile[end]) for end in ("min", "opt", "max"))
    own = [(size.height, size.width) for size in grid(Profile(low, opt, high))]
    if all(place in measured for place in own):
        return {place: measured[place] for place in own}
    cells = {place: row for place, row in measured.items() if Size(*place).within(low, high)}
    in_row, in_column = Counter(h for h, _ in cells), Counter(w for _, w in cells)
    return {(h, w): row for (h, w), row in cells.items() if in_row[h] > 1 and in_column[w] > 1}


def for_curve(report: Report, rows: Sequence[Row]) -> list[Row]:
    """What the map does not show, and the squares or, where the range has none, the map's diagonal."""
    squares = {row["height"] for row in rows if row["height"] == row["width"]}
    on_map: set[Place] = set()
    diagonal: set[Place] = set()
    for cells in map_cells(report):
        on_map |= set(cells)
        diagonal |= set(zip(sorted({h for h, _ in cells}), sorted({w for _, w in cells}), strict=False))
    kept = {(side, side) for side in squares} if len(squares) > 1 else diagonal
    return [r for r in rows if (r["height"], r["width"]) in kept or (r["height"], r["width"]) not in on_map]


def interval_text(row: Row) -> str:
    """The 95 % interval of an accuracy row: ``95.3 to 98.7 %``."""
    low, high = interval_of_share(number(row["accuracy"]), row["images"])
    return f"{low * 100:.1f} to {high * 100:.1f} %"


def _maps(report: Report, cells: Mapping[Place, Row]) -> list[AccuracyMap]:
    by_variant: dict[str, list[Row]] = {}
    for row in in_order(report["accuracy"]):
        if (row["height"], row["width"]) in cells:
            by_variant.setdefault(row["variant"], []).append(row)
    groups: dict[tuple[object, ...], list[str]] = {}
    for variant, rows in by_variant.items():
        facts = tuple((row["height"], row["width"], row["images"], row["accuracy"]) for row in rows)
        groups.setdefault(facts, []).append(variant)
    return [
        AccuracyMap(variants=names, rows=by_variant[names[0]], unfit=_unfit(report, names))
        for names in groups.values()
    ]


def _unfit(report: Report, names: Sequence[str]) -> frozenset[Place]:
    """The sizes at which the report says that one of these variants, or the network, must not be used."""
    told = [row for row in report.get("must_not_use", ()) if {*names, ORIGINAL} & {*row["variants"]}]
    return frozenset((height, width) for row in told for height, width in row["sizes"])


def _images(rows: Sequence[Row]) -> str:
    """How many images stand behind a cell: squares have more where the data allow it."""
    square, oblong = (
        sorted({row["images"] for row in rows if (row["height"] == row["width"]) is kind})
        for kind in (True, False)
    )
    if len({*square, *oblong}) == 1:
        return f"{(square or oblong)[0]:,} test images in each cell"
    if len(oblong) == 1 and square:
        squares = f"{square[0]:,}" if len(square) == 1 else f"{square[0]:,} to {square[-1]:,}"
        return f"{oblong[0]:,} test images in each cell, {squares} in the square ones"
    fewest, most = min(*square, *oblong), max(*square, *oblong)
    return f"{fewest:,} to {most:,} test images in a cell"
