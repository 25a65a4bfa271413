"""Ctrl-C, SIGTERM and a lost connection end a command in order: what it began is cleared away, and told."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from fcnship.errors import FcnshipError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked this program to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def interrupted(stop: KeyboardInterrupt) -> tuple[int, FcnshipError]:
    """The exit status that a shell gives a program that a signal ended, and what is told of it."""
    number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
    return 128 + number, FcnshipError(
        f"interrupted by {signal.Signals(number).name}",
        cause="Ctrl-C, a lost connection, or another program that ended this one",
        next="fcnship-device status says what is live; run the command again",
    )


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """In the block each of these signals raises ``Stopped``, and after it they do what they did before.

    One that is ignored stays so (``nohup``). After the first no other is listened to: what clears away may
    not be cut off.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    stops: list[Stopped] = []

    def stop(number: int, frame: FrameType | None) -> None:
        ignore_signals()
        stops.append(Stopped(number))
        raise stops[0]

    heard = [name for name in _ENDING if signal.getsignal(name) is not signal.SIG_IGN]
    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        name: signal.signal(name, stop) for name in heard
    }
    try:
        yield
    except Exception as error:
        # In the middle of an import, C makes of it that the library is not to be had.
        if stops:
            raise stops[0] from error
        raise
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def ignore_signals() -> None:
    """Nothing may stop what follows."""
    for name in _ENDING:
        signal.signal(name, signal.SIG_IGN)
