"""What a certificate says of each kind of structure."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest
from convert_models import CASES, conv, head, image, with_weights
from keras import layers

from fcnship.errors import ModelRefused, UsageError
from fcnship.graph.convert import convert, convert_with_record
from fcnship.sizes import Size
from fcnship.verify.certificate import Certificate, prove
from fcnship.verify.larger import MOST_CELLS

BY_NAME = {case.name: case for case in CASES}
VALID = (
    "sequential", "nested", "strides", "non_square", "depthwise", "separable", "residual_valid", "large_map",
    "several_outputs", "average_over_whole_map", "maximum_over_whole_map", "bytes_rescaled", "doubles",
)  # fmt: skip
PADDED = ("same_padding", "residual_same", "padded_and_enlarged")
VECTORS = ("global_pooling_head", "reshape_behind_global_pooling", "mean_by_an_operation")


def certificate_of(name: str, **how: Any) -> Certificate:
    original = with_weights(BY_NAME[name].build())
    return prove(original, convert(original, head=how.get("head", "map")), **how)


@pytest.mark.parametrize("name", VALID)
def test_valid_padding_every_cell_equals_its_crop(name: str) -> None:
    certificate = certificate_of(name)
    assert certificate.proved, certificate.reasons
    for check in certificate.larger:
        assert check.must_compared == min(check.must, MOST_CELLS) > 1
        assert check.layers_compared == min(check.cells, MOST_CELLS)
        # A trained size that is one pixel wider than the network reads leaves the last cells without a crop.
        assert {reason["why"] for reason in check.free_why} <= {"its crop reaches beyond the larger image"}
        assert check.free_why == () or name in ("depthwise", "separable")
    assert sum(check.free_compared for check in certificate.larger) == 0
    json.dumps(certificate.as_json(), allow_nan=False)


def augmented() -> Any:
    x = start = image()
    for layer in (layers.RandomFlip(), layers.RandomRotation(0.2), layers.RandomZoom(0.2)):
        x = layer(x)
    x = layers.MaxPooling2D()(conv()(layers.GaussianNoise(0.5)(layers.RandomContrast(0.5)(x))))
    return keras.Model(start, head(x))


def spectral_normalization() -> Any:
    start = image()
    x = layers.MaxPooling2D()(layers.SpectralNormalization(conv(), name="spectral")(start))
    return keras.Model(start, head(x))


@pytest.mark.parametrize("build", [augmented, spectral_normalization])
def test_what_works_in_training_alone_does_nothing_to_a_larger_image(build: Any) -> None:
    original = with_weights(build())
    certificate = prove(original, convert(original))
    assert certificate.proved, certificate.reasons
    assert all(check.must_compared == min(check.must, MOST_CELLS) > 1 for check in certificate.larger)


def test_the_record_tells_that_spectral_normalization_is_gone() -> None:
    changes = convert_with_record(spectral_normalization()).changes
    assert [change.after for change in changes if change.layer == "spectral"] == [
        "removed: the layer in it goes on with its weights"
    ]


@pytest.mark.parametrize("name", PADDED)
def test_same_padding_says_which_cells_differ_and_why(name: str) -> None:
    certificate = certificate_of(name)
    assert certificate.proved, certificate.reasons
    for check in certificate.larger:
        assert check.must == 0
        assert check.free_compared > 0
        assert check.free_max > 1000 * check.tolerance
        assert check.layers_compared == check.cells
        assert check.layers_max <= check.tolerance
        why = check.free_why[0]
        assert "at the border of the crop" in why["why"]
        assert (why["cells"], why["share"], why["where"]) == (check.cells, 1.0, "everywhere")
    assert any("may differ and do by up to" in line for line in certificate.lines())


def test_a_pooling_that_does_not_meet_the_crop_s_pixels() -> None:
    """Same pooling starts at pixel 0 of an even map and at -1 of an odd one; the crop's map is 8 wide."""
    image = keras.Input((10, 10, 1))
    x = layers.Conv2D(2, 3)(image)
    x = layers.Cropping2D(1)(layers.MaxPooling2D(3, strides=2, padding="same")(x))
    original = with_weights(keras.Model(image, layers.Dense(3)(layers.Flatten()(x))))
    certificate = prove(original, convert(original), sizes=[Size(14, 14), Size(13, 15)])
    even, odd = certificate.larger
    assert even.must == even.cells == 9
    assert odd.must == 0
    unaligned = "a pooling or stride does not meet the same pixels as in the crop"
    assert unaligned in [reason["why"] for reason in odd.free_why]
    assert odd.free_max > odd.tolerance
    assert odd.layers_compared == odd.cells
    assert certificate.proved


def test_cells_that_see_the_whole_image() -> None:
    certificate = certificate_of("squeeze_and_excite")
    assert certificate.proved
    assert {check.must for check in certificate.larger} == {0}
    assert "see the whole image" in certificate.larger[0].free_why[0]["why"]
    assert certificate.as_json()["geometry"]["global_context"] is True


