"""Accuracy as a gate: --min-accuracy, and the sizes at which a network must not be used."""

from __future__ import annotations

from typing import Any

import pytest

from fcnship.sizes import Profile, Size
from fcnship.verify.accuracy_gate import accuracy_reasons, accuracy_warnings, held_to
from fcnship.verify.proportion import interval_of_share
from fcnship.verify.unfit_sizes import best_of, listed, must_not_use, ranges, unfit_sizes

Rows = list[dict[str, Any]]
WIDE = [Profile.parse("28-224")]
SIDES = (28, 47, 79, 133, 224)


def row(accuracy: float, height: int = 28, width: int = 0, variant: str = "keras", images: int = 400) -> Any:
    size = {"height": height, "width": width or height}
    return {"variant": variant, **size, "images": images, "accuracy": accuracy}


def grid(**wrong: float) -> Rows:
    """97.5 % everywhere but where it is said otherwise, like ``_28x224=0.5``."""
    return [row(wrong.get(f"_{height}x{width}", 0.975), height, width) for height in SIDES for width in SIDES]


def test_below_the_floor_is_a_reason_with_code_5_that_names_the_worst_size_and_its_images() -> None:
    rows = held_to(0.95, [row(0.97), row(0.94, 47), row(0.9375, 79, 28, images=80)])
    assert [found["passed"] for found in rows] == [True, False, False]
    assert accuracy_reasons(rows) == [
        {
            "code": 5,
            "text": "keras is right less than 95 % of the time at 2 of 3 sizes, worst at 79x28: 93.75 % of "
            "80 images (95 % interval 86.19 % to 97.3 %)",
        }
    ]


@pytest.mark.parametrize(("accuracy", "passed"), [(0.95, True), (0.9499, False), (1.0, True), (0.0, False)])
def test_the_measured_value_decides(accuracy: float, passed: bool) -> None:
    rows = held_to(0.95, [row(accuracy)])
    assert rows[0]["passed"] is passed
    assert bool(accuracy_reasons(rows)) is not passed


def test_variants_that_are_right_alike_share_a_reason_and_others_have_their_own() -> None:
    variants = ("keras", "savedmodel", "onnx-fp32")
    rows = [row(0.9, variant=variant) for variant in variants]
    found = accuracy_reasons(held_to(0.95, [*rows, row(0.8, variant="onnx-int8"), row(0.97, variant="x")]))
    assert [reason["text"].split(" right")[0] for reason in found] == [
        "keras, savedmodel and onnx-fp32 are",
        "onnx-int8 is",
    ]


def test_without_a_floor_nothing_is_held_to_one() -> None:
    rows = [row(0.6)]
    assert held_to(None, rows) == rows
    assert not accuracy_reasons(rows)
    assert not accuracy_warnings(rows)


def test_what_so_few_images_leave_open_is_said_once_at_the_closest() -> None:
    rows = held_to(0.95, [row(0.96, images=100), row(0.97, 47, images=100), row(0.99, 79, images=10_000)])
    assert accuracy_warnings(rows) == [
        "2 of 3 accuracies reach the floor of 95 % by less than their images can tell, the closest keras at "
        "28x28: 96 % of 100 images (95 % interval 90.16 % to 98.43 %). More test images would settle it"
    ]
    assert accuracy_warnings(held_to(0.95, [row(0.99, images=10_000), row(0.5)])) == []


def test_a_network_that_is_wrong_at_every_size_is_told_though_no_size_is_worse_than_its_best() -> None:
    """One that was trained for 28x28, built for 64 and up: nothing of it is five points below its best."""
    rows = [row(0.18, 64), row(0.15, 112), row(0.16, 224), row(0.99, 64, variant="onnx-fp32")]
    assert must_not_use(rows, WIDE) == []
    assert accuracy_warnings(rows) == [
        "keras is wrong more often than right at every size that was measured; at its best, 64x64, it is "
        "right for 18 % of 400 images (95 % interval 14.55 % to 22.06 %). If it should be better, it was "
        "trained for other sizes, for other pixel values (--value-range) or with its labels in another order"
    ]
    assert accuracy_warnings([*rows, row(0.5, 28)]) == []
    assert accuracy_warnings([]) == []


# From the literature: Brown, Cai and DasGupta 2001; R's prop.test(correct=FALSE) gives the same.
@pytest.mark.parametrize(
    ("share", "of", "low", "high"),
    [(0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0), (0.5, 100, 0.4038, 0.5962), (0.95, 360, 0.9224, 0.9681)],
)
def test_the_interval_of_a_share(share: float, of: int, low: float, high: float) -> None:
    assert interval_of_share(share, of) == pytest.approx((low, high), abs=1e-4)


