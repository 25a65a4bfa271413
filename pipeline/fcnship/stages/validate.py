"""validate: every variant that runs here against the original: parity, accuracy, latency over the range."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.data.notes import summary_of
from fcnship.driver import StageResult
from fcnship.frameworks import import_keras
from fcnship.graph.cost import cost_of
from fcnship.machine import available_bytes, environment
from fcnship.runners import ORIGINAL, Runner, Unrunnable, open_runner
from fcnship.session import Session
from fcnship.sizes import Size
from fcnship.stages.engine import ONNX_FILES
from fcnship.stages.engine_files import check_engines
from fcnship.stages.run_attribution import run_attribution
from fcnship.stages.run_parity import RunParity
from fcnship.stages.savedmodel import FOLDER as SAVEDMODEL_FOLDER
from fcnship.verify.accuracy import accuracy_rows, image_counts
from fcnship.verify.accuracy_grid import accuracy_sizes
from fcnship.verify.attribution.ask import check_wanted
from fcnship.verify.checks import Checks
from fcnship.verify.latency import latency_cases, latency_rows
from fcnship.verify.reproducer import FOLDER as REPRODUCERS
from fcnship.verify.sweep import DOES_NOT_RUN

FILE = "validation.json"
# Times are kept apart: two runs that find the same facts write the same validation.json.
LATENCY = "latency.json"
_SHARE_OF_MEMORY = 4
_LATENCY_STEPS = 10
_MOST_IMAGES_AT_ONCE = 512


class Validate:
    """Writes ``validation.json`` and ``latency.json``: the rows that every report is made from."""

    name = "validate"
    needs = ("train", "convert", "savedmodel", "onnx", "fp16", "int8", "engine")
    libraries = ("tensorflow", "keras", "onnxruntime")

    def __init__(self, checks: Checks | None = None) -> None:
        self._checks = checks or Checks()

    def inputs(self, session: Session) -> Mapping[str, str]:
        """The data, the profiles and what was asked for, besides the variants."""
        return {
            "checks": str(self._checks),
            **session.data_inputs,
            "profiles": " ".join(str(profile) for profile in session.profiles),
        }

    def requires(self, session: Session) -> None:
        """Keras can be imported, the data can be read, and the engines are this run's."""
        import_keras()
        _ = session.data
        check_engines(session)

    def run(self, session: Session) -> StageResult:
        """Measure, size by size, so that no more than one size's outputs are held."""
        with _opened(session) as (runners, variants):
            # Before minutes are spent: a misspelt name would be told after them.
            check_wanted(
                self._checks.attribute_variants,
                [row["variant"] for row in variants if row["variant"] != ORIGINAL],
            )
            steps = _Steps(session, runners, variants, self._checks)
            rows = {
                "environment": environment(),
                "variants": variants,
                **steps.parity(),
                "accuracy": steps.accuracy(),
            }
            latency, timing = steps.latency()
        if self._checks.attribute:  # after the variants are closed: layers are run by themselves
            rows["attribution"] = run_attribution(session, rows, self._checks, steps.affordable)
        measured = datetime.now(timezone.utc).isoformat(timespec="seconds")
        timed = {"measured": measured, "latency": latency, "timing": timing}
        for file, found in ((FILE, rows), (LATENCY, timed)):
            session.workspace.write_text(file, json.dumps(found, indent=1) + "\n")
        reproducers = [REPRODUCERS] if rows["reproducers"] else []
        return StageResult(files=(FILE, LATENCY, *reproducers), facts=_facts(session, rows))

    def ensures(self, session: Session, result: StageResult) -> None:
        """Every variant that was run has been compared at least once."""
        rows = json.loads(session.workspace.path(FILE).read_text(encoding="utf-8"))
        ran = {row["variant"] for row in rows["variants"] if row["status"] == "run"} - {ORIGINAL}
        missing = ran - {row["variant"] for row in rows["parity"]}
        assert not missing, f"not compared: {missing}"


