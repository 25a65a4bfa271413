"""The three heads, models that are convolutional already, and what the conversion leaves alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from convert_checks import TOLERANCE, answers, images, largest_difference
from convert_models import CASES, conv, image, with_weights
from keras import layers

from fcnship.errors import UsageError
from fcnship.graph.convert import Change, convert, convert_with_record
from fcnship.sizes import Size

BUILD = {case.name: case.build for case in CASES}


WITH_HEADS = (
    "sequential channels_first several_outputs norms_and_activations_apart fixed_input_already_convolutional "
    "nested outputs_in_a_dict"
)


@pytest.mark.parametrize("name", WITH_HEADS.split())
@pytest.mark.parametrize("average_of", ["probabilities", "scores"])
def test_heads_equal_the_original_at_the_trained_size(name, average_of):
    original = with_weights(BUILD[name]())
    for head in ("map", "average", "max"):
        converted = convert(original, head=head, average_of=average_of)
        assert largest_difference(original, converted) < TOLERANCE
        ranks = {len(tensor.shape) for tensor in converted.outputs}
        assert ranks == {4 if head == "map" else 2}


@pytest.mark.parametrize("name", ["sequential", "channels_first", "fixed_input_already_convolutional"])
def test_heads_reduce_the_map(name):
    original = with_weights(BUILD[name](), gain=1.2)
    shape = [side + 6 if side > 4 else side for side in original.inputs[0].shape[1:]]
    batch = images(original, tuple(shape))
    channels = 1 if name == "channels_first" else 3
    (cells,) = answers(convert(original), batch)
    spatial = (2, 3) if channels == 1 else (1, 2)
    assert cells.shape[spatial[0]] > 1
    (average,) = answers(convert(original, head="average"), batch)
    (largest,) = answers(convert(original, head="max"), batch)
    (of_scores,) = answers(convert(original, head="average", average_of="scores"), batch)
    assert np.allclose(average, cells.mean(axis=spatial), atol=TOLERANCE)
    assert np.allclose(largest, cells.max(axis=spatial), atol=TOLERANCE)
    # A softmax forgets a shift: the logarithm of its answer will do for the scores.
    scores = np.exp(np.log(cells).mean(axis=spatial))
    assert np.allclose(of_scores, scores / scores.sum(axis=1, keepdims=True), atol=TOLERANCE)
    assert np.abs(of_scores - average).max() > 20 * TOLERANCE


def test_global_pooling_heads_keep_their_vector():
    original = with_weights(BUILD["global_pooling_head"]())
    conversion = convert_with_record(original, head="average")
    assert conversion.changes == (
        Change(layer=original.layers[0].name, before="Input 12x12x2", after="takes any size"),
    )
    assert conversion.model.output_shape == (None, 3)


def test_a_dense_prediction_stays_a_map():
    start = image(8)
    original = keras.Model(start, conv(2, padding="same")(start))
    assert convert(original, head="average").output_shape == (None, None, None, 2)


def test_already_convolutional():
    start = keras.Input((None, None, 2))
    original = with_weights(keras.Model(start, layers.Conv2D(3, 1, activation="softmax")(conv()(start))))
    conversion = convert_with_record(original)
    assert conversion.already_convolutional
    assert conversion.trained_size is None
    batch = images(original, (9, 13, 2))
    assert np.array_equal(answers(original, batch)[0], answers(conversion.model, batch)[0])


def test_the_record():
    original = BUILD["non_square"]()
    conversion = convert_with_record(original, head="max")
    start, _, _, flatten, first, last = original.layers
    assert conversion.trained_size == Size(10, 17)
    assert conversion.changes == (
        Change(layer=start.name, before="Input 10x17x2", after="takes any size"),
        Change(
            layer=flatten.name, before="Flatten of a 4x5x3 map", after="removed: the map goes on as it is"
        ),
        Change(layer=first.name, before="Dense 6", after="Conv2D 6, 4x5 valid"),
        Change(layer=last.name, before="Dense 3", after="Conv2D 3, 1x1 valid"),
        Change(layer=original.name, before="class map", after="its max"),
    )


def test_settings_are_kept():
    start = image(8)
    x = layers.Dropout(0.25, name="drop")(layers.Flatten()(conv(name="frozen", trainable=False)(start)))
    dense = layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1), trainable=False, name="scores")
    new = convert(keras.Model(start, dense(x), name="net"))
    assert new.name == "net"
    assert new.get_layer("drop").rate == 0.25
    assert not new.get_layer("frozen").trainable
    assert not new.get_layer("scores").trainable
    assert new.get_layer("scores").kernel_regularizer.l2 == pytest.approx(0.1)


def test_training_one_model_leaves_the_other_alone():
    original = with_weights(BUILD["sequential"]())
    converted = convert(original)
    before = [weight.copy() for weight in original.get_weights()]
    converted.compile("sgd", "mse")
    batch = images(original, (12, 12, 2))
    converted.train_on_batch(batch, np.zeros((2, 1, 1, 3), "float32"))
    assert all(np.array_equal(old, new) for old, new in zip(before, original.get_weights(), strict=True))
    assert largest_difference(original, converted) > 20 * TOLERANCE


def test_a_shared_layer_stays_one_layer():
    new = convert(BUILD["shared_dense"]())
    kernels = [layer.kernel_size for layer in new.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sorted(kernels) == [(1, 1), (3, 3), (3, 3), (6, 6)]


def test_a_half_precision_model_stays_one():
    start = image(8, dtype="float16")
    x = layers.Flatten(dtype="float16")(conv(dtype="float16")(start))
    original = with_weights(keras.Model(start, layers.Dense(3, dtype="float16", activation="softmax")(x)))
    converted = convert(original, head="average")
    assert {w.dtype for w in converted.weights} == {"float16"}
    assert converted.outputs[0].dtype == "float16"
    assert largest_difference(original, converted) < 4e-3


# Keras 3.15 saves by a call that numpy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_converted_model_can_be_saved_and_loaded(tmp_path):
    original = with_weights(BUILD["operations_without_layers"]())
    converted = convert(original, head="average", average_of="scores")
    converted.save(tmp_path / "model.keras")
    assert largest_difference(original, keras.saving.load_model(tmp_path / "model.keras")) < TOLERANCE


def test_an_unknown_head_is_a_usage_error():
    with pytest.raises(UsageError) as caught:
        convert(BUILD["sequential"](), head="mean")  # type: ignore[arg-type]
    assert str(caught.value) == "head 'mean' is not known\n  next:  choose one of map, average, max"
