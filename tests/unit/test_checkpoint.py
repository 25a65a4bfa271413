"""A checkpoint's file: read as it was written, or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcnship.training.checkpoint import BROKEN, Checkpoint, steps_kept
from fcnship.training.standing import Standing

INPUTS = {"recipe": "r", "seed": "0"}


def whole() -> Checkpoint:
    """One with a loss that has no short decimal form."""
    standing = Standing()
    for step in range(7):
        standing.add(1 / (step + 3), 1 / 3)
    standing.note()
    standing.looked(1 / 7, 0.5)
    variables = [np.frombuffer(np.arange(size, dtype=np.float32).tobytes(), np.uint8) for size in (9, 1)]
    return Checkpoint(inputs=INPUTS, steps=20, standing=standing, variables=variables, best=variables[:1])


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("kept") / "checkpoint.npz"
    whole().write(path)
    return path.read_bytes()


def same(found: Checkpoint) -> bool:
    expected = whole()
    return (
        (found.inputs, found.steps, found.standing) == (expected.inputs, expected.steps, expected.standing)
        and [array.tobytes() for array in found.variables] == [v.tobytes() for v in expected.variables]
        and [array.tobytes() for array in found.best] == [v.tobytes() for v in expected.best]
    )


def test_it_is_read_as_it_was_written(content: bytes) -> None:
    assert same(Checkpoint.read(content))


def test_no_flipped_bit_changes_what_is_read(content: bytes) -> None:
    """Some bytes of a zip archive mean nothing, like its dates; no other may be believed."""
    refused = 0
    for place in range(len(content)):
        damaged = content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]
        try:
            assert same(Checkpoint.read(damaged)), place
        except BROKEN:
            refused += 1
    assert refused > len(content) / 2


def test_no_cut_off_file_is_read(content: bytes) -> None:
    for length in range(0, len(content) - 1, 7):
        with pytest.raises(BROKEN):
            Checkpoint.read(content[:length])


@pytest.mark.parametrize(
    "about",
    [
        b"[]",
        b'{"schema": "fcnship.checkpoint/0"}',
        b'{"schema": "fcnship.checkpoint/1"}',
        b'{"schema": "fcnship.checkpoint/1", "inputs": [], "steps": 1, "standing": {}}',
        b'{"schema": "fcnship.checkpoint/1", "inputs": {}, "steps": 1, "standing": {"steps": 1}}',
        b'{"schema": "fcnship.checkpoint/1", "inputs": {}, "steps": 1, "standing": {"step": -1}}',
        b'{"schema": "fcnship.checkpoint/1", "inputs": {}, "steps": 1, "standing": {"loss": "low"}}',
        b'{"schema": "fcnship.checkpoint/1", "inputs": {}, "steps": 1, "standing": {"history": [1]}}',
        b'{"schema": "fcnship.checkpoint/1", "inputs": {}, "steps": 1, "standing": {}, "variables": 2}',
        b"\xff",
    ],
)
def test_what_somebody_else_wrote_is_not_read(about: bytes) -> None:
    file = io.BytesIO()
    np.savez(file, about=np.frombuffer(about, np.uint8))
    with pytest.raises(BROKEN):
        Checkpoint.read(file.getvalue())


def test_nothing_is_unpickled() -> None:
    file = io.BytesIO()
    about: Any = np.array([{"schema": "fcnship.checkpoint/1"}], object)
    np.savez(file, about=about)
    with pytest.raises(ValueError, match="pickle"):
        Checkpoint.read(file.getvalue())


def test_how_far_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    assert steps_kept(path, INPUTS) is None
    path.write_bytes(content)
    assert steps_kept(path, INPUTS) == (7, 20)
    assert steps_kept(path, {**INPUTS, "seed": "1"}) is None
    path.write_bytes(content[:-9])
    assert steps_kept(path, INPUTS) is None
