"""Multiply-adds and bytes of hand-made networks. No TensorFlow."""

from __future__ import annotations

import pytest

from fcnship.errors import ProfileRefused
from fcnship.graph.cost import cost_of
from fcnship.graph.nodes import Axis, Network, Node
from fcnship.sizes import Size


def _stack(*steps: tuple[Axis, int, int], image: int = 1) -> Network:
    """Convolutions and pools, as (window, channels out, elements of the kernel; 0 for a pool)."""
    nodes = [Node(name="image", layer_class="InputLayer", kind="input", inputs=(), channels=image)]
    for index, (axis, channels, elements) in enumerate(steps):
        kind, layer_class = ("conv", "Conv2D") if elements else ("pool", "MaxPooling2D")
        nodes.append(
            Node(
                name=f"layer{index}",
                layer_class=layer_class,
                kind=kind,  # type: ignore[arg-type]
                inputs=(index,),
                channels=channels,
                rows=axis,
                columns=axis,
                kernel_elements=elements,
            )
        )
    return Network(name="net", nodes=tuple(nodes), outputs=(len(steps),), parameters=0)


DENSE = _stack(
    (Axis(kernel=3), 32, 9 * 32), (Axis(kernel=26), 128, 26 * 26 * 32 * 128), (Axis(), 10, 128 * 10)
)
SAME, POOL = Axis(kernel=3, same=True), Axis(kernel=2, stride=2)
FCN = _stack(
    (SAME, 16, 9 * 16),
    (POOL, 16, 0),
    (SAME, 32, 9 * 16 * 32),
    (POOL, 32, 0),
    (Axis(kernel=7), 32, 49 * 32 * 32),
    (Axis(), 10, 320),
)


def test_dense_as_convolutions_costs_107_billion_at_224() -> None:
    cost = cost_of(DENSE, Size(224, 224))
    assert cost.multiply_adds == 222 * 222 * 288 + 197 * 197 * (2_768_896 + 1280)
    assert cost.layers[2].multiply_adds == 38_809 * 2_768_896
    assert round(cost.multiply_adds / 1e9, 1) == 107.5


def test_fcn_costs_a_fifth_of_a_billion_at_224() -> None:
    assert round(cost_of(FCN, Size(224, 224)).multiply_adds / 1e9, 1) == 0.2


def test_bytes_by_hand() -> None:
    cost = cost_of(_stack((POOL, 3, 0), (SAME, 5, 135), image=3), Size(4, 6), batch=2)
    image, pooled, convolved = 2 * 4 * 6 * 3 * 4, 2 * 2 * 3 * 3 * 4, 2 * 2 * 3 * 5 * 4
    assert cost.activation_bytes == image + pooled + convolved
    assert cost.peak_bytes == image + pooled
    assert [(row.rows, row.columns, row.input_bytes, row.output_bytes) for row in cost.layers] == [
        (4, 6, 0, image),
        (2, 3, image, pooled),
        (2, 3, pooled, convolved),
    ]
    assert cost.multiply_adds == 2 * 6 * 135


def test_a_branch_stays_alive_until_it_is_read() -> None:
    image = Node(name="image", layer_class="InputLayer", kind="input", inputs=(), channels=1)
    wide = Node(name="wide", layer_class="Conv2D", kind="conv", inputs=(0,), channels=8)
    thin = Node(name="thin", layer_class="Conv2D", kind="conv", inputs=(1,), channels=2)
    join = Node(name="join", layer_class="Concatenate", kind="concatenate", inputs=(1, 2), channels=10)
    network = Network(name="net", nodes=(image, wide, thin, join), outputs=(3,), parameters=0)
    assert cost_of(network, Size(1, 1)).peak_bytes == 4 * (8 + 2 + 10)


def test_a_transposed_convolution_works_for_each_input_cell() -> None:
    image = Node(name="image", layer_class="InputLayer", kind="input", inputs=(), channels=1)
    axis = Axis(kernel=2, stride=2)
    up = Node(
        name="up",
        layer_class="Conv2DTranspose",
        kind="transposed",
        inputs=(0,),
        channels=3,
        rows=axis,
        columns=axis,
        kernel_elements=12,
    )
    network = Network(name="net", nodes=(image, up), outputs=(1,), parameters=0)
    cost = cost_of(network, Size(5, 5))
    assert (cost.multiply_adds, cost.layers[1].rows) == (25 * 12, 10)


def test_json_and_refusal() -> None:
    record = cost_of(FCN, Size(28, 30)).as_json()
    assert (record["size"], record["batch"], record["layers"][1]["name"]) == ([28, 30], 1, "layer0")
    with pytest.raises(ProfileRefused):
        cost_of(FCN, Size(27, 28))
