"""A sweep with runners that are told what to answer: rows, refusals, warnings, files of outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcnship.errors import ArtifactError, DataRefused, UsageError
from fcnship.runners import Unrunnable
from fcnship.sizes import Profile, Size
from fcnship.verify.bounds import FixedBounds, PooledBounds, RepeatedBounds, pooled, step_ratio
from fcnship.verify.image_batches import ImageBatches, identity
from fcnship.verify.outputs_file import Recorder, read_outputs
from fcnship.verify.parity_reasons import parity_reasons
from fcnship.verify.sweep import Subject, sweep

PROFILE = Profile.parse("8-16@4")
IMAGES = ImageBatches(channels=1, value_range=(0.0, 1.0))
CASES = [(Size(8, 8), 1), (Size(8, 8), 4), (Size(17, 17), 1)]


def honest(images: Any) -> Any:
    """Two classes: the mean and the contrast of an image."""
    return np.stack([images.mean(axis=(1, 2, 3)), np.ptp(images, axis=(1, 2, 3))], axis=1).astype(np.float32)


class Answering:
    """A runner with a function for a network."""

    def __init__(self, variant: str, function: Callable[[Any], Any]) -> None:
        self.variant, self._function = variant, function

    def prepare(self, images: Any) -> Any:
        return images

    def infer(self, prepared: Any) -> Any:
        return self._function(prepared)

    def finish(self, outputs: Any) -> Any:
        return outputs

    def close(self) -> None: ...


class Engine(Answering):
    """A runner with profiles of its own, as an engine has."""

    def __init__(self, function: Callable[[Any], Any], largest: int) -> None:
        super().__init__("engine-fp32", function)
        self._largest = largest

    def prepare(self, images: Any) -> Any:
        if images.shape[1] > self._largest:
            raise Unrunnable("no profile serves it")
        return images

    def refuses(self, images: Any) -> bool:
        return bool(images.shape[1] > self._largest)


class Wide:
    """Bounds without a measurement."""

    def __init__(self, tolerance: float = 1e-5, floor: float | None = 1e-6) -> None:
        self._found = tolerance, floor

    def at(self, size: Size, images: Any, outputs: Any) -> tuple[float, float | None]:
        return self._found

    def text(self) -> str:
        return "given"


def swept(*candidates: Any, bounds: Any = None, reference: Callable[[Any], Any] = honest, **more: Any) -> Any:
    subject = Subject(
        reference=Answering("keras", reference),
        candidates=candidates,
        images=IMAGES,
        bounds=bounds or Wide(),
        served=PROFILE.serves,
    )
    return sweep(subject, CASES, **more)


def raising(images: Any) -> Any:
    raise ValueError("Got invalid dimensions\nand more")


def test_honest_variants_pass_everywhere() -> None:
    found = swept(Answering("savedmodel", honest), Answering("onnx-fp32", honest))
    assert len(found.parity) == 6
    assert all(row["passed"] for row in found.parity)
    assert found.warnings == []
    assert len(found.budget) == 6


def test_a_variant_that_raises_has_failed_rows_and_the_others_go_on() -> None:
    found = swept(Answering("onnx-fp32", raising), Answering("savedmodel", honest))
    failed = [row for row in found.parity if not row["passed"]]
    assert [row["variant"] for row in failed] == ["onnx-fp32"] * 3
    assert failed[0]["fault"] == "it does not run: ValueError: Got invalid dimensions"
    assert parity_reasons({"parity": found.parity})[0]["text"].endswith(
        "it does not run: ValueError: Got invalid dimensions"
    )


def test_an_engine_has_to_refuse_what_no_profile_serves_and_to_run_the_rest() -> None:
    good = swept(Engine(honest, 16))
    assert [(row["height"], row["refused"], row["passed"]) for row in good.refusals] == [(17, True, True)]
    assert [row["passed"] for row in good.parity] == [True, True]
    wide = swept(Engine(honest, 99))
    assert [row["passed"] for row in wide.refusals] == [False]
    reasons = parity_reasons({"parity": wide.parity, "refusals": wide.refusals})
    assert [reason["text"] for reason in reasons] == ["engine-fp32 accepts sizes that no profile has: 17x17"]
    narrow = swept(Engine(honest, 7))
    assert {row["fault"] for row in narrow.parity} == {"no profile of the engine serves it"}


def test_a_variant_that_answers_all_images_alike_fails_also_one_by_one() -> None:
    constant = Answering("onnx-fp32", lambda images: np.full((len(images), 2), 0.5, np.float32))
    found = swept(constant, bounds=Wide(10.0, 1e-6))
    assert {row["fault"] for row in found.parity} == {"the output is the same for different images"}


def test_an_original_that_hardly_depends_on_the_image_is_warned_of() -> None:
    def flat(images: Any) -> Any:
        return 0.5 + 1e-7 * honest(images)

    found = swept(Answering("onnx-fp32", flat), reference=flat)
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith(
        "the outputs of keras hardly depend on the image: over 6 images they move by "
    )
    assert all(row["passed"] for row in found.parity)


def test_narrow_precisions_are_allowed_their_own_rounding() -> None:
    assert [step_ratio(name) for name in ("onnx-fp32", "engine-fp16", "onnx-int8:mine", "keras")] == [
        1,
        8192,
        65536,
        1,
    ]
    off = Answering("onnx-fp16", lambda images: honest(images) + np.float32(0.01))
    same = Answering("onnx-fp32", off.infer)
    rows = swept(off, same).parity
    assert {(row["variant"], row["passed"]) for row in rows} == {("onnx-fp16", True), ("onnx-fp32", False)}


def test_a_tolerance_as_wide_as_the_outputs_is_told() -> None:
    found = swept(Answering("onnx-int8", honest), Answering("onnx-fp32", honest))
    (told,) = found.warnings
    assert told.startswith("onnx-int8 may differ by 0.66 at 17x17, where outputs of keras")
    assert swept(Answering("onnx-int8", honest), bounds=Wide(1e-7)).warnings == []


# Bounds


def test_fixed_bounds_are_those_asked_for() -> None:
    outputs = np.array([[0.0, -4.0]], np.float32)
    fixed = FixedBounds(measured=Wide(), atol=1e-3, rtol=1e-2)
    assert fixed.at(Size(8, 8), outputs, outputs) == (pytest.approx(0.041), 1e-6)
    assert fixed.text() == "fixed: 0.001 plus 0.01 times the largest output, as asked for"
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="is not a tolerance"):
            FixedBounds(measured=Wide(), atol=wrong)


def test_a_tolerance_that_was_asked_for_is_that_of_every_precision() -> None:
    off = Answering("onnx-fp16", lambda images: honest(images) + 2e-3)
    for atol, passed in ((1e-3, False), (3e-3, True)):
        rows = swept(off, bounds=FixedBounds(measured=Wide(), atol=atol)).parity
        assert {(row["tolerance"], row["passed"]) for row in rows} == {(atol, passed)}


def test_a_floor_that_is_small_by_luck_is_lifted_to_the_typical_one() -> None:
    images = np.zeros((1, 8, 8, 1), np.float32)
    bounds = PooledBounds(measured=Wide(1e-6, 1e-9), typical=1e-7)
    assert bounds.at(Size(8, 8), images, honest(images)) == (pytest.approx(1.6e-6), 1e-7)
    several = pooled(Wide(1e-6, 1e-8), Answering("keras", honest), IMAGES, Size(8, 8), 4)
    assert several.typical == 1e-8
    assert pooled(Wide(1e-6, None), Answering("keras", honest), IMAGES, Size(8, 8), 4).typical is None


def test_repetitions_measure_a_reference_that_has_no_float64_copy() -> None:
    reference, images = Answering("onnx-fp32", honest), IMAGES(Size(8, 8), 3)
    calm = RepeatedBounds(reference, None).at(Size(8, 8), images, honest(images))
    shaky = Answering("onnx-fp32", lambda images: honest(images) + np.float32(1e-3))
    wide = RepeatedBounds(reference, shaky).at(Size(8, 8), images, honest(images))
    assert calm[1] is not None
    assert calm[1] < 1e-6
    assert wide[1] == pytest.approx(1e-3, rel=1e-2)
    assert wide[0] == pytest.approx(16e-3, rel=1e-2)


# Images and outputs of another machine


def test_images_are_the_same_for_the_same_seed_and_differ_within_a_batch() -> None:
    pictures = np.arange(3 * 4 * 4).reshape(3, 4, 4, 1)
    made = ImageBatches(channels=1, value_range=(0.0, 255.0), pictures=pictures, picture_range=(0.0, 47.0))
    first, again = made(Size(9, 13), 4), made(Size(9, 13), 4)
    assert identity(first) == identity(again)
    assert first.shape == (4, 9, 13, 1)
    assert first.dtype == np.float32
    assert first.max() <= 255
    assert identity(ImageBatches(channels=1, value_range=(0.0, 255.0), seed=1)(Size(9, 13), 4)) != identity(
        first
    )
    single = made(Size(4, 4), 1)
    assert any(np.allclose(single[0] / 255 * 47, picture, atol=1e-4) for picture in pictures)


def kept(path: Path, *candidates: Any) -> Any:
    recorder = Recorder(IMAGES, "noise", [PROFILE])
    swept(*candidates, on_case=recorder)
    recorder.write(path, {"keras": "a", **{candidate.variant: "b" for candidate in candidates}})
    return read_outputs(path)


def test_outputs_of_another_machine_stand_in_for_a_runner(tmp_path: Path) -> None:
    saved = kept(tmp_path / "gpu.npz", Engine(honest, 16))
    assert (saved.cases, saved.seed, saved.variants) == (tuple(CASES), 0, {"keras": "a", "engine-fp32": "b"})
    found = swept(saved.runner("engine-fp32"))
    assert [row["passed"] for row in found.parity] == [True, True]
    assert [row["passed"] for row in found.refusals] == [True]
    wrong = kept(tmp_path / "wrong.npz", Engine(lambda images: honest(images) + np.float32(0.01), 16))
    assert not any(row["passed"] for row in swept(wrong.runner("engine-fp32")).parity)


def test_outputs_of_other_images_are_refused(tmp_path: Path) -> None:
    saved = kept(tmp_path / "gpu.npz", Engine(honest, 16))
    other = ImageBatches(channels=1, value_range=(0.0, 1.0), seed=7)
    with pytest.raises(DataRefused, match="the hash of the images differs") as caught:
        saved.runner("engine-fp32").prepare(other(Size(8, 8), 1))
    assert caught.value.exit_code == 3


def test_files_of_outputs_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "gpu.npz"
    with pytest.raises(UsageError, match="no such file"):
        read_outputs(path)
    kept(path, Engine(honest, 16))
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    for content in (b"", whole[: len(whole) // 2], b"PK\x03\x04junk", (tmp_path / "other.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="cannot be read as a file of outputs"):
            read_outputs(path)


def test_refusals_are_told() -> None:
    import json
    from xml.etree import ElementTree as ET

    from fcnship.reports.junit import junit_text
    from fcnship.reports.summary import evidence

    sample = Path(__file__).parents[1] / "data" / "report" / "pass.in.json"
    report = json.loads(sample.read_text(encoding="utf-8")) | {"refusals": swept(Engine(honest, 99)).refusals}
    assert "engine-fp32 refused 0 of the 1 cases that no profile has." in evidence(report)
    suite = next(s for s in ET.fromstring(junit_text(report).encode()) if s.attrib["name"] == "refusals")
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("1", "1")
