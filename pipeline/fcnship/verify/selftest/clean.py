"""Clean copies through every gate: nothing may fail."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fcnship.verify.selftest import gates
from fcnship.verify.selftest.outcome import Clean, Found, Gate
from fcnship.verify.selftest.profile_faults import saved_outputs
from fcnship.verify.selftest.specimen import Specimen, narrowed_file

_SECONDS = 3.0


def clean_pass(specimen: Specimen, number: int) -> Clean:
    """Ask every gate about sound copies; each ``number`` draws images of its own."""
    start = time.perf_counter()
    asked = [*_by_files(specimen), *_by_rows(specimen, number), *_by_runners(specimen, number)]
    return Clean(
        number=number,
        seconds=round(time.perf_counter() - start, 1),
        checks=sum(count for _, count, _ in asked),
        failures=tuple((gate, f"{found.where}: {found.figure}") for gate, _, found in asked if found),
    )


Asked = Iterator[tuple[Gate, int, "Found | None"]]
"""A gate, how many things it looked at, and what it found."""


def _by_files(specimen: Specimen) -> Asked:
    """Hashes, engines, and what the ONNX files compute in."""
    records = specimen.session.workspace.records().values()
    yield "hash", sum(len(record.artifacts) for record in records), gates.damage(specimen)
    yield "engine", 1, gates.engine(specimen)
    for source in specimen.sources:
        path = specimen.path(source.file)
        yield "precision", 1, gates.precision(path, source.precision, source.keep)
    if all(source.precision != "fp16" for source in specimen.sources):
        with tempfile.TemporaryDirectory(dir=specimen.folder.parent) as folder:
            path = narrowed_file(specimen, Path(folder) / "fp16.onnx")
            yield "precision", 1, gates.precision(path, "fp16")


def _by_rows(specimen: Specimen, seed: int) -> Asked:
    """Parity of every file that runs here, and of an engine's outputs from a machine that can run one."""
    with tempfile.TemporaryDirectory(dir=specimen.folder.parent) as folder:
        outputs = saved_outputs(specimen, specimen.session.profiles, seed, Path(folder) / "outputs.npz")
        for compared in (
            gates.compared(specimen, specimen.files, seed),
            gates.compared(specimen, [], seed, outputs),
        ):
            for variant in sorted({row["variant"] for row in compared.report["parity"]}):
                rows = [row for row in compared.report["parity"] if row["variant"] == variant]
                yield "parity", len(rows), gates.parity(rows)
            if refusals := compared.report["refusals"]:
                yield "refusal", len(refusals), gates.refusal(refusals)


def _by_runners(specimen: Specimen, seed: int) -> Asked:
    """Accuracy and latency of the ONNX file."""
    runner = specimen.onnx_runner()
    yield "accuracy", 1, gates.accuracy(specimen, runner)
    yield "latency", 1, gates.latency(specimen, 0.0, seed, _SECONDS).found
    runner.close()
