"""Sizes through hand-made networks: no TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from fcnship.errors import ModelRefused, ProfileRefused
from fcnship.graph.geometry import geometry_of, is_legal, output_map, trace
from fcnship.graph.nodes import Axis, Kind, Network, Node, network_as_json, network_from_json
from fcnship.graph.propagate import padding_before
from fcnship.sizes import Size

IMAGE = Node(name="image", layer_class="InputLayer", kind="input", inputs=(), channels=3)


def node(name: str, kind: Kind, inputs: tuple[int, ...], axis: Axis | None = None, **more: object) -> Node:
    axis = axis or Axis()
    layer_class = {"conv": "Conv2D", "pool": "MaxPooling2D", "merge": "Add", "flatten": "Flatten"}.get(
        kind, kind
    )
    fields: dict[str, object] = {"channels": 4, "rows": axis, "columns": axis, **more}
    return Node(name=name, layer_class=layer_class, kind=kind, inputs=inputs, **fields)  # type: ignore[arg-type]


def network(*nodes: Node, input_size: Size | None = None, outputs: tuple[int, ...] = ()) -> Network:
    last = outputs or (len(nodes),)
    return Network(name="net", nodes=(IMAGE, *nodes), outputs=last, parameters=0, input_size=input_size)


def fcn() -> Network:
    """Conv 3x3 same, pool 2, conv 3x3 same, pool 2, conv 7x7 valid, conv 1x1."""
    same, pool = Axis(kernel=3, same=True), Axis(kernel=2, stride=2)
    return network(
        node("c1", "conv", (0,), same),
        node("p1", "pool", (1,), pool),
        node("c2", "conv", (2,), same),
        node("p2", "pool", (3,), pool),
        node("c3", "conv", (4,), Axis(kernel=7)),
        node("head", "conv", (5,), channels=10),
    )


def dense() -> Network:
    return network(
        node("c", "conv", (0,), Axis(kernel=3)),
        node("flat", "flatten", (1,), spatial=False, vector=True, tied=True, channels=26 * 26 * 4),
        node("d", "dense", (2,), spatial=False, vector=True, channels=10),
        input_size=Size(28, 28),
    )


def residual() -> Network:
    """A valid 3x3 convolution added to the image cropped by two columns but by one row too few."""
    return network(
        node("c", "conv", (0,), Axis(kernel=3)),
        node("crop", "crop", (0,), rows=Axis(before=1), columns=Axis(before=1, after=1)),
        node("add", "merge", (1, 2)),
    )


def test_fcn_as_published() -> None:
    assert geometry_of(fcn()).as_json() == {
        "total_stride": 4,
        "receptive_field": 34,
        "minimum_size": 28,
        "minimum_layer": "c3",
        "fixed_size": None,
        "fixing_layer": "",
        "input_size": None,
        "channels": 3,
        "classes": 10,
        "outputs": ["map"],
        "global_context": False,
    }


@pytest.mark.parametrize(("side", "cells"), [(28, 1), (31, 1), (32, 2), (224, 50)])
def test_fcn_maps(side: int, cells: int) -> None:
    assert output_map(fcn(), Size(side, 28)) == Size(cells, 1)


def test_an_empty_map_is_refused_by_name() -> None:
    with pytest.raises(ProfileRefused) as refused:
        output_map(fcn(), Size(28, 27))
    assert str(refused.value) == (
        "net does not run at 28x27\n"
        "  cause: a width of 6 leaves an empty map at Conv2D 'c3'\n"
        "  next:  fcnship explain shows the smallest size and which sizes are legal"
    )


def test_branches_that_do_not_meet_are_refused_by_name() -> None:
    with pytest.raises(ProfileRefused) as refused:
        output_map(residual(), Size(9, 9))
    assert refused.value.cause == "branches with a height of 7 and 8 meet at Add 'add'"


def test_a_network_that_fits_by_broadcasting_alone() -> None:
    """Three rows make 1 and 2: an addition broadcasts the one; no taller image fits."""
    assert [side for side in range(1, 10) if is_legal(residual(), Size(side, 9))] == [3]
    assert geometry_of(residual()).minimum_size == Size(3, 3)


def test_a_flatten_ties_the_network_to_its_declared_size() -> None:
    geometry = geometry_of(dense())
    assert (geometry.fixed_size, geometry.fixing_layer) == (Size(28, 28), "flat")
    assert (geometry.minimum_size, geometry.minimum_layer) == (Size(28, 28), "flat")
    assert (geometry.outputs, geometry.classes, geometry.receptive_field) == (("vector",), 10, (3, 3))
    assert output_map(dense(), Size(28, 28)) == Size(1, 1)
    assert not is_legal(dense(), Size(29, 28))
    with pytest.raises(ProfileRefused) as refused:
        output_map(dense(), Size(29, 28))
    assert str(refused.value) == (
        "net does not run at 29x28\n"
        "  cause: Flatten 'flat' ties it to 28x28\n"
        "  next:  fcnship convert makes the network fully convolutional"
    )


def test_a_network_that_never_fits_is_refused() -> None:
    hopeless = network(
        node("c", "conv", (0,), Axis(kernel=3)), node("join", "concatenate", (0, 1), channels=7)
    )
    with pytest.raises(ModelRefused) as refused:
        geometry_of(hopeless)
    assert refused.value.what == "net runs at no height up to 4096 pixels"
    assert refused.value.cause == "branches with a height of 4094 and 4096 meet at concatenate 'join'"


def test_pairs_that_differ_are_written_as_two() -> None:
    oblong = network(node("c", "conv", (0,), rows=Axis(kernel=5), columns=Axis(kernel=3, stride=2)))
    written = geometry_of(oblong).as_json()
    assert (written["total_stride"], written["receptive_field"]) == ([1, 2], [5, 3])
    assert (written["minimum_size"], written["minimum_layer"]) == ([5, 3], "c")


@pytest.mark.parametrize(("length", "before"), [(7, 1), (8, 0), (1, 1), (2, 0)])
def test_same_padding_depends_on_the_size(length: int, before: int) -> None:
    assert padding_before(Axis(kernel=3, stride=2, same=True), length) == before


def test_trace_of_same_padding_at_an_odd_and_an_even_size() -> None:
    strided = network(node("c", "conv", (0,), Axis(kernel=3, stride=2, same=True)))
    found = trace(strided, Size(5, 4))
    assert found.map == Size(3, 2)
    assert found.rows.unclipped_first.tolist() == [-1, 1, 3]
    assert found.rows.first.tolist() == [0, 1, 3]
    assert found.rows.last.tolist() == [1, 3, 4]
    assert found.rows.touches_padding.tolist() == [True, False, True]
    assert found.columns.unclipped_first.tolist() == [0, 2]
    assert found.columns.unclipped_last.tolist() == [2, 4]
    assert found.columns.touches_padding.tolist() == [False, True]
    assert found.touches_padding.tolist() == [[True, True], [False, True], [True, True]]


def test_trace_skips_the_holes_of_a_dilated_kernel_at_the_edge() -> None:
    dilated = network(node("c", "conv", (0,), Axis(kernel=2, dilation=4, same=True)))
    found = trace(dilated, Size(5, 5)).rows
    assert found.unclipped_first.tolist() == [-2, -1, 0, 1, 2]
    assert found.first.tolist() == [2, 3, 0, 1, 2]
    assert found.last.tolist() == [2, 3, 4, 1, 2]


def test_a_cell_beyond_the_padding_sees_nothing() -> None:
    padded = network(node("z", "pad", (0,), Axis(before=1)))
    found = trace(padded, Size(2, 2)).rows
    assert (found.first > found.last).tolist() == [True, False, False]
    assert found.touches_padding.tolist() == [True, False, False]


def test_a_pooled_branch_is_context_and_widens_nothing() -> None:
    squeeze = network(
        node("c", "conv", (0,), Axis(kernel=3)),
        node("pool", "global_pool", (1,), spatial=False),
        node("scale", "merge", (1, 2)),
    )
    geometry = geometry_of(squeeze)
    assert (geometry.receptive_field, geometry.global_context) == ((3, 3), True)
    assert np.array_equal(trace(squeeze, Size(6, 6)).rows.last, np.arange(4) + 2)


def test_json_round_trip_and_refusals() -> None:
    record = network_as_json(dense())
    assert network_from_json(record) == dense()
    with pytest.raises(ValueError, match=r"schema is 'other/1', not 'fcnship\.network/1'"):
        network_from_json({**record, "schema": "other/1"})
    with pytest.raises(ValueError, match="the record is no network"):
        network_from_json({**record, "nodes": [{"nam": "x"}]})
