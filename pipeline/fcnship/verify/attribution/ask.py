"""Which variants are taken apart, at which size and batch, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fcnship.errors import FcnshipError, UsageError
from fcnship.sizes import Size
from fcnship.verify.attribution.attributed import Candidate, Place, skipped
from fcnship.verify.attribution.attribution import Attribution, NotCut
from fcnship.verify.checks import Checks

Row = Mapping[str, Any]
_IMAGES = 4  # where nothing failed


def check_wanted(wanted: Sequence[str], known: Sequence[str]) -> None:
    """Refuse variants that were asked for and are none.

    Raises:
        UsageError: of the first.
    """
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"there is no variant {name!r} to look into",
                cause=f"there are {', '.join(known) or 'none'}",
                next="name one of these as --variant, or leave it out",
            )


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is to be attributed.

    ``candidates``: ONNX variants. ``others``: variants that cannot be taken apart, and why. ``parity``: the
    rows that were measured. ``optimum``: the size to take where nothing failed; ``cases``: where trials are
    measured besides; ``fp32``: the graph that narrow ones were made from, None where it has to be exported.
    """

    attribution: Attribution
    candidates: Sequence[Candidate]
    others: Mapping[str, str]
    parity: Sequence[Row]
    checks: Checks
    optimum: Size
    cases: Sequence[Size]
    affordable: Callable[[Size, int], int]
    fp32: Path | None = None
    on_step: Callable[[str], None] = field(default=lambda text: None)

    def answers(self) -> list[dict[str, Any]]:
        """The report's ``attribution``: one object for each variant."""
        wanted = self.checks.attribute_variants
        check_wanted(wanted, [*(c.variant for c in self.candidates), *self.others])
        chosen = [c for c in self.candidates if not wanted or c.variant in wanted]
        reference = self.attribution.name
        told = [skipped(v, reference, why) for v, why in self.others.items() if not wanted or v in wanted]
        return [*(self._answer(candidate) for candidate in chosen), *told]

    def _answer(self, candidate: Candidate) -> dict[str, Any]:
        self.on_step(f"layers of {candidate.variant}")
        place = self._place(candidate.variant)
        measured = Candidate(
            variant=candidate.variant,
            path=candidate.path,
            layout=candidate.layout,
            error=self._error(candidate.variant, place),
        )
        try:
            found = self.attribution.of(measured, place)
        except NotCut as why:
            return skipped(candidate.variant, self.attribution.name, str(why))
        if not self.checks.try_fix:
            return found.as_json()
        self.on_step(f"trying a fix of {candidate.variant}")
        try:
            return found.as_json(found.tried(self._cases(place), self.fp32))
        except FcnshipError as error:  # a layer that cannot be kept, or a graph that cannot be made again
            return {**found.as_json(), "reason": f"the suggestion could not be tried: {error.what}"}

    def _place(self, variant: str) -> Place:
        """Where the variant failed worst, at the smallest batch that failed there; else the optimum."""
        rows = [row for row in self.parity if row["variant"] == variant]
        failed = [row for row in rows if not row["passed"]]
        size = self.checks.attribute_size
        if size is None and failed:
            worst = max(failed, key=lambda row: _share(row))
            size = Size(worst["height"], worst["width"])
        size = size or self.optimum
        at = [row["batch"] for row in failed if (row["height"], row["width"]) == (size.height, size.width)]
        return Place(size=size, batch=min(at) if at else self.affordable(size, _IMAGES))

    def _error(self, variant: str, place: Place) -> float | None:
        where = (place.size.height, place.size.width, place.batch)
        for row in self.parity:
            if row["variant"] == variant and (row["height"], row["width"], row["batch"]) == where:
                return float(row["max_abs"])
        return None

    def _cases(self, place: Place) -> list[tuple[Size, int]]:
        sizes = {*self.cases, place.size}
        batches = {size: self.affordable(size, _IMAGES) for size in sizes}
        return [
            (size, max(batches[size], place.batch if size == place.size else 1)) for size in sorted(sizes)
        ]


def why_not(variant: str) -> str:
    """Why a variant of another form cannot be taken apart."""
    if variant.startswith("engine-"):
        return "TensorRT has merged an engine's layers: look into the ONNX file that it was built from"
    return "only ONNX files can be cut at their layers"


def _share(row: Row) -> float:
    return float(row["max_abs"]) / max(float(row["tolerance"]), 1e-30)
