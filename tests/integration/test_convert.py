"""Every structure: equal at the trained size, on crops where padding allows, and running larger."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from convert_checks import TOLERANCE, answers, images, largest_difference, largest_difference_on_crops
from convert_models import CASES, Case, with_weights

from fcnship.graph.convert import convert_with_record

BY_NAME = [pytest.param(case, id=case.name) for case in CASES]


def test_there_are_enough_structures():
    assert len(CASES) >= 25


@pytest.mark.parametrize("case", BY_NAME)
def test_equal_at_the_trained_size(case: Case):
    original = with_weights(case.build())
    before = [weight.copy() for weight in original.get_weights()]
    conversion = convert_with_record(original)
    assert largest_difference(original, conversion.model) < TOLERANCE
    assert conversion.model.count_params() <= original.count_params()
    assert conversion.model.dtype_policy == original.dtype_policy
    assert {w.dtype for w in conversion.model.weights} == {w.dtype for w in original.weights}
    assert all(np.array_equal(old, new) for old, new in zip(before, original.get_weights(), strict=True))


@pytest.mark.parametrize("case", [p for p in BY_NAME if p.values[0].stride])
def test_each_cell_equals_the_original_on_its_crop(case: Case):
    original = with_weights(case.build())
    converted = convert_with_record(original).model
    assert largest_difference_on_crops(original, converted, case.stride) < TOLERANCE


@pytest.mark.parametrize("case", [p for p in BY_NAME if not p.values[0].stride])
def test_the_others_run_at_larger_sizes(case: Case):
    original = with_weights(case.build())
    converted = convert_with_record(original).model
    _, rows, columns, channels = original.inputs[0].shape
    for old, new in zip(
        answers(original, images(original, (rows, columns, channels))),
        answers(converted, images(original, (rows + 8, columns + 16, channels))),
        strict=True,
    ):
        assert np.isfinite(new).all()
        assert (new.shape == old.shape) is not case.grows


@pytest.mark.parametrize("case", BY_NAME)
def test_the_record_tells_every_layer_that_is_gone_or_another(case: Case):
    original = case.build()
    conversion = convert_with_record(original)
    kinds = {layer.name: type(layer) for layer in conversion.model.layers}
    named = {change.layer for change in conversion.changes}
    assert not conversion.already_convolutional
    for layer in original.layers:
        if not isinstance(layer, keras.Model):
            assert kinds.get(layer.name) is type(layer) or layer.name in named
