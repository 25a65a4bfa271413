"""The timing cache, with the builder of the real TensorRT-RTX, whose functions of these names do nothing but
take and give bytes; what full TensorRT does with them is in tests/gpu.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fcnship.device.timing_cache import load_timing_cache, save_timing_cache

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx has no wheel for this machine")
pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX 1.2:DeprecationWarning")


@pytest.fixture
def config() -> Any:
    builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))
    yield builder.create_builder_config()


def test_a_cache_is_written_whole_and_read_again(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    assert load_timing_cache(config, path) == "new"
    save_timing_cache(config, path)
    assert path.read_bytes() == bytes(memoryview(config.get_timing_cache().serialize()))
    assert [p.name for p in tmp_path.iterdir()] == ["timing.cache"]
    assert load_timing_cache(config, path) == "used"


def test_an_empty_file_is_a_new_one(config: Any, tmp_path: Path) -> None:
    (tmp_path / "timing.cache").touch()
    assert load_timing_cache(config, tmp_path / "timing.cache") == "new"


class DoubleOfTensorrt:
    """A double of full TensorRT, which is not here: it does not take the cache of another GPU."""

    taken = b"nothing"

    def create_timing_cache(self, data: bytes) -> Any:
        return data

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        self.taken = self.taken if cache else cache
        return not cache


def test_a_cache_that_is_not_taken_gives_way_to_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "timing.cache").write_bytes(b"of another GPU")
    choosy = DoubleOfTensorrt()
    assert load_timing_cache(choosy, tmp_path / "timing.cache") == "refused"
    assert choosy.taken == b""
