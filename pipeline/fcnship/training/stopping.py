"""Ctrl-C and SIGTERM during a training: noted at once, heeded when a step is over."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Whether somebody has asked to stop, and what was to happen then."""

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._asked: tuple[int, FrameType | None] | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._asked is not None

    def heed(self) -> None:
        """Do what the signal would have done: it raises, as a rule."""
        assert self._asked is not None
        number, frame = self._asked
        self._asked = None
        self._before[number](number, frame)

    def listen(self) -> None:
        """From now on signals are noted. Those that are ignored, or end the process at once, stay so."""
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self._note)

    def end(self) -> None:
        """Signals do again what they did before."""
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:  # somebody has asked twice
            self._before[number](number, frame)
        self._asked = (number, frame)


@contextlib.contextmanager
def stopping() -> Iterator[Stopping]:
    """Hold signals back until a step is over; only the main thread gets any."""
    noted = Stopping()
    if threading.current_thread() is threading.main_thread():
        noted.listen()
    try:
        yield noted
    finally:
        noted.end()
    if noted.asked:  # since the last step was over
        noted.heed()
