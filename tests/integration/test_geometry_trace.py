"""What each cell sees: fcnship against a real model whose image is lit one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from geometry_models import CHANNELS, CONVOLUTIONS, OTHERS, RESIZING, model_of, with_positive_weights

from fcnship.graph.geometry import geometry_of, is_legal, trace
from fcnship.graph.network import network_from_keras
from fcnship.graph.trace import AxisTrace
from fcnship.sizes import Size

LINEAR = {**CONVOLUTIONS, **RESIZING}


def legal_sizes(network: Any, low: int, count: int = 2) -> list[Size]:
    """Non-square sizes from ``low`` on, the first of each parity where both are legal."""
    sizes = [Size(side, side + extra) for side in range(low, low + 20) for extra in (2, 3, 4)]
    return [size for size in sizes if is_legal(network, size)][:count]


def lit(model: Any, size: Size, axis: int) -> np.ndarray:
    """``lit[p, c]``: whether cell c of an axis reacts to pixel p of it."""
    images = np.zeros(
        (side := (size.height, size.width)[axis], size.height, size.width, CHANNELS), np.float32
    )
    for pixel in range(side):
        np.moveaxis(images[pixel], axis, 0)[pixel] = 1
    answer = np.asarray(model(images))
    return answer.max(axis=(2 - axis, 3)) > 0


def assert_sees(found: AxisTrace, expected: np.ndarray) -> None:
    pixels = expected.shape[0]
    seen = expected.any(axis=0)
    assert (seen == (found.first <= found.last)).all()
    assert (found.first[seen] == expected.argmax(axis=0)[seen]).all()
    assert (found.last[seen] == pixels - 1 - expected[::-1].argmax(axis=0)[seen]).all()


@pytest.mark.parametrize("name", LINEAR)
def test_cells_see_the_pixels_that_move_them(name: str) -> None:
    model = with_positive_weights(model_of(LINEAR[name]))
    network = network_from_keras(model)
    low = geometry_of(network).minimum_size
    for size in legal_sizes(network, max(low.height, low.width, 8)):
        found = trace(network, size)
        assert_sees(found.rows, lit(model, size, 0))
        assert_sees(found.columns, lit(model, size, 1))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_padding_is_where_a_bright_image_looks_darker(name: str) -> None:
    model = with_positive_weights(model_of(CONVOLUTIONS[name]))
    network = network_from_keras(model)
    for size in legal_sizes(network, 48):
        answer = np.asarray(model(np.ones((1, size.height, size.width, CHANNELS), np.float32)))[0, :, :, 0]
        assert (trace(network, size).touches_padding == (answer < answer.max() * 0.9999)).all()


@pytest.mark.parametrize("name", LINEAR)
def test_away_from_padding_the_receptive_field_is_what_is_seen(name: str) -> None:
    network = network_from_keras(model_of(LINEAR[name]))
    geometry = geometry_of(network)
    found = trace(network, legal_sizes(network, 60)[0])
    for axis, side in enumerate((found.rows, found.columns)):
        inner = ~side.touches_padding & (side.first <= side.last)
        assert inner.any()
        assert (side.first == side.unclipped_first)[inner].all()
        assert (side.last == side.unclipped_last)[inner].all()
        assert (side.last - side.first + 1)[inner].max() == geometry.receptive_field[axis]


@pytest.mark.parametrize("name", LINEAR)
def test_total_stride_is_how_far_cells_lie_apart(name: str) -> None:
    network = network_from_keras(model_of(LINEAR[name]))
    stride = geometry_of(network).total_stride
    found = trace(network, legal_sizes(network, 60)[0])
    for axis, side in enumerate((found.rows, found.columns)):
        middle = (side.unclipped_first + side.unclipped_last) / 2
        inner = side.unclipped_first <= side.unclipped_last
        steps = np.diff(middle[inner]).mean()
        assert steps == pytest.approx(stride[axis], rel=0.1) or stride[axis] == 1 > steps


def test_global_branches_are_flagged() -> None:
    flagged = {
        name for name, body in {**LINEAR, **OTHERS}.items() if geometry_of(model_of(body)).global_context
    }
    assert flagged == {"squeeze", "operations"}


def test_the_map_that_a_global_pool_takes_is_traced() -> None:
    network = network_from_keras(model_of(OTHERS["global"]))
    assert trace(network, Size(11, 9)).map == Size(5, 4)
    assert geometry_of(network).total_stride == (2, 2)


def test_of_two_pooled_maps_the_widest_counts() -> None:
    geometry = geometry_of(model_of(OTHERS["two pools"]))
    assert (geometry.receptive_field, geometry.total_stride, geometry.outputs) == (
        (5, 5),
        (2, 2),
        ("vector",),
    )