@pytest.mark.parametrize("name", VECTORS)
def test_a_head_that_pools_is_held_against_the_original_s_layers(name: str) -> None:
    certificate = certificate_of(name)
    assert certificate.proved
    assert certificate.sizes.rows == ""
    assert certificate.savings == ()
    for check in certificate.larger:
        assert check.layers_compared == 1
        assert check.must_compared == check.free_compared == 0
    assert "one vector at every size" in str(certificate)


@pytest.mark.parametrize("head", ["average", "max"])
def test_heads_prove_the_map_and_the_pool(head: str) -> None:
    certificate = certificate_of("sequential", head=head)
    assert certificate.proved, certificate.reasons
    assert certificate.trained[0].head == head
    assert all(check.must_compared == check.cells for check in certificate.larger)


def test_the_average_of_scores() -> None:
    original = with_weights(BY_NAME["sequential"].build())
    converted = convert(original, head="average", average_of="scores")
    certificate = prove(original, converted, head="average")
    assert certificate.proved, certificate.reasons
    assert all(check.must_compared == check.cells for check in certificate.larger)
    converted.layers[-1].activation = keras.activations.sigmoid
    assert not prove(original, converted, head="average").proved


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("non_square", "floor((H - 10) / 2) + 1", "floor((W - 16) / 3) + 1"),
        ("functional", "floor((H - 14) / 4) + 1", "floor((W - 14) / 4) + 1"),
        ("same_padding", "ceil(H / 4) - 2", "ceil(W / 4) - 2"),
        ("dilation", "H - 13", "W - 13"),
    ],
)
def test_the_map_s_size_as_a_formula(name: str, rows: str, columns: str) -> None:
    certificate = certificate_of(name)
    sizes = certificate.as_json()["sizes"]
    assert (sizes["rows"], sizes["columns"]) == (rows, columns)
    smallest = certificate.geometry.minimum_size
    assert (sizes["run"][0]["height"], sizes["run"][0]["width"]) == (smallest.height, smallest.width)
    assert all(row["map"] == row["expected"] for row in sizes["run"])
    assert len(sizes["run"]) >= 4
    assert {row["outcome"] for row in sizes["below"]} <= {"refused", "empty"}
    assert len(sizes["below"]) == 2


def test_real_images_take_part_and_must_fit() -> None:
    original = with_weights(BY_NAME["sequential"].build())
    converted = convert(original)
    images = np.random.default_rng(0).uniform(size=(5, 12, 12, 2))
    assert prove(original, converted, images=images).real_images == 5
    with pytest.raises(UsageError, match="the images are"):
        prove(original, converted, images=images[:, :10])


def test_the_same_seed_gives_the_same_certificate() -> None:
    first, second = (certificate_of("same_padding", seed=3).as_json() for _ in range(2))
    other = certificate_of("same_padding", seed=4).as_json()
    for one in (first, second, other):
        one.pop("seconds")
        one.pop("name")
        one.pop("lines")
        text = json.dumps(one)
        one["text"] = text.replace(text[text.find("'") : text.rfind("'")], "")
    assert [c["free_max"] for c in first["larger"]] == [c["free_max"] for c in second["larger"]]
    assert [c["free_max"] for c in first["larger"]] != [c["free_max"] for c in other["larger"]]


def test_a_conversion_that_saves_nothing_is_warned_of() -> None:
    image = keras.Input((28, 28, 1))
    x = layers.Flatten()(layers.Conv2D(8, 3, activation="relu")(image))
    original = with_weights(keras.Model(image, layers.Dense(32, activation="softmax")(x)))
    certificate = prove(original, convert(original))
    (warning,) = certificate.warnings
    assert "one pass at 224x224 saves next to nothing against 38,809 crops of 28x28" in warning
    assert "a 26x26 convolution, needs 173,056 for each of 38,809 cells" in warning
    assert "models/fcn.py" in warning
    assert certificate.lines()[-1] == f"WARNING: {warning}."
    assert not certificate_of("functional").warnings


def test_models_that_do_not_belong_together_are_refused() -> None:
    original = with_weights(BY_NAME["several_outputs"].build())
    with pytest.raises(ModelRefused, match="has 1 outputs"):
        prove(original, convert(BY_NAME["sequential"].build()))


def test_keras_adds_a_bias_along_the_width_where_that_equals_the_filters() -> None:
    """Keras 3.15, ``ops.add`` on TensorFlow, channels first: the certificate fails and says why."""
    original = with_weights(BY_NAME["channels_first"].build())
    converted = convert(original)
    assert prove(original, converted, sizes=[Size(16, 22)]).proved
    certificate = prove(original, converted, sizes=[Size(16, 24)])
    assert not certificate.proved
    assert "adds the bias of 'dense" in certificate.reasons[0]
