"""Runs the self-test: clean copies through every gate, then each fault to the gate that has to catch it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fcnship.errors import UsageError
from fcnship.events import Events
from fcnship.frameworks import import_keras
from fcnship.verify.selftest import gates
from fcnship.verify.selftest.clean import clean_pass
from fcnship.verify.selftest.faults import NoPlace
from fcnship.verify.selftest.list_of_faults import FAULTS, Fault, Undecided, faulty_file
from fcnship.verify.selftest.outcome import EXIT_CODES, Found, Outcome, SelfTest, Status
from fcnship.verify.selftest.small_network import NAME, small_network
from fcnship.verify.selftest.specimen import ONNX, Specimen

DEFAULT_RUN = Path("artifacts/multiscale")
# Faulty files are opened together; one of VGG16 has 0.55 GB.
_MOST_BYTES = 1 << 30
_CHANGES_NOTHING = "it changes no output of this network"
_STOOD_IN = (
    "The wrong profiles stood before ONNX Runtime, and its answers went to the gate as --load-outputs gives "
    "those of an engine on another machine."
)


def selftest(run: Path | None, clean: int, events: Events, faults: Sequence[Fault] = FAULTS) -> SelfTest:
    """Ask each gate about the fault that it is for, and every gate about clean copies ``clean`` times.

    Without ``run``, artifacts/multiscale is copied where it is there, else a small network is made.
    """
    if clean < 0:
        raise UsageError(
            f"{clean} clean passes cannot be made",
            cause="it is how often clean copies go through the gates",
            next="give --clean 3, or 0 for none",
        )
    start = time.perf_counter()
    import_keras()
    events.stage_started("selftest")
    chosen = run or (DEFAULT_RUN if (DEFAULT_RUN / "run.json").is_file() else None)
    with tempfile.TemporaryDirectory(prefix="fcnship-selftest-") as folder:
        trial = Trial(Path(folder), events, clean + len(faults))
        specimen = Specimen.copy_of(chosen, Path(folder)) if chosen else small_network(Path(folder))
        passes = []
        for number in range(1, clean + 1):
            trial.step(f"clean copies, {number} of {clean}")
            passes.append(clean_pass(specimen, number))
        outcomes = trial.outcomes(specimen, faults)
        if chosen:
            outcomes = trial.again_where_skipped(outcomes, faults)
        specimen.close()
    return SelfTest(
        network=specimen.name,
        outcomes=tuple(outcomes),
        clean=tuple(passes),
        notes=(_STOOD_IN,) if any(outcome.gate == "refusal" for outcome in outcomes) else (),
        seconds=round(time.perf_counter() - start, 1),
    )


class Trial:
    """Puts faults into copies in a scratch folder, and tells how far it is."""

    def __init__(self, scratch: Path, events: Events, total: int) -> None:
        self._scratch, self._events, self._total, self._done = scratch, events, total, 0

    def step(self, text: str) -> None:
        """One more of what there is to do has begun."""
        self._done = min(self._done + 1, self._total)
        self._events.progress(self._done, self._total, text)

    def outcomes(self, specimen: Specimen, faults: Sequence[Fault]) -> list[Outcome]:
        """An outcome for each fault, in their order."""
        found: dict[str, Outcome] = {}
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            for part in _parts(specimen, [fault for fault in faults if fault.inject]):
                found |= self._swept(specimen, part, Path(folder))
            for fault in faults:
                if fault.ask:
                    self.step(fault.name)
                    own = Path(folder) / f"{len(found)}"
                    own.mkdir()
                    found[fault.name] = _asked(specimen, fault, own)
        return [found[fault.name] for fault in faults]

    def again_where_skipped(self, outcomes: Sequence[Outcome], faults: Sequence[Fault]) -> list[Outcome]:
        """What the run has no place for is put into the small network; why is told all the same."""
        skipped = {outcome.fault: outcome for outcome in outcomes if outcome.status == "skipped"}
        if not skipped:
            return list(outcomes)
        self._events.say("making a small network for the faults that this one has no place for")
        small = small_network(self._scratch)
        again = {
            outcome.fault: replace(outcome, reason=_both(skipped[outcome.fault], outcome))
            for outcome in self.outcomes(small, [fault for fault in faults if fault.name in skipped])
        }
        small.close()
        return [again.get(outcome.fault, outcome) for outcome in outcomes]

    def _swept(self, specimen: Specimen, faults: Sequence[Fault], folder: Path) -> dict[str, Outcome]:
        """Each of the faults in a file of its own, and all files in one sweep beside the sound one."""
        found, paths = {}, {}
        for fault in faults:
            self.step(fault.name)
            assert fault.inject
            try:
                path = folder / f"{fault.name.replace(' ', '-')}.onnx"
                paths[fault.name] = faulty_file(specimen, fault.inject, path)
            except NoPlace as why:
                found[fault.name] = _outcome(specimen, fault, "skipped", reason=str(why))
        if paths:
            sound = specimen.path(ONNX)
            compared = gates.compared(specimen, [sound, *paths.values()], seed=0)
            for fault in faults:
                if fault.name in paths:
                    rows = compared.rows(paths[fault.name])
                    found[fault.name] = _judged(specimen, fault, gates.parity(rows))
                    if found[fault.name].status == "missed" and _same(rows, compared.rows(sound)):
                        found[fault.name] = _without_effect(specimen, fault)
        for path in paths.values():
            path.unlink()
        return found


def _parts(specimen: Specimen, faults: Sequence[Fault]) -> Iterator[Sequence[Fault]]:
    """As many faults at a time as there is room for their files."""
    together = max(1, _MOST_BYTES // max(specimen.path(ONNX).stat().st_size, 1))
    for start in range(0, len(faults), together):
        yield faults[start : start + together]


def _asked(specimen: Specimen, fault: Fault, folder: Path) -> Outcome:
    assert fault.ask
    try:
        return _judged(specimen, fault, fault.ask(specimen, folder))
    except NoPlace as why:
        return _outcome(specimen, fault, "skipped", reason=str(why))
    except Undecided as why:
        return _outcome(specimen, fault, "undecided", reason=str(why))


def _judged(specimen: Specimen, fault: Fault, found: Found | None) -> Outcome:
    if found is None:
        return _outcome(specimen, fault, "missed", reason="the gate let it pass")
    return _outcome(specimen, fault, "caught", found)


def _without_effect(specimen: Specimen, fault: Fault) -> Outcome:
    """A network may be blind to a fault, and the small one is made so that it is blind to none."""
    status: Status = "missed" if specimen.name == NAME else "skipped"
    return _outcome(specimen, fault, status, reason=_CHANGES_NOTHING)


def _outcome(
    specimen: Specimen, fault: Fault, status: Status, found: Found | None = None, reason: str = ""
) -> Outcome:
    return Outcome(
        fault=fault.name,
        gate=fault.gate,
        exit_code=EXIT_CODES[fault.gate],
        network=specimen.name,
        status=status,
        where=found.where if found else "",
        figure=found.figure if found else "",
        reason=reason,
    )


def _same(rows: Sequence[gates.Row], sound: Sequence[gates.Row]) -> bool:
    return [row["max_abs"] for row in rows] == [row["max_abs"] for row in sound]


def _both(on_run: Outcome, on_small: Outcome) -> str:
    first = f"{on_run.network}: {on_run.reason}"
    return f"{first}; {on_small.network}: {on_small.reason}" if on_small.reason else first
