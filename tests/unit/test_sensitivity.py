"""Each layer quantized alone, measured on held-out images; the fewest layers that a budget keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from int8_models import answers, balanced, constants, ranges_of, store
from int8_models import network as unbalanced

from fcnship.errors import AccuracyBelowFloor
from fcnship.precision.int8 import quantized
from fcnship.precision.sensitivity import HeldOut, Loss, Measure, choose, fewest
from fcnship.sizes import Size

SIZES = [Size(16, 16), Size(24, 20)]
COUNT, BUDGET = 60, 20.0  # points: decisions of an untrained network are close
PICTURES = (
    np.random.default_rng(3).uniform(0, 1, (COUNT, 4, 4, 1)).astype(np.float32).repeat(4, 1).repeat(4, 2)
)


def network() -> Any:
    return balanced(unbalanced(), PICTURES.transpose(0, 3, 1, 2))


def held_out(original: Any, count: int = COUNT) -> HeldOut:
    """Structured images, labelled by the float32 network itself: it is always right at 16x16."""
    labels = answers(original, PICTURES.transpose(0, 3, 1, 2)).argmax(1)
    assert len(set(labels)) == 5
    return HeldOut(
        images=PICTURES,
        labels=labels,
        value_range=(0.0, 1.0),
        wanted_range=(0.0, 1.0),
        sizes=SIZES,
        layout="nchw",
        images_at=lambda size: count - 10 * (size.height == 24),
        batch_at=lambda size: 16,
    )


def test_the_loss_is_counted_on_the_images() -> None:
    original = network()
    held, ranges = held_out(original), ranges_of(original)
    narrowed = quantized(original, ranges)
    found = Measure(original, held)({"int8": narrowed})["int8"]
    exact, ours = (answers(m, held.images.transpose(0, 3, 1, 2)) for m in (original, narrowed))
    lost = (exact.argmax(1) == held.labels).mean() - (ours.argmax(1) == held.labels).mean()
    assert found.points[SIZES[0]] == pytest.approx(100 * lost)
    assert found.errors[SIZES[0]] == pytest.approx(float(np.sqrt(((ours - exact) ** 2).mean())), rel=1e-4)
    assert set(found.points) == set(SIZES)


def test_the_same_model_loses_nothing() -> None:
    original = network()
    found = Measure(original, held_out(original))({"same": original})["same"]
    assert set(found.points.values()) == {0.0}
    assert set(found.errors.values()) == {0.0}


def test_models_that_do_not_fit_together_are_measured_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    original = network()
    models = {name: quantized(original, ranges_of(original), keep=[name]) for name in ("conv2d", "dense")}
    measure = Measure(original, held_out(original))
    together = measure(models)
    monkeypatch.setattr("fcnship.precision.sensitivity._MOST_BYTES", 1)
    assert measure(models) == together


def test_the_worst_of_a_loss_is_told_with_its_size() -> None:
    loss = Loss(points={SIZES[0]: -0.1, SIZES[1]: 0.4}, errors={SIZES[0]: 0.02, SIZES[1]: 0.01})
    assert loss.as_json() == {"loss": 0.4, "loss_at": "24x20", "error": 0.02, "error_at": "16x16"}


def broken_layer(name: str) -> tuple[Any, dict[str, tuple[float, float]]]:
    """A network and ranges in which one layer cannot be quantized: its input's range is far too wide."""
    original = network()
    ranges = ranges_of(original)
    tensor = {"conv2d_1": "conv2d/Relu:0", "dense": "concatenate/concat:0"}[name]
    return original, {**ranges, tensor: (0.0, 1000 * ranges[tensor][1])}


@pytest.mark.parametrize("name", ["conv2d_1", "dense"])
def test_a_budget_keeps_the_layer_that_costs_and_no_other(name: str) -> None:
    original, ranges = broken_layer(name)
    chosen = choose(original, ranges, BUDGET, Measure(original, held_out(original)))
    assert chosen.kept == (name,)
    assert chosen.final.worst[1] <= BUDGET
    assert chosen.alone[name].worst[1] > BUDGET
    assert max(chosen.alone, key=lambda layer: chosen.alone[layer].largest_error[1]) == name
    assert set(chosen.alone) == {"conv2d", "conv2d_1", "depthwise", "shared", "dense"}


def test_a_budget_that_is_met_keeps_nothing() -> None:
    original = network()
    chosen = choose(original, ranges_of(original), 50.0, Measure(original, held_out(original)))
    assert (chosen.kept, chosen.measured) == ((), 1)


def test_layers_that_are_kept_anyway_are_neither_measured_nor_chosen() -> None:
    original, ranges = broken_layer("dense")
    chosen = choose(original, ranges, BUDGET, Measure(original, held_out(original)), keep=["dense"])
    assert chosen.kept == ()
    assert "dense" not in chosen.alone


def test_a_budget_out_of_reach_fails_with_what_was_measured() -> None:
    original = network()
    ranges = dict.fromkeys(ranges_of(original), (0.0, 10000.0))
    with pytest.raises(AccuracyBelowFloor) as failure:
        choose(original, ranges, 0.5, Measure(original, held_out(original)))
    assert failure.value.exit_code == 5
    assert failure.value.what.startswith("INT8 cannot stay within 0.5 points of float32: with ")
    assert " alone in INT8 it loses " in failure.value.what


def test_a_lost_weight_scale_shows_in_that_layers_row() -> None:
    """Quantized weights are part of what is measured, not only the ranges."""
    original = network()
    made = quantized(original, ranges_of(original))
    store(made, "conv2d_1/kernel/scale", constants(made)["conv2d_1/kernel/scale"] * np.float32(2))
    measure = Measure(original, held_out(original))
    honest, wrong = measure({"a": quantized(original, ranges_of(original)), "b": made}).values()
    assert wrong.largest_error[1] > 3 * honest.largest_error[1]


@pytest.mark.parametrize(
    ("needed", "kept"),
    [
        (set(), ()),
        ({"a"}, ("a",)),
        ({"c"}, ("c",)),
        ({"a", "d"}, ("a", "d")),
        ({"e"}, ("e",)),
        ({"a", "b", "c", "d"}, ("a", "b", "c", "d")),
    ],
)
def test_the_fewest_layers_are_found(needed: set[str], kept: tuple[str, ...]) -> None:
    assert fewest("abcdef", lambda layers: needed <= set(layers)) == kept


def test_one_layer_must_stay_quantized() -> None:
    tried: list[Sequence[str]] = []

    def never(layers: Sequence[str]) -> bool:
        tried.append(layers)
        return False

    assert fewest("abc", never) is None
    assert [list(layers) for layers in tried] == [[], ["a", "b"]]
    assert fewest("a", never) is None