class _Steps:
    """The three measurements, with one count of progress over all of them."""

    def __init__(
        self,
        session: Session,
        runners: Sequence[Runner],
        variants: Sequence[Mapping[str, Any]],
        checks: Checks,
    ) -> None:
        self._session, self._runners = session, runners
        self._parity = RunParity(session, runners, variants, checks, self.affordable)
        self._sizes = accuracy_sizes(session.profiles)
        self._done = 0
        self._total = len(self._parity.cases) + len(self._sizes) + _LATENCY_STEPS

    def parity(self) -> dict[str, Any]:
        found = self._parity.rows(self._step)
        broken = {row["variant"] for row in found["parity"] if row["fault"].startswith(DOES_NOT_RUN)}
        # What raised there would raise here too, and hide what parity has found.
        self._runners = [runner for runner in self._runners if runner.variant not in broken]
        return found

    def accuracy(self) -> list[dict[str, Any]]:
        data, value_range = self._session.data, self._session.facts.value_range
        network, profiles = self._session.facts.network, self._session.profiles
        counts = image_counts(profiles, lambda size: cost_of(network, size).multiply_adds, len(data.x_test))
        rows = []
        for size in self._sizes:
            rows += accuracy_rows(self._runners, data, value_range, size, self._batches(size), counts[size])
            self._step(f"accuracy at {size}")
        return rows

    def _batches(self, size: Size) -> dict[str, int]:
        """How many images each variant takes at once: larger than any profile's where it takes any."""
        served = self.affordable(size, max(profile.batch[2] for profile in self._session.profiles))
        most = self.affordable(size, _MOST_IMAGES_AT_ONCE)
        engines = {r.variant for r in self._runners if r.variant.startswith("engine-")}
        return {r.variant: served if r.variant in engines else most for r in self._runners}

    def latency(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The rows, and what stands beside them: how they were timed."""
        cases = latency_cases(self._session.profiles)
        too_large = [c for c in cases if c.optional and self.affordable(c.size, c.batch) < c.batch]
        rows, timing = latency_rows(
            self._runners,
            [case for case in cases if case not in too_large],
            lambda case: self._images(case.size, case.batch),
            progress=self._timing,
        )
        timing["left_out"] += [f"{case}: it does not fit into the free memory" for case in too_large]
        return rows, timing

    def _timing(self, share: float) -> None:
        left = round((1 - share) * _LATENCY_STEPS)
        self._session.events.progress(self._total - left, self._total, "latency")

    def _images(self, size: Size, batch: int) -> np.ndarray[Any, Any]:
        """Test images, and noise as the last of several: real images alone leave channels dark."""
        data, value_range = self._session.data, self._session.facts.value_range
        rng = np.random.default_rng((size.height, size.width, batch))
        chosen = rng.integers(len(data.x_test), size=batch)
        images = data.at_size(data.x_test, chosen, size, value_range)
        if batch > 1:
            images[-1] = rng.uniform(*value_range, images[-1].shape)
        return images

    def affordable(self, size: Size, batch: int) -> int:
        """As many of the images as fit into a share of the free memory."""
        each = cost_of(self._session.facts.network, size).peak_bytes
        return max(1, min(batch, available_bytes() // _SHARE_OF_MEMORY // max(each, 1)))

    def _step(self, text: str) -> None:
        self._done += 1
        self._session.events.progress(self._done, self._total, text)


@contextlib.contextmanager
def _opened(session: Session) -> Iterator[tuple[list[Runner], list[dict[str, Any]]]]:
    """The variants that run here, the original first, and a row about each that was built."""
    runners, rows = [], []
    try:
        for variant, relative in built_variants(session):
            path = session.workspace.path(relative)
            row = {"variant": variant, "path": relative, **_measured(session, relative)}
            try:
                runners.append(open_runner(variant, path, session.options.layout))
                rows.append({**row, "status": "run", "reason": ""})
            except Unrunnable as why:
                rows.append({**row, "status": "not run", "reason": str(why)})
        yield runners, rows
    finally:
        for runner in runners:
            runner.close()


def built_variants(session: Session) -> list[tuple[str, str]]:
    """The variants of a run and their paths in its folder, in the order of the stages."""
    records = session.workspace.records()
    built = [(ORIGINAL, session.network_path), ("savedmodel", SAVEDMODEL_FOLDER)]
    for precision, (stage, file) in ONNX_FILES.items():
        if stage in records and records[stage].status == "done":
            built.append((f"onnx-{precision}", file))
    engine = records.get("engine")
    plans = [a.path for a in engine.artifacts if a.path.endswith(".engine")] if engine else []
    return built + [(f"engine-{Path(plan).stem.rpartition('-')[2]}", plan) for plan in plans]


def _measured(session: Session, relative: str) -> dict[str, Any]:
    """Bytes of a file or a folder, and the hash of its files."""
    from fcnship.hashing import sha256_of_value

    artifacts = session.workspace.artifacts(relative)
    single = artifacts[0].sha256 if len(artifacts) == 1 else sha256_of_value([a.sha256 for a in artifacts])
    return {"bytes": sum(a.bytes for a in artifacts), "sha256": single}


def _facts(session: Session, rows: Mapping[str, Any]) -> dict[str, Any]:
    data = {
        "name": session.data_source.name,
        "sha256": session.data_fingerprint,
        **summary_of(session.data, session.profiles),
    }
    return {"comparisons": len(rows["parity"]), "data": data}
