"""The gates of a validation, each asked about a copy: the product's own functions, and none of its own.

Each gives what it found wrong, or None. What a user meets behind them: ``fcnship validate`` of files and of a
run, its rows, reasons and errors.
"""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` for a file of this package)
from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcnship.errors import ArtifactError, ParityFailed
from fcnship.precision.truth import check_file
from fcnship.reports.figures import percent_text, share, tolerance_text, where_text
from fcnship.runners import Runner
from fcnship.stages.engine_files import check_engines
from fcnship.validation import FilesRequest, validate_files
from fcnship.verify.accuracy import accuracy_rows
from fcnship.verify.accuracy_gate import accuracy_reasons, held_to
from fcnship.verify.checks import Checks
from fcnship.verify.gates import judged, latency_reasons
from fcnship.verify.latency import latency_rows
from fcnship.verify.parity import NO_NUMBER
from fcnship.verify.ratios import ZONE
from fcnship.verify.schedule import Case
from fcnship.verify.selftest.outcome import Found
from fcnship.verify.selftest.slowed import Slowed
from fcnship.verify.selftest.specimen import Specimen

Row = Mapping[str, Any]
# Of the images that the original decides; one of 64 may lie so close that rounding decides it.
FLOOR = 0.98
# The least --max-slowdown that says something: below it a file against its own copy is not decided.
ALLOWED = 1 + ZONE


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The report of ``fcnship validate`` on files, and which variant each file is in it."""

    report: Mapping[str, Any]
    variants: Mapping[Path, str]

    def rows(self, path: Path) -> list[Row]:
        """The parity rows of a file."""
        return [row for row in self.report["parity"] if row["variant"] == self.variants[path]]

    @property
    def refusals(self) -> list[Row]:
        """The rows about sizes that an engine has to refuse."""
        return list(self.report["refusals"])


def compared(specimen: Specimen, paths: Sequence[Path], seed: int, outputs: Path | None = None) -> Compared:
    """``fcnship validate ORIGINAL PATHS --seed``, with ``--load-outputs`` where there are some."""
    session = specimen.session
    request = FilesRequest(
        paths=(session.network_file, *paths),
        profiles=session.profiles,
        data=session.options.data,
        value_range=session.facts.value_range,
        seed=seed,
        checks=Checks(load_outputs=outputs),
    )
    report = validate_files(request)
    named = {Path(row["path"]): row["variant"] for row in report["variants"]}
    assert report["verdict"] == ("fail" if _failed([*report["parity"], *report["refusals"]]) else "pass")
    return Compared(report=report, variants=named)


def parity(rows: Sequence[Row]) -> Found | None:
    """What parity says of one variant: its worst row, in tolerances."""
    failed = _failed(rows)
    if not failed:
        return None
    worst = max(failed, key=share)
    told = str(worst["fault"])
    if told == NO_NUMBER:
        told = "NaN or infinity"
    elif 1 < share(worst) < math.inf:
        told = f"{tolerance_text(worst)} tolerance"
    elif told.startswith("no profile"):
        told = "refused"
    return Found(where=where_text(worst), figure=f"{told}, {len(failed)} of {len(rows)}")


def refusal(rows: Sequence[Row]) -> Found | None:
    """Whether an engine answered where no profile serves."""
    failed = _failed(rows)
    if not failed:
        return None
    return Found(where=where_text(failed[0]), figure=f"it answers, {len(failed)} of {len(rows)}")


def precision(path: Path, wanted: str, keep: Collection[str] = ()) -> Found | None:
    """Precision truth: what an ONNX file computes in, by its types."""
    import onnx

    try:
        check_file(onnx.load(path), wanted, keep, path.name)
    except ParityFailed as error:
        return Found(where=path.name, figure=error.what.partition(": ")[2])
    return None


def accuracy(specimen: Specimen, runner: Runner) -> Found | None:
    """The share of images on which a variant decides as the original does, held to a floor of 98 %."""
    size, data = specimen.smallest, specimen.decided
    rows = accuracy_rows([runner], data, specimen.session.facts.value_range, size, {runner.variant: 1})
    rows = held_to(FLOOR, rows)
    if not accuracy_reasons(rows):
        return None
    return Found(
        where=str(size), figure=f"{percent_text(rows[0]['accuracy'])} right, floor {FLOOR * 100:.0f} %"
    )


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A latency gate's finding, the ratio with its interval, and the least slowdown that it could see.

    ``undecided``: the interval has the true slowdown in it and reaches below the least limit: the timing, and
    not the gate, is what saw nothing.
    """

    found: Found | None
    interval: str
    smallest_effect: float
    undecided: bool


def latency(specimen: Specimen, slowdown: float, seed: int, seconds: float) -> Timing:
    """The ONNX file over itself at the smallest size, as a gate; the second may be slowed.

    Both are one session: a file that is opened twice may differ from itself by more than the slowdown, by
    where its weights came to lie in memory. Both wait, the one for nothing, so that what is measured is the
    slowdown and not the waiting's own cost.
    """
    opened = specimen.onnx_runner()
    runners: list[Runner] = [Slowed(opened, share) for share in (0.0, slowdown)]
    case = Case(size=specimen.smallest, batch=specimen.session.profiles[0].batch[0])
    images = specimen.images(seed)
    rows, _ = latency_rows(
        runners, [case], lambda case: images(case.size, case.batch), seconds=seconds, seed=seed
    )
    opened.close()
    row = judged(rows, ALLOWED)[-1]
    told = f"{row['ratio_low']:.3f}-{row['ratio_high']:.3f}x, limit {ALLOWED:g}"
    found = Found(where=where_text(row), figure=told) if latency_reasons([row], None) else None
    return Timing(
        found=found,
        interval=told,
        smallest_effect=row["smallest_effect"],
        undecided=row["ratio_low"] <= 1 + ZONE and 1 + slowdown <= row["ratio_high"],
    )


def engine(specimen: Specimen) -> Found | None:
    """Whether the engines are those of the run, by what can be read without a GPU."""
    try:
        check_engines(specimen.session)
    except ArtifactError as error:
        what, _, says = error.what.partition(" is not an engine of this run: ")
        return Found(where=Path(what).stem, figure=says.partition(";")[0].removeprefix("its "))
    return None


def damage(specimen: Specimen) -> Found | None:
    """Whether every file is what its stage recorded: its size and its SHA-256."""
    workspace = specimen.session.workspace
    for record in workspace.records().values():
        for path, wrong in workspace.damage(record).items():
            return Found(where=path, figure=f"it {wrong}")
    return None


def _failed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not row["passed"]]
