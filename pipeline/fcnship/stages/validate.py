"""validate: every variant that runs here against the original: parity, accuracy, latency over the range."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.data.images import resize, to_range
from fcnship.driver import StageResult
from fcnship.frameworks import import_keras
from fcnship.graph.cost import cost_of
from fcnship.graph.facts import ModelFacts
from fcnship.graph.loading import load_model
from fcnship.machine import available_bytes, environment
from fcnship.runners import ORIGINAL, Runner, Unrunnable, open_runner, run
from fcnship.session import Session
from fcnship.sizes import Size
from fcnship.stages.onnx import FILE as ONNX_FILE
from fcnship.stages.savedmodel import FOLDER as SAVEDMODEL_FOLDER
from fcnship.stages.train import MODEL
from fcnship.verify.accuracy import accuracy_rows, accuracy_sizes, images_for
from fcnship.verify.latency import latency_rows
from fcnship.verify.parity import parity_cases, parity_row
from fcnship.verify.tolerance import Tolerance

FILE = "validation.json"
BEFORE_CONVERSION = "original"
_SHARE_OF_MEMORY = 4


class Validate:
    """Writes ``validation.json``: the rows that every report is made from."""

    name = "validate"
    needs = ("train", "convert", "savedmodel", "onnx", "engine")
    libraries = ("tensorflow", "keras", "onnxruntime")

    def inputs(self, session: Session) -> Mapping[str, str]:
        """The data and the profiles, besides the variants."""
        return {
            "data": session.data_fingerprint,
            "profiles": " ".join(str(profile) for profile in session.profiles),
        }

    def requires(self, session: Session) -> None:
        """Keras can be imported and the data can be read."""
        import_keras()
        _ = session.data

    def run(self, session: Session) -> StageResult:
        """Measure, size by size, so that no more than one size's outputs are held."""
        with _opened(session) as (runners, variants):
            steps = _Steps(session, runners)
            rows = {
                "environment": environment(),
                "variants": variants,
                "parity": steps.parity(),
                "accuracy": steps.accuracy(),
                "latency": steps.latency(),
            }
        session.workspace.write_text(FILE, json.dumps(rows, indent=1) + "\n")
        return StageResult(files=(FILE,), facts=_facts(session, rows))

    def ensures(self, session: Session, result: StageResult) -> None:
        """Every variant that was run has been compared at least once."""
        rows = json.loads(session.workspace.path(FILE).read_text(encoding="utf-8"))
        ran = {row["variant"] for row in rows["variants"] if row["status"] == "run"} - {ORIGINAL}
        missing = ran - {row["variant"] for row in rows["parity"]}
        assert not missing, f"not compared: {missing}"


class _Steps:
    """The three measurements, with one count of progress over all of them."""

    def __init__(self, session: Session, runners: Sequence[Runner]) -> None:
        self._session, self._runners = session, runners
        self._tolerance = Tolerance(load_model(session.network_file))
        self._cases = parity_cases(session.facts.network, session.profiles)
        self._ladder = accuracy_sizes(session.profiles)
        self._timed = sorted({s for p in session.profiles for s in (p.min, p.opt, p.max)})
        self._done = 0
        self._total = len(self._cases) + len(self._ladder) * len(runners) + len(self._timed)

    def parity(self) -> list[dict[str, Any]]:
        original, candidates, network = self._runners[0], self._runners[1:], self._session.facts.network
        rows = []
        for size, batch in self._cases:
            images = self._images(size, self._affordable(size, batch))
            expected = run(original, images)
            bounds = self._tolerance.at(images, expected, cost_of(network, size).multiply_adds)
            rows += [parity_row(candidate, ORIGINAL, images, expected, *bounds) for candidate in candidates]
            self._step(f"parity at {size}")
        return [row for row in (*self._conversion(), *rows) if row]

    def _conversion(self) -> list[dict[str, Any] | None]:
        """The converted network against the one it was made from, at the size of the latter."""
        session = self._session
        trained = ModelFacts.from_json(session.record("train").facts).geometry.input_size
        if not session.converted or trained is None:
            return []
        before = open_runner(ORIGINAL, session.workspace.path(MODEL), session.options.layout)
        tolerance = Tolerance(load_model(session.workspace.path(MODEL)))
        rows = []
        for batch in sorted({1, max(p.batch[2] for p in session.profiles)}):
            images = self._images(trained, self._affordable(trained, batch))
            expected, cost = run(before, images), cost_of(session.facts.network, trained)
            bounds = tolerance.at(images, expected, cost.multiply_adds)
            rows.append(parity_row(self._runners[0], BEFORE_CONVERSION, images, expected, *bounds))
        return rows

    def accuracy(self) -> list[dict[str, Any]]:
        data, value_range = self._session.data, self._session.facts.value_range
        rows = []
        for size in self._ladder:
            count = images_for(cost_of(self._session.facts.network, size).multiply_adds)
            batch = self._affordable(size, max(p.batch[2] for p in self._session.profiles))
            for runner in self._runners:
                # Batches may be larger than any profile's where the variant takes any.
                most = batch if runner.variant.startswith("engine-") else self._affordable(size, 512)
                rows.append(accuracy_rows(runner, data, value_range, size, most, count))
                self._step(f"accuracy at {size}")
        return [row for row in rows if row]

    def latency(self) -> list[dict[str, Any]]:
        rows = []
        for size in self._timed:
            rows += latency_rows(self._runners, self._images(size, 1))
            self._step(f"latency at {size}")
        return rows

    def _images(self, size: Size, batch: int) -> np.ndarray[Any, Any]:
        """Test images, and noise as the last of several: real images alone leave channels dark."""
        data, value_range = self._session.data, self._session.facts.value_range
        rng = np.random.default_rng((size.height, size.width, batch))
        chosen = rng.integers(len(data.x_test), size=batch)
        images = to_range(resize(data.x_test[chosen], size), data.value_range, value_range)
        if batch > 1:
            images[-1] = rng.uniform(*value_range, images[-1].shape)
        return images

    def _affordable(self, size: Size, batch: int) -> int:
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
    built = [(ORIGINAL, session.network_path), ("savedmodel", SAVEDMODEL_FOLDER), ("onnx-fp32", ONNX_FILE)]
    engine = session.workspace.records().get("engine")
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
        "train": len(session.data.x_train),
        "test": len(session.data.x_test),
    }
    return {"comparisons": len(rows["parity"]), "data": data}