def test_of_no_images_nothing_is_known() -> None:
    assert interval_of_share(0.0, 0) == (0.0, 1.0)


def test_the_best_is_what_is_surely_best() -> None:
    assert best_of([row(1.0, images=8), row(0.98, 47), row(1.0, 79, variant="onnx-fp32")]) == row(0.98, 47)
    assert best_of([]) is None


def test_a_network_that_is_right_everywhere_may_be_used_everywhere() -> None:
    assert must_not_use(grid(), WIDE) == []
    assert must_not_use([], WIDE) == []


def test_sizes_are_told_as_ranges_and_the_rest_of_the_sentence_says_how_wrong() -> None:
    wrong = {"_28x133": 0.7, "_28x224": 0.5, "_47x133": 0.9, "_47x224": 0.8, "_224x28": 0.6}
    (told,) = must_not_use(grid(**wrong), WIDE)
    assert told == {
        "text": "Do not use the network at 28x133 to 47x224 and 224x28: it is right 50.0 % to 90.0 % of the "
        "time there, and 97.5 % at its best, 28x28 (25 sizes were measured)",
        "variants": ["keras"],
        "sizes": [[28, 133], [28, 224], [47, 133], [47, 224], [224, 28]],
    }


def test_of_a_single_size_network_what_may_be_used_is_told() -> None:
    """What a dense head does when a convolution carries its weights: it was right at 28 alone."""
    rows = [row(0.982 if (h, w) == (28, 28) else 0.3, h, w) for h in SIDES for w in SIDES]
    (told,) = must_not_use([*rows, row(0.94, 31), row(0.92, 36)], WIDE)
    assert told["text"] == (
        "Do not use the network at any size but 28x28 to 31x31: it is right 30.0 % to 92.0 % of the time "
        "there, and 98.2 % at its best, 28x28 (27 sizes were measured)"
    )
    assert len(told["sizes"]) == 25


def test_a_profile_of_one_size_is_told_although_nothing_is_wrong() -> None:
    (told,) = must_not_use([row(0.98)], [Profile.parse("28")])
    assert told["text"] == (
        "Do not use the network at any size but 28x28: it was built for no other, and measured at no other"
    )
    both = must_not_use([row(0.98)], [Profile.parse("28"), Profile.parse("32x40")])
    assert both[0]["text"].startswith("Do not use the network at any size but 28x28 and 32x40: ")
    assert must_not_use([row(0.98)], [Profile.parse("28"), Profile.parse("32-40")]) == []


def test_a_variant_is_named_only_for_what_the_original_does_well() -> None:
    rows = grid(_28x224=0.5)
    worse = [{**r, "variant": "onnx-int8", "accuracy": 0.5 if r["height"] == 28 else 0.97} for r in rows]
    same = [{**r, "variant": "onnx-fp32"} for r in rows]
    first, second = must_not_use([*worse, *rows, *same], WIDE)
    assert first["text"].startswith("Do not use the network at 28x224: it is right 50.0 % of the time there")
    assert second["text"].startswith("Do not use onnx-int8 at 28x28 to 28x133: it is right 50.0 % of the ")
    assert (first["variants"], second["variants"]) == (["keras"], ["onnx-int8"])


def test_what_is_below_the_floor_must_not_be_used_however_close_to_the_best_it_is() -> None:
    rows = grid(_28x28=0.949)
    assert unfit_sizes(rows) == {}
    assert unfit_sizes(held_to(0.95, rows)) == {"keras": [Size(28, 28)]}


def test_few_images_condemn_no_size() -> None:
    few = [row(1.0, images=8), row(0.875, 47, images=8)]
    many = [row(1.0), row(0.875, 47)]
    assert (unfit_sizes(few), unfit_sizes(many)) == ({}, {"keras": [Size(47, 47)]})


def test_a_range_holds_every_size_it_should_and_none_that_it_should_not() -> None:
    every = [Size(h, w) for h in SIDES for w in SIDES]
    for kept in range(0, 25, 2):
        wanted = [size for place, size in enumerate(every) if (place * 7) % 25 < kept + 1]
        others = [size for size in every if size not in wanted]
        held = {size for size in every for low, high in ranges(wanted, others) if size.within(low, high)}
        assert held == set(wanted)
    assert listed(every, []) == "28x28 to 224x224"
    assert listed([Size(47, 28)], every[:5]) == "47x28"
