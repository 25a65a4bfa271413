"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from fcnship.wording import counted


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "class", "1 class"),
        (0, "class", "0 classes"),
        (3, "channel", "3 channels"),
        (1000, "image", "1,000 images"),
    ],
)
def test_one_or_several(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text
