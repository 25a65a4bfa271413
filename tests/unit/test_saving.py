"""What one pass saves against crops, by arithmetic alone; and map sizes as formulas."""

from __future__ import annotations

from typing import Any

import pytest

from fcnship.graph.growth import formula_of
from fcnship.graph.nodes import Axis, Network, Node
from fcnship.graph.saving import in_words, saving_of
from fcnship.sizes import Size


def _node(name: str, kind: str, kernel: int, stride: int = 1, channels: int = 1, **more: Any) -> Node:
    axis = Axis(kernel=kernel, stride=stride, same=bool(more.pop("same", False)))
    return Node(name=name, layer_class="x", kind=kind, inputs=(more.pop("after", 0),), channels=channels,
                rows=axis, columns=axis, **more)  # fmt: skip


IMAGE = Node(name="image", layer_class="InputLayer", kind="input", inputs=(), channels=1)


def dense(converted: bool) -> Network:
    """The published dense network: a 3x3 convolution of 32, Flatten, Dense 128, Dense 10."""
    conv = _node("conv", "conv", 3, channels=32, kernel_elements=3 * 3 * 32)
    if converted:
        wide = _node("dense", "conv", 26, channels=128, kernel_elements=26 * 26 * 32 * 128, after=1)
        last = _node("dense_1", "conv", 1, channels=10, kernel_elements=1280, after=2)
        return Network(name="dense", nodes=(IMAGE, conv, wide, last), outputs=(3,), parameters=2_770_634)
    flat = _node("flatten", "flatten", 1, channels=21632, after=1, spatial=False, vector=True, tied=True)
    head = {"spatial": False, "vector": True}
    wide = _node("dense", "dense", 1, channels=128, kernel_elements=26 * 26 * 32 * 128, after=2, **head)
    last = _node("dense_1", "dense", 1, channels=10, kernel_elements=1280, after=3, **head)
    return Network(name="dense", nodes=(IMAGE, conv, flat, wide, last), outputs=(4,), parameters=2_770_634,
                   input_size=Size(28, 28))  # fmt: skip


def test_dense_at_224_saves_next_to_nothing() -> None:
    """The figures of the published example: 2.8 million for each of 38,809 cells, about 107 billion."""
    saving = saving_of(dense(False), dense(True), Size(224, 224), Size(28, 28))
    assert saving.crops == saving.cells == 38_809
    assert saving.for_each_cell == 2_768_896
    assert saving.one_pass == 38_809 * (2_768_896 + 1280) + 222 * 222 * 288
    assert saving.by_crops == 38_809 * (2_768_896 + 1280 + 26 * 26 * 288)
    assert saving.warning == (
        "one pass at 224x224 saves next to nothing against 38,809 crops of 28x28: 107.5 billion "
        "multiply-adds against 115.1 billion; 'dense', a 26x26 convolution, needs 2.8 million for each "
        "of 38,809 cells. "
        "Cheaper: pool before the Flatten, as models/fcn.py does (each 2x2 pooling leaves a quarter of the "
        "window and a quarter of the cells), or train a network that pools the whole map at its end, as "
        "models/multiscale.py"
    )
    assert saving.as_json()["ratio"] == pytest.approx(1.0701, abs=1e-3)


def test_the_trained_size_itself_is_not_warned_of() -> None:
    saving = saving_of(dense(False), dense(True), Size(28, 28), Size(28, 28))
    assert (saving.crops, saving.warning) == (1, "")


@pytest.mark.parametrize(
    ("count", "text"),
    [(54_080, "54,080"), (2_768_896, "2.8 million"), (107_458_000_000, "107.5 billion"),
     (2 * 10**12, "2.0 trillion")],
)  # fmt: skip
def test_counts_in_words(count: int, text: str) -> None:
    assert in_words(count) == text


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([("conv", 3, 1, False)], "H - 2"),
        ([("conv", 3, 1, True)], "H"),
        ([("conv", 3, 1, False), ("pool", 2, 2, False)], "floor((H - 4) / 2) + 1"),
        ([("pool", 2, 2, False)], "floor((H - 2) / 2) + 1"),
        ([("conv", 3, 2, True), ("pool", 2, 2, True)], "ceil(H / 4)"),
        ([("conv", 3, 2, True), ("conv", 3, 1, False)], "ceil(H / 2) - 2"),
        ([("upsample", 1, 2, False), ("conv", 3, 1, False)], "2 * H - 2"),
    ],
)
def test_the_formula(nodes: list[tuple[str, int, int, bool]], text: str) -> None:
    made = [_node(f"n{i}", kind, k, s, same=same, after=i) for i, (kind, k, s, same) in enumerate(nodes)]
    network = Network(name="n", nodes=(IMAGE, *made), outputs=(len(made),), parameters=0)
    formula = formula_of(network, 0)
    assert formula is not None
    assert formula.text == text
