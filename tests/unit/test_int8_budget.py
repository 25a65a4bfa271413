"""The INT8 budget on test images: what is surely lost fails, what chance explains does not."""

from __future__ import annotations

from typing import Any

import pytest

from fcnship.verify.int8_budget import budget_reasons


def row(variant: str, accuracy: float, side: int = 28, images: int = 2000) -> dict[str, Any]:
    return {"variant": variant, "height": side, "width": side, "images": images, "accuracy": accuracy}


def test_a_sure_loss_fails_with_its_worst_size() -> None:
    rows = [
        *(row("keras", 0.98, side) for side in (28, 56)),
        row("onnx-int8", 0.96, 28),
        row("onnx-int8", 0.95, 56),
        row("onnx-fp32", 0.90, 56),
    ]
    assert budget_reasons(rows, 0.5) == [
        {
            "code": 5,
            "text": "onnx-int8 loses 3.00 points of accuracy at 56 on 2,000 test images, "
            "and --int8-budget allows 0.5",
        }
    ]


@pytest.mark.parametrize(
    ("accuracy", "images", "failed"),
    [
        (0.980, 2000, False),
        (0.9745, 2000, False),
        (0.960, 2000, True),
        (0.972, 360, False),
        (0.990, 2000, False),
    ],
)
def test_what_chance_explains_passes(accuracy: float, images: int, failed: bool) -> None:
    rows = [row("keras", 0.98, images=images), row("engine-int8", accuracy, images=images)]
    assert bool(budget_reasons(rows, 0.5)) == failed


def test_no_budget_and_no_original_is_nothing_to_judge() -> None:
    rows = [row("keras", 0.98), row("onnx-int8", 0.5)]
    assert budget_reasons(rows, None) == []
    assert budget_reasons(rows[1:], 0.5) == []
