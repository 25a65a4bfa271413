"""What a command refuses, as a test reads it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fcnship.errors import FcnshipError


def refused(call: Callable[[], object]) -> tuple[int, str]:
    """The exit code and the whole message of the refusal that a call ends with."""
    with pytest.raises(FcnshipError) as caught:
        call()
    return caught.value.exit_code, str(caught.value)
