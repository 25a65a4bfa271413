"""The published networks, to the parameter."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convert_checks import TOLERANCE, answers, images, largest_difference
from convert_models import with_weights

from fcnship.graph.convert import convert, convert_with_record
from fcnship.sizes import Size

MODELS = Path(__file__).parents[2] / "models"


def recipe(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", MODELS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "parameters", "size"),
    [("dense", 2_770_634, (28, 28)), ("fcn", 55_338, (28, 28)), ("variable", 5_130, None)],
)
def test_mnist_networks(name, parameters, size):
    module = recipe(name)
    model = module.model(1, 10)
    assert model.count_params() == parameters
    assert model.name == name
    assert getattr(module, "SIZE", None) == size
    assert module.VALUE_RANGE == (0, 1)
    assert module.TRAINING == {"epochs": 5, "batch": 64}
    assert module.optimizer(100).name.startswith("adam")
    (probabilities,) = answers(model, np.zeros((2, 28, 28, 1), "float32"))
    assert np.allclose(probabilities.reshape(2, 10).sum(axis=1), 1)


def test_dense_converts_at_full_size():
    original = with_weights(recipe("dense").model(1, 10))
    conversion = convert_with_record(original)
    assert conversion.trained_size == Size(28, 28)
    assert conversion.model.count_params() == 2_770_634
    assert largest_difference(original, conversion.model) < TOLERANCE


@pytest.mark.parametrize("name", ["fcn", "variable"])
def test_the_others_are_convolutional_already(name):
    original = with_weights(recipe(name).model(1, 10))
    conversion = convert_with_record(original)
    assert conversion.already_convolutional
    batch = images(original, (28, 28, 1))
    (before,), (average,) = answers(original, batch), answers(convert(original, head="average"), batch)
    assert np.allclose(before.reshape(2, 10), average.reshape(2, 10), atol=TOLERANCE)


def test_vgg16_to_the_parameter():
    model = recipe("vgg16").model(3, 1000)
    assert model.count_params() == 138_357_544
    dense = [model.get_layer(name).count_params() for name in ("fc1", "fc2", "predictions")]
    assert dense == [102_764_544, 16_781_312, 4_097_000]
    assert recipe("vgg16").SIZE == (224, 224)
