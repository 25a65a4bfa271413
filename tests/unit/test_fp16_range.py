"""What leaves FP16's range is found, by weights, activations, sums and tiny constants, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx_graphs import conv, flat, model_of, node, run, single

from fcnship.errors import UsageError
from fcnship.precision.fp16 import narrowed
from fcnship.precision.fp16_range import leaving, peaks_of
from fcnship.precision.places import check_known, places_of
from fcnship.precision.rounding import rounded


def feeds(*images: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((f"{image.shape[2]}x{image.shape[3]}", {"image": image}) for image in images)


def found(model: Any, *images: Any) -> dict[str, str]:
    return dict(leaving(model, feeds(*images)))


def three(first: float, second: float, third: float) -> Any:
    nodes = [
        conv("a/Conv", "image", "x", "w0"),
        node("Relu", "a/Relu", ["x"], "y"),
        conv("b/Conv", "y", "z", "w1"),
        conv("c/Conv", "z", "probabilities", "w2"),
    ]
    weights = {"w0": single(first), "w1": single(second), "w2": single(third)}
    return model_of(nodes, weights, layers=["a", "b", "c"])


def test_a_network_that_fits_has_nothing_to_keep() -> None:
    assert found(three(2, 2, 2), flat(1), flat(255), flat(0)) == {}


def test_the_largest_of_all_images_decides() -> None:
    model = three(1, 300, 1 / 300)
    assert found(model, flat(1), flat(50)) == {}
    assert found(model, flat(1), flat(250, side=6), flat(2)) == {
        "b": "it makes values up to 7.5e+04 at 6x6, and FP16 ends at 65504",
        "c": "it reads values up to 7.5e+04 at 6x6, and FP16 ends at 65504",
    }


def test_other_images_go_higher_than_those_looked_at() -> None:
    """A quarter of the range is left free."""
    assert found(three(1, 300, 1 / 300), flat(54)) == {}
    assert list(found(three(1, 300, 1 / 300), flat(55))) == ["b", "c"]


def test_negative_values_count_as_much() -> None:
    assert list(found(three(1, -300, 1 / 300), flat(250))) == ["b", "c"]


def test_a_whole_tensor_below_the_normal_numbers() -> None:
    small = three(0.001, 0.001, 1e4)
    assert found(small, flat(1), flat(0.5)) == {
        "b": "all that it makes is at most 1e-06 at 4x4, below FP16's 6.1e-05",
        "c": "all that it reads is at most 1e-06 at 4x4, below FP16's 6.1e-05",
    }
    # One image on which it is normal is enough; zeros alone are no underflow.
    assert found(small, flat(1), flat(100)) == {}
    assert found(three(0, 1, 1), flat(1)) == {}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (7e4, "its weights reach 7e+04, and FP16 ends at 65504"),
        (1e-6, "its weights are at most 1e-06, below FP16's 6.1e-05"),
    ],
)
def test_weights_out_of_range(value: float, told: str) -> None:
    """Whatever the images: they are black here."""
    nodes = [conv("a/Conv", "image", "x", "w0"), conv("b/Conv", "x", "probabilities", "w1")]
    weights = {"w0": np.full((1, 1, 3, 3), value, np.float32), "w1": single(1)}
    assert found(model_of(nodes, weights, layers=["a", "b"]), flat(0)) == {"a": told}


def test_a_few_tiny_weights_among_others_are_no_reason() -> None:
    nodes = [conv("a/Conv", "image", "probabilities", "w")]
    weights = {"w": np.array([[[[1.0, 1e-9], [0.5, 0.0]]]], np.float32)}
    assert found(model_of(nodes, weights, layers=["a"]), flat(1)) == {}


@pytest.mark.parametrize("kind", ["ReduceMean", "GlobalAveragePool"])
def test_a_sum_that_overflows_before_it_is_divided(kind: str) -> None:
    sources = ["image"] if kind == "GlobalAveragePool" else ["image", "axes"]
    nodes = [node(kind, "pool/Mean", sources, "probabilities")]
    weights = {"axes": np.array([2, 3], np.int64)} if len(sources) > 1 else {}
    model = model_of(nodes, weights, layers=["pool"])
    assert found(model, flat(200, side=8)) == {}
    assert found(model, flat(200, side=8), flat(200, side=10)) == {
        "pool": "it sums values to 2e+04 at 10x10, and FP16 ends at 65504"
    }


def brightest() -> Any:
    """As multiscale begins: an image over its own brightest value, which a tiny constant keeps from zero."""
    nodes = [
        conv("before/Conv", "image", "x", "w"),
        node("ReduceMax", "max/Max", ["x", "axes"], "peak", keepdims=1),
        node("Max", "maximum/Maximum", ["peak", "tiny"], "guarded"),
        node("Div", "divide/Div", ["x", "guarded"], "share"),
        conv("after/Conv", "share", "probabilities", "w"),
    ]
    weights = {"w": single(1), "axes": np.array([1, 2, 3], np.int64), "tiny": np.float32([[[[1e-6]]]])}
    return model_of(nodes, weights, layers=["before", "max", "maximum", "divide", "after"])


def test_a_tiny_constant_keeps_its_neighbours() -> None:
    """On bright images nothing is small: it is the constant that says how dark an image may be."""
    beside = "it stands beside maximum, which reads the constant 1e-06, below FP16's 6.1e-05"
    assert found(brightest(), flat(255)) == {
        "max": beside,
        "maximum": "it reads the constant 1e-06, below FP16's 6.1e-05",
        "divide": beside,
    }


def test_peaks_are_exact() -> None:
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(1, 1, side, side)).astype(np.float32) for side in (3, 7, 5)]
    peaks = peaks_of(three(2, 2, 2), feeds(*images)).tensors
    largest = max(images, key=lambda image: float(np.abs(image).max()))
    assert peaks["x"].value == 2 * float(np.abs(largest).max())
    assert peaks["x"].size == f"{largest.shape[2]}x{largest.shape[3]}"
    assert peaks["y"].value == 2 * max(float(image.max()) for image in images)


def test_what_is_infinite_in_float32_already_stays_there() -> None:
    assert list(found(three(3e38, 1, 1), flat(1e4))) == ["a", "b", "c"]
    assert next(iter(found(three(1, 1, 1), flat(np.nan)))) == "a"


def test_an_unknown_layer_is_a_usage_error_with_the_nearest() -> None:
    places = places_of(three(1, 1, 1))
    check_known(["a", "c"], places)
    with pytest.raises(UsageError) as refused:
        check_known(["conv2d_1", "dens"], ["conv2d_1", "conv2d_12", "dense"])
    assert str(refused.value) == (
        "--keep-fp32 dens: the network has no such layer\n"
        "  cause: did you mean dense?\n"
        "  next:  give a layer's name as in Keras: --keep-fp32 dense"
    )
    with pytest.raises(UsageError) as refused:
        check_known(["zzz"], places)
    assert refused.value.cause == "it has a, b, c"


def test_dark_images_agree_because_of_what_is_kept() -> None:
    """In FP16 an image this dark has five levels."""
    nodes = [entry for entry in brightest().graph.node if entry.name != "before/Conv"]
    for entry in nodes:
        entry.input[:] = ["image" if name == "x" else name for name in entry.input]
    weights = {"w": single(1), "axes": np.array([1, 2, 3], np.int64), "tiny": np.float32([[[[1e-6]]]])}
    model = model_of(nodes, weights, layers=["max", "maximum", "divide", "after"])
    dark = np.linspace(0, 3e-7, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    kept = list(found(model, flat(255)))
    assert kept == ["max", "maximum", "divide"]
    errors = {
        name: float(np.abs(run(rounded(narrowed(model, keep=keep)), dark) - run(model, dark)).max())
        for name, keep in {"kept": kept, "all of it FP16": []}.items()
    }
    assert errors["kept"] < 2**-11
    assert errors["all of it FP16"] > 0.01
    for keep in (kept, []):  # a black image is zero over the constant, which FP16 rounds but does not lose
        np.testing.assert_array_equal(run(rounded(narrowed(model, keep=keep)), flat(0)), flat(0))
