"""The parity of a run folder's variants: which sizes, images and bounds; the rows and the reproducers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fcnship.errors import ArtifactError
from fcnship.graph.cost import cost_of
from fcnship.graph.facts import ModelFacts
from fcnship.graph.loading import load_model
from fcnship.graph.propagate import is_legal
from fcnship.runners import ORIGINAL, Runner, open_runner
from fcnship.session import Session
from fcnship.sizes import Size, covering
from fcnship.stages.run_predictions import predictions, told
from fcnship.stages.train import MODEL
from fcnship.verify import reproducer
from fcnship.verify.bounds import (
    POOLED_IMAGES,
    Bounds,
    FixedBounds,
    MeasuredBounds,
    Prediction,
    pooled,
)
from fcnship.verify.checks import Checks
from fcnship.verify.image_batches import ImageBatches
from fcnship.verify.outputs_file import Recorder, SavedOutputs, read_outputs
from fcnship.verify.sizes_that_find import cases_that_find
from fcnship.verify.sweep import Subject, sweep
from fcnship.verify.tolerance import Tolerance

BEFORE_CONVERSION = "original"
Variants = Sequence[Mapping[str, Any]]


class RunParity:
    """Sweeps a run's variants, those with outputs from another machine too."""

    def __init__(
        self,
        session: Session,
        runners: Sequence[Runner],
        variants: Variants,
        checks: Checks,
        affordable: Callable[[Size, int], int],
    ) -> None:
        self._session, self._runners, self._variants, self._checks = session, runners, variants, checks
        self._affordable = affordable
        self._saved = read_outputs(checks.load_outputs) if checks.load_outputs else None
        self._stride = stride_of(session.facts)
        self.cases = list(self._saved.cases) if self._saved else self._own_cases()

    def rows(self, on_step: Callable[[str], None]) -> dict[str, Any]:
        """The report's tables, warnings, and the tolerance in words."""
        session, subject = self._session, self._subject()
        recorder = Recorder(self._images(), session.data_source.name, session.profiles)
        swept = sweep(subject, self.cases, on_step, recorder if self._checks.save_outputs else None)
        if self._checks.save_outputs:
            names = [runner.variant for runner in (subject.reference, *subject.candidates)]
            hashes = {row["variant"]: str(row["sha256"]) for row in self._variants}
            recorder.write(self._checks.save_outputs, {name: hashes.get(name, "") for name in names})
        return {
            "parity": [*self._conversion(), *swept.parity],
            "refusals": swept.refusals,
            "budget": swept.budget,
            "reproducers": self._reproducers(subject, swept.parity),
            "parity_warnings": swept.warnings,
            "tolerance": subject.bounds.text() + told(subject.predictions),
        }

    def _own_cases(self) -> list[tuple[Size, int]]:
        network = self._session.facts.network
        return cases_that_find(
            self._session.profiles, self._stride, lambda size: is_legal(network, size), self._checks.sizes
        )

    def _subject(self) -> Subject:
        session, original = self._session, self._runners[0]
        profiles, network = session.profiles, session.facts.network
        loaded = loaded_runners(self._saved, self._variants) if self._saved else []
        measured = MeasuredBounds(
            tolerance=Tolerance(load_model(session.network_file)),
            multiply_adds=lambda size: cost_of(network, size).multiply_adds,
        )
        return Subject(
            reference=original,
            candidates=[*self._runners[1:], *loaded],
            images=self._images(),
            bounds=chosen_bounds(self._pooled(measured, original), self._checks),
            served=lambda size, batch: any(profile.serves(size, batch) for profile in profiles),
            # The hash of a batch hangs on how many images it has.
            affordable=(lambda size, batch: batch)
            if self._saved or self._checks.save_outputs
            else self._affordable,
            predictions=self._predictions([*self._runners[1:], *loaded]),
        )

    def _predictions(self, candidates: Sequence[Runner]) -> dict[str, Prediction]:
        """How far narrow variants may move the outputs, where no tolerance was asked for."""
        return {} if self._checks.fixed else predictions(self._session, candidates, self._images())

    def _pooled(self, measured: Bounds, original: Runner) -> Bounds:
        size = self._session.profiles[0].opt
        return pooled(measured, original, self._images(), size, self._affordable(size, POOLED_IMAGES))

    def _images(self) -> ImageBatches:
        return image_batches(self._session)

    def _conversion(self) -> list[dict[str, Any]]:
        """The converted network against the one it was made from, at the size of the latter."""
        session = self._session
        trained = ModelFacts.from_json(session.record("train").facts).geometry.input_size
        if not session.converted or trained is None:
            return []
        before = open_runner(ORIGINAL, session.workspace.path(MODEL), session.options.layout)
        before.variant = BEFORE_CONVERSION
        network = session.facts.network
        measured = MeasuredBounds(
            tolerance=Tolerance(load_model(session.workspace.path(MODEL))),
            multiply_adds=lambda size: cost_of(network, size).multiply_adds,
        )
        subject = Subject(
            reference=before,
            candidates=self._runners[:1],
            images=self._images(),
            bounds=chosen_bounds(measured, self._checks),
            served=lambda size, batch: True,
            affordable=self._affordable,
        )
        batches = sorted({1, max(profile.batch[2] for profile in session.profiles)})
        return sweep(subject, [(trained, batch) for batch in batches]).parity

    def _reproducers(self, subject: Subject, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One for each variant that failed and can be run here."""
        session = self._session
        session.workspace.remove([reproducer.FOLDER])
        failed = defaultdict(list)
        for row in rows:
            if not row["passed"]:
                failed[row["variant"]].append(dict(row))
        paths = {row["variant"]: row["path"] for row in self._variants}
        found = [
            reproducer.written(
                subject,
                runner,
                failed[runner.variant],
                smallest=covering(session.profiles)[0],
                stride=self._stride,
                workspace=session.workspace,
                model=session.workspace.path(paths[runner.variant]),
                layout=session.options.layout,
            )
            for runner in self._runners[1:]
            if runner.variant in failed
        ]
        return [each for each in found if each]


def image_batches(session: Session) -> ImageBatches:
    """The images on which a run's variants are compared."""
    data, facts = session.data, session.facts
    return ImageBatches(
        channels=facts.geometry.channels,
        value_range=facts.value_range,
        pictures=data.x_test,
        picture_range=data.value_range,
    )


def loaded_runners(saved: SavedOutputs, variants: Variants) -> list[Runner]:
    """Runners for the saved outputs of variants that were built and cannot run here.

    Raises:
        ArtifactError: the outputs are of another file than the run's.
    """
    found: list[Runner] = []
    for row in variants:
        name = row["variant"]
        if row["status"] == "run" or name not in saved.variants:
            continue
        if saved.variants[name] != row["sha256"]:
            raise ArtifactError(
                f"{saved.path} holds outputs of another {name} than {row['path']}",
                cause="it was built again since, or belongs to another run: the SHA-256 differs",
                next=f"run {row['path']} again on the machine that can: fcnship validate --save-outputs",
            )
        found.append(saved.runner(name))
    return found


def chosen_bounds(measured: Bounds, checks: Checks) -> Bounds:
    """The measured bounds, or those that were asked for."""
    if not checks.fixed:
        return measured
    return FixedBounds(measured=measured, atol=checks.atol or 0.0, rtol=checks.rtol or 0.0)


def stride_of(facts: ModelFacts) -> Size:
    """The total stride, down and across; 1 where a network has none."""
    stride = facts.geometry.as_json()["total_stride"]
    down, across = stride if isinstance(stride, list) else (stride, stride)
    return Size(down or 1, across or 1)
