"""The tree of errors: one exit code a branch, and the form of a message."""

from __future__ import annotations

import pytest

from fcnship import errors
from fcnship.errors import FcnshipError

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
