"""Ctrl-C and SIGTERM during a training: none is lost, whenever it comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from fcnship.training.stopping import stopping


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """A job in the background inherits that Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_one_that_comes_after_the_last_step_is_heeded_when_the_training_is_over() -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), stopping() as noted:
        os.kill(os.getpid(), signal.SIGINT)
        assert noted.asked
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_was_heeded_is_not_heeded_again() -> None:
    with stopping() as noted:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            noted.heed()


def test_an_error_of_the_training_is_not_hidden_by_it() -> None:
    with pytest.raises(ValueError, match="its own"), stopping():
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("its own")
