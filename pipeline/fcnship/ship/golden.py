"""Golden data: images, what the Keras network answers, and how far a device's answer may be from it."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.errors import ParityFailed
from fcnship.graph.cost import cost_of
from fcnship.graph.propagate import is_legal
from fcnship.options import Layout
from fcnship.runners import ORIGINAL, Runner, open_runner, precision_of, run, timed, to_layout
from fcnship.session import Session
from fcnship.ship.golden_cases import Case, golden_cases
from fcnship.ship.golden_images import GoldenImages
from fcnship.ship.zipapp import write_entry
from fcnship.sizes import Size
from fcnship.stages.engine import Source
from fcnship.stages.run_parity import image_batches, stride_of
from fcnship.stages.run_predictions import predictions
from fcnship.verify.bounds import POOLED_IMAGES, MeasuredBounds, pooled, tolerance_of
from fcnship.verify.parity import compare
from fcnship.verify.tolerance import Tolerance

Array = np.ndarray[Any, Any]
_MOST_ACTIVATION_BYTES = 1 << 30
# ONNX Runtime and TensorRT may run the same file: what either is allowed is allowed.
_BACKENDS = ("onnx", "engine")
# An INT8 file's own error is known once it has run here. A number half-way between two steps is rounded up on
# one machine and down on another: a whole step, where the prediction moves numbers by half of one. Measured
# in a small network on images of a few grey levels: such ties alone moved outputs by 0.73 predictions.
_TIES = 2.0


@dataclass(frozen=True, kw_only=True)
class Golden:
    """One golden file, its bytes, and for each precision the largest absolute error that is allowed."""

    case: Case
    content: bytes
    tolerance: Mapping[str, float]
    spread: float
    """The largest less the smallest expected output."""

    def as_json(self) -> dict[str, Any]:
        """Its row of the manifest."""
        case = self.case
        where = {"profile": case.profile, "height": case.size.height, "width": case.size.width}
        return {"file": case.file, **where, "batch": case.batch, "tolerance": dict(self.tolerance)}


def golden_of(session: Session, sources: Sequence[Source]) -> list[Golden]:
    """Run the Keras network at every golden case, and hold each ONNX file that is shipped against it.

    Raises:
        ParityFailed: an ONNX file does not stay within the tolerance here, and would not on a device.
    """
    maker = _Maker(session, sources)
    network = session.facts.network
    cases = golden_cases(
        session.profiles,
        stride_of(session.facts),
        session.facts.geometry.channels,
        lambda size: is_legal(network, size),
        lambda size, batch: _at_once(session, size) >= batch,
    )
    found = []
    for case in cases:
        found.append(maker.golden(case))
        session.events.progress(len(found), len(cases), f"golden data at {case.size}")
    return found


def _at_once(session: Session, size: Size) -> int:
    """Images of a size whose activations may be held at once."""
    each = cost_of(session.facts.network, size).peak_bytes
    return max(1, _MOST_ACTIVATION_BYTES // max(each, 1))


class _Maker:
    """The opened networks, and the bounds that a validation of the run has too."""

    def __init__(self, session: Session, sources: Sequence[Source]) -> None:
        from fcnship.runners.keras import KerasRunner

        self._layout: Layout = session.options.layout
        network = session.facts.network
        self._reference = KerasRunner(ORIGINAL, session.network_file)
        self._variants = [
            open_runner(f"onnx-{s.precision}", session.workspace.path(s.file), self._layout) for s in sources
        ]
        real = image_batches(session)

        def multiply_adds(size: Size) -> int:
            return cost_of(network, size).multiply_adds

        self._images = GoldenImages(real, self._reference, multiply_adds)
        measured = MeasuredBounds(tolerance=Tolerance(self._reference.model), multiply_adds=multiply_adds)
        size = session.profiles[0].opt
        batch = min(POOLED_IMAGES, _at_once(session, size))
        self._bounds = pooled(measured, self._reference, real, size, batch)
        self._predictions = predictions(session, self._variants, real)

    def golden(self, case: Case) -> Golden:
        images = self._images(case)
        expected = run(self._reference, images)
        answers = {precision_of(r.variant): _answers(r, images) for r in self._variants}
        tolerance = self._tolerances(case.size, images, expected, answers)
        for precision, found in answers.items():
            for answer in found:
                _check(precision, case, answer, expected, tolerance[precision])
        answer = to_layout(expected, self._layout) if expected.ndim == 4 else expected
        arrays = {"image": to_layout(images, self._layout), "expected": answer}
        spread = float(np.ptp(expected))
        return Golden(case=case, content=npz_bytes(arrays), tolerance=tolerance, spread=spread)

    def _tolerances(
        self, size: Size, images: Array, expected: Array, answers: Mapping[str, Sequence[Array]]
    ) -> dict[str, float]:
        """What a validation allows either runtime; of INT8 no more than its error here and ties explain."""
        noise, _ = self._bounds.at(size, images, expected)
        moved = {name: found.at(size, images, expected) for name, found in self._predictions.items()}
        allowed = {
            name: max(tolerance_of(f"{backend}-{name}", noise, moved.get(name)) for backend in _BACKENDS)
            for name in answers
        }
        if "int8" in moved and "int8" in allowed:
            error = max(compare(answer, expected, math.inf)["max_abs"] for answer in answers["int8"])
            allowed["int8"] = min(allowed["int8"], max(noise, error + _TIES * moved["int8"]))
        return {name: three_digits_up(tolerance) for name, tolerance in allowed.items()}


def _answers(runner: Runner, images: Array) -> list[Array]:
    """As the variant's runtime runs it on a CPU, and as a GPU rounds it where that is emulated."""
    return [run(each, images) for each in dict.fromkeys([runner, timed(runner)])]


def _check(precision: str, case: Case, answer: Array, expected: Array, allowed: float) -> None:
    fault = compare(answer, expected, allowed)["fault"]
    if fault:
        raise ParityFailed(
            f"onnx-{precision} does not hold against its golden data, a batch of {case.batch} at "
            f"{case.size}: {fault}",
            cause="the variant does not compute there what the original computes",
            next="fcnship validate RUN --sizes all shows where it fails, --attribute why",
        )


def three_digits_up(value: float) -> float:
    """Rounded up to three significant digits: no promise is narrower than what was measured."""
    if not value:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / unit) * unit:.3g}")


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """The bytes of a compressed .npz, without a time: equal arrays make equal files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
            write_entry(archive, f"{name}.npy", content.getvalue())
    return held.getvalue()


def weak(golden: Sequence[Golden]) -> tuple[str, ...]:
    """A warning for each precision that may differ by more than half of what the outputs move."""
    spread = max(each.spread for each in golden)
    widest = {name: max(each.tolerance[name] for each in golden) for name in golden[0].tolerance}
    return tuple(
        f"{name} may differ by {allowed:.2g} from outputs that move by {spread:.2g}: its golden data prove "
        "little"
        for name, allowed in widest.items()
        if allowed > spread / 2
    )
