"""Golden data without a network: at which sizes, and files that are the same bytes each time."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from fcnship.ship.golden import Golden, npz_bytes, three_digits_up, weak
from fcnship.ship.golden_cases import MOST_BATCH_BYTES, MOST_NOISE_BYTES, Case, golden_cases
from fcnship.ship.golden_images import GoldenImages
from fcnship.sizes import Profile, Size
from fcnship.verify.image_batches import ImageBatches


def cases_of(*profiles: str, stride: int = 32, channels: int = 1, fits: bool = True) -> list[Case]:
    parsed = [Profile.parse(text) for text in profiles]
    return golden_cases(parsed, Size(stride, stride), channels, lambda size: True, lambda size, batch: fits)


@pytest.mark.parametrize("profile", ["28-224", "8-16", "28x40-224x320@4", "256-2048@2,4,16", "16-48"])
def test_every_profile_has_its_edges_two_sizes_between_and_its_largest_batch(profile: str) -> None:
    wanted, cases = Profile.parse(profile), cases_of(profile, stride=16)
    sizes = {case.size for case in cases}
    assert {wanted.min, wanted.opt, wanted.max} <= sizes
    between = sizes - {wanted.min, wanted.opt, wanted.max}
    assert between
    for size in between:
        assert size.height % 16 and size.width % 16 and size.height != size.width, size
    assert {case.batch for case in cases} == {wanted.batch[0], wanted.batch[2]}
    assert all(wanted.serves(case.size, case.batch) for case in cases)
    assert {case.kind for case in cases} == {"typical", "doubtful", "noise"}
    assert len({case.file for case in cases}) == len(cases)


class Mean:
    """A runner that answers with the mean of the image and what is left of 1."""

    variant = "keras"

    def prepare(self, images: np.ndarray[Any, Any]) -> Any:
        return images

    def infer(self, prepared: Any) -> Any:
        mean = prepared.mean(axis=(1, 2, 3))
        return np.stack([mean, 1 - mean], axis=1)

    def finish(self, outputs: Any) -> np.ndarray[Any, Any]:
        return np.asarray(outputs, np.float32)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("pictures", [3, 200])
@pytest.mark.parametrize("batch", [1, 64])
def test_a_batch_is_whole_and_has_the_images_that_are_least_sure(pictures: int, batch: int) -> None:
    shades = np.linspace(0, 0.9, pictures, dtype=np.float32)
    data = np.broadcast_to(shades[:, None, None, None], (pictures, 4, 4, 1))
    real = ImageBatches(channels=1, value_range=(0, 1), pictures=data, picture_range=(0, 1))
    make = GoldenImages(real, Mean(), lambda size: 10**6)
    images = make(Case(profile=0, size=Size(8, 8), batch=batch, kind="doubtful"))
    assert images.shape == (batch, 8, 8, 1)
    if batch == 1:
        assert abs(float(images.mean()) - 0.5) < 0.1


def test_a_wide_and_a_high_one_where_noise_is_small() -> None:
    between = [case for case in cases_of("28-224") if case.size.height != case.size.width]
    assert [(case.size.height < case.size.width, case.kind) for case in between] == [
        (True, "typical"),
        (False, "noise"),
    ]


@pytest.mark.parametrize("profile", ["64", "64@1", "28-29", "28x40-28x80"])
def test_a_range_without_room_has_what_there_is(profile: str) -> None:
    cases = cases_of(profile)
    assert {"doubtful", "noise"} <= {case.kind for case in cases}
    assert len({case.file for case in cases}) == len(cases)


def test_each_profile_has_its_own_files() -> None:
    cases = cases_of("28-64", "64-224")
    assert {case.profile for case in cases} == {0, 1}
    assert all(case.file.startswith(f"golden/p{case.profile}-") for case in cases)


def test_illegal_sizes_between_are_left_out() -> None:
    edges = {Size(28, 28), Size(80, 80), Size(224, 224)}
    found = golden_cases(
        [Profile.parse("28-224")], Size(32, 32), 1, lambda size: size in edges, lambda size, batch: True
    )
    assert {case.size for case in found} == edges


def test_what_does_not_shrink_is_bounded() -> None:
    for case in cases_of("256-4096", channels=3):
        raw = case.size.pixels * 3 * 4
        assert case.kind != "noise" or raw <= MOST_NOISE_BYTES
        assert case.batch == 1 or raw * case.batch <= MOST_BATCH_BYTES


def test_the_largest_batch_goes_where_memory_allows_it() -> None:
    assert Case(profile=0, size=Size(80, 80), batch=8) in cases_of("28-224")
    assert Case(profile=0, size=Size(28, 28), batch=8) in cases_of("28-224", fits=False)


def test_equal_arrays_make_equal_files_that_numpy_reads() -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "image": np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3),
        "expected": np.eye(2),
    }
    content = npz_bytes(arrays)
    assert content == npz_bytes({name: array.copy() for name, array in arrays.items()})
    with np.load(io.BytesIO(content), allow_pickle=False) as held:
        assert set(held) == {"image", "expected"}
        assert all(
            held[name].dtype == np.float32 and np.array_equal(held[name], arrays[name]) for name in arrays
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.0, 0.0), (1.234e-5, 1.24e-5), (9.991, 10.0), (0.05, 0.05), (123456.0, 124000.0)]
)
def test_a_tolerance_is_rounded_up(value: float, rounded: float) -> None:
    assert three_digits_up(value) == pytest.approx(rounded, rel=1e-9)
    assert three_digits_up(value) >= value


def test_a_tolerance_as_wide_as_the_outputs_is_told() -> None:
    case = Case(profile=0, size=Size(8, 8), batch=1)
    rows = [
        Golden(case=case, content=b"", tolerance={"fp32": 1e-6, "int8": 0.04}, spread=0.1),
        Golden(case=case, content=b"", tolerance={"fp32": 2e-6, "int8": 0.06}, spread=0.05),
    ]
    assert weak(rows) == (
        "int8 may differ by 0.06 from outputs that move by 0.1: its golden data prove little",
    )
