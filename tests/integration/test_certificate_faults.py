"""The certificate can fail: each fault that conversions are known for is put in, and named in the verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from convert_models import with_weights
from keras import layers

from fcnship.errors import ModelRefused
from fcnship.graph.convert import convert
from fcnship.verify.certificate import Certificate, prove

pytestmark = pytest.mark.filterwarnings("ignore:.*You are using a softmax over axis")


def _original(**settings: Any) -> Any:
    """Channels equal rows and columns of the flattened map, so that every wrong order has the right shape."""
    net = keras.Sequential([keras.Input((10, 10, 2)), layers.Conv2D(4, 3, activation="relu", **settings)])
    net.add(layers.MaxPooling2D())
    net.add(layers.Flatten())
    net.add(layers.Dense(6, activation="relu", name="dense"))
    net.add(layers.Dense(3, activation="softmax", name="last"))
    return with_weights(net)


def _kernel(change: Callable[[Any], Any], layer: str = "dense") -> tuple[Any, Any]:
    original = _original()
    converted = convert(original)
    kernel, bias = converted.get_layer(layer).get_weights()
    converted.get_layer(layer).set_weights([change(kernel), bias])
    return original, converted


def _dropped_bias(layer: str) -> tuple[Any, Any]:
    original = _original()
    converted = convert(original)
    kernel, bias = converted.get_layer(layer).get_weights()
    converted.get_layer(layer).set_weights([kernel, np.zeros_like(bias)])
    return original, converted


def _softmax_over(axis: int) -> tuple[Any, Any]:
    original = _original()
    converted = convert(original)
    before = next(layer for layer in converted.layers if isinstance(layer, layers.Softmax)).input
    return original, keras.Model(converted.inputs[0], layers.Softmax(axis=axis)(before))


def _without_bias() -> tuple[Any, Any]:
    """The layer itself rebuilt without its bias."""
    original = _original()
    converted = convert(original)
    x, image = converted.inputs[0], converted.inputs[0]
    for layer in converted.layers[1:]:
        if layer.name == "dense":
            bare = layers.Conv2D(6, 4, use_bias=False, activation="relu")
            x = bare(x)
            bare.set_weights(layer.get_weights()[:1])
        else:
            x = layer(x)
    return original, keras.Model(image, x)


FAULTS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "transposed kernel": lambda: _kernel(lambda k: k.transpose(1, 0, 2, 3)),
    "transposed kernel of a 1x1 layer": lambda: _kernel(lambda k: np.roll(k, 1, axis=2), "last"),
    "wrong flatten order": lambda: _kernel(lambda k: k.reshape(4, 4, 4, 6).transpose(1, 2, 0, 3)),
    "flipped kernel": lambda: _kernel(lambda k: k[::-1, ::-1]),
    "kernel flipped in one direction": lambda: _kernel(lambda k: k[:, ::-1]),
    "one weight off": lambda: _kernel(lambda k: k + 0.01 * (np.arange(k.size) == 7).reshape(k.shape)),
    "dropped bias": lambda: _dropped_bias("dense"),
    "dropped last bias": lambda: _dropped_bias("last"),
    "layer without a bias": _without_bias,
    "softmax over rows": lambda: _softmax_over(1),
    "softmax over columns": lambda: _softmax_over(2),
}  # fmt: skip


def _larger_faults(certificate: Certificate) -> list[str]:
    return [fault for check in certificate.larger for fault in check.faults]


def test_the_clean_conversion_is_proved() -> None:
    original = _original()
    certificate = prove(original, convert(original), head="map")
    assert certificate.proved, certificate.reasons
    assert all(check.max_abs <= check.floor * 4 for check in certificate.trained)


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_caught_at_the_trained_size_and_on_crops(name: str) -> None:
    certificate = prove(*FAULTS[name]())
    assert not certificate.proved
    assert not certificate.trained[0].passed
    faults = _larger_faults(certificate)
    assert any("original's own layers" in fault for fault in faults)
    # A softmax over space lets cells see the whole map: then none has to equal its crop.
    assert any("must equal the original on their crop" in fault for fault in faults) != ("softmax" in name)
    assert certificate.lines()[0].startswith("FAILED")
    assert certificate.as_json()["verdict"] == "failed"


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_fault_that_only_larger_sizes_show_is_caught(padding: str) -> None:
    """A head that strides over the map is right at the trained size, where it has one cell.

    With same padding no cell has to equal its crop: the original's own layers on the whole image tell.
    """
    original = _original(padding=padding)
    converted = convert(original)
    dense = converted.get_layer("dense")
    wide = layers.Conv2D(6, dense.kernel_size, strides=2, activation="relu")
    x = image = converted.inputs[0]
    for layer in converted.layers[1:]:
        x = wide(x) if layer is dense else layer(x)
    wide.set_weights(dense.get_weights())
    certificate = prove(original, keras.Model(image, x))
    assert certificate.trained[0].passed
    assert not certificate.proved
    assert all("original's own layers" in fault for fault in _larger_faults(certificate))
    assert sum(check.must for check in certificate.larger) == 0 or padding == "valid"


def test_a_model_that_does_not_run_at_the_trained_size_is_no_conversion() -> None:
    original = _original()
    image = keras.Input((None, None, 2))
    other = keras.Model(image, layers.Conv2D(3, 11)(image))
    with pytest.raises(ModelRefused, match="does not run at 10x10"):
        prove(original, other)


@pytest.mark.parametrize("head", ["average", "max"])
def test_another_head_than_the_one_asked_for_is_caught(head: str) -> None:
    original = _original()
    converted = convert(original, head="average" if head == "max" else "max")
    certificate = prove(original, converted, head=head)
    assert certificate.reasons == (f"output 'last' was to answer with its {head}, it answers with its "
                                   f"{'average' if head == 'max' else 'max'}",)  # fmt: skip


def test_not_a_number_is_caught() -> None:
    certificate = prove(*_kernel(lambda k: np.full_like(k, np.nan)))
    assert not certificate.proved
    assert certificate.trained[0].max_abs == float("inf")
