"""The tree of errors: one exit code a branch, and the form of a message."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fcnship import errors
from fcnship.driver import named
from fcnship.errors import FcnshipError, UsageError

CODES = {
    "FcnshipError": 1,
    "StageFailed": 1,
    "UsageError": 2,
    "InputRefused": 3,
    "ModelRefused": 3,
    "DataRefused": 3,
    "ProfileRefused": 3,
    "ParityFailed": 4,
    "AccuracyBelowFloor": 5,
    "LatencyExceeded": 6,
    "EnvironmentLacks": 7,
    "ArtifactError": 8,
    "DeviceError": 9,
}


def test_each_branch_has_the_design_s_exit_code() -> None:
    tree = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, FcnshipError)
    }
    assert tree == CODES


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FcnshipError("it broke"), "it broke"),
        (FcnshipError("it broke", cause="age"), "it broke\n  cause: age"),
        (FcnshipError("it broke", next="mend it"), "it broke\n  next:  mend it"),
        (FcnshipError("it broke", cause="age", next="mend it"), "it broke\n  cause: age\n  next:  mend it"),
    ],
)
def test_a_message_says_what_why_and_what_next(error: FcnshipError, text: str) -> None:
    assert str(error) == text
    assert error.args == ("it broke",)


def test_a_name_that_is_not_utf_8_is_no_bug() -> None:
    """TensorFlow's own calls encode a path strictly."""
    stage: Any = SimpleNamespace(name="savedmodel")
    with pytest.raises(UsageError) as caught, named(stage, ["train"]):
        "out\udcff/run".encode()
    assert str(caught.value) == (
        "stage savedmodel cannot go on: a name is not UTF-8: 'out\\udcff/run'\n"
        "  cause: a file or folder has a name of other bytes, or the locale is not one of UTF-8\n"
        "  next:  rename it, or set a locale: export LC_ALL=C.UTF-8; finished stages are kept"
    )
