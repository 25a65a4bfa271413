"""TensorFlow joins the machines of a cluster, watched from outside.

For a machine that fails just after all have met TensorFlow waits an hour, with the interpreter locked: no
thread, handler of a signal or exception of Python's can end that. What can is another process, which says
what is wrong, a timer of the C library, and a signal that ends a process by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from fcnship.errors import DeviceError
from fcnship.training.cluster import Cluster
from fcnship.training.meeting import patience

# All have met, and have imported TensorFlow: what is left takes seconds.
_MOST_SECONDS = 120.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# It reads a line when all is well, and nothing when the process that it watches has ended. Where the timer
# has not ended that one, it does.
_WATCH = """
import os, select, signal, sys, time
pid, seconds, message = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
end = time.monotonic() + seconds
heard = select.select([sys.stdin], [], [], seconds)[0]
if not (heard and sys.stdin.readline()) and time.monotonic() >= end:
    print(message, file=sys.stderr, flush=True)
    if not select.select([sys.stdin], [], [], 10)[0]:
        os.kill(pid, signal.SIGKILL)
"""
_AFTER_THE_MESSAGE = 2.0
_SIGEV_THREAD, _CLOCK_MONOTONIC = 2, 1


def joined(tf: Any, cluster: Cluster) -> Any:
    """The strategy of a cluster whose machines have met.

    Raises:
        DeviceError: another machine was lost.
    """
    seconds = min(patience(), _MOST_SECONDS)
    try:
        with _signals_by_themselves(), _watched(cluster, seconds), _ended_after(seconds + _AFTER_THE_MESSAGE):
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise lost(cluster, error) from error


def lost(cluster: Cluster, error: BaseException) -> DeviceError:
    """What to say when other machines do not answer any more."""
    gone = cluster.not_answering()
    told = " and ".join(gone) if gone else "another worker"
    return DeviceError(
        f"{told} ended or cannot be reached any more, and training ended with it",
        cause=f"it failed, was stopped, or the network is down ({_last_line(error)})",
        next="look at what it said, then start the same command on all machines again: "
        "training goes on from the last epoch",
    )


def _last_line(error: BaseException) -> str:
    """What TensorFlow has to say, without the names of nodes that it ends with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "[[" not in line]
    why = [line for line in lines if "aborted by" in line]
    return (why or lines or [type(error).__name__])[-1][:200]


@contextlib.contextmanager
def _watched(cluster: Cluster, seconds: float) -> Iterator[None]:
    """Another process says what is wrong if the block lasts longer."""
    message = (
        f"fcnship: TensorFlow could not join {cluster.told} within {seconds:g} s\n"
        "  cause: one of them failed just after all had met, or a firewall is between them\n"
        "  next:  look at what it said, then start the same command on all machines again"
    )
    words = [sys.executable, "-S", "-E", "-c", _WATCH, str(os.getpid()), str(seconds), message]
    with subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True) as watch:
        try:
            yield
        finally:
            watch.communicate(b"ended\n")


@contextlib.contextmanager
def _signals_by_themselves() -> Iterator[None]:
    """Ctrl-C ends the process, not a handler of Python's that would never run; nothing is half-written now.

    TensorFlow takes SIGTERM for itself; afterwards it does again what it did before.
    """
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Event(ctypes.Structure):
    """``struct sigevent`` of glibc and musl, 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("number", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("more", ctypes.c_char * 40),
    )


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """The process ends with the exit code of DeviceError if the block lasts longer.

    A timer of the C library calls ``_exit(code)`` then, in a thread that the interpreter knows nothing of.
    Where there is no such timer nothing happens, and the watching process ends this one.
    """
    timer = _timer()
    if timer is None:
        yield
        return
    library, nanoseconds = ctypes.CDLL(None), round(seconds * 1e9)
    # struct itimerspec: how often again (never), and when first, each in seconds and nanoseconds.
    when = (ctypes.c_long * 4)(0, 0, nanoseconds // 10**9, nanoseconds % 10**9)
    library.timer_settime(timer, 0, ctypes.byref(when), None)
    try:
        yield
    finally:
        library.timer_delete(timer)


def _timer() -> ctypes.c_void_p | None:
    """A timer that ends the process, not yet set."""
    library, timer = ctypes.CDLL(None), ctypes.c_void_p()
    if not hasattr(library, "timer_create"):
        return None
    ending = ctypes.cast(library._exit, ctypes.c_void_p)
    event = _Event(value=DeviceError.exit_code, notify=_SIGEV_THREAD, function=ending.value)
    failed = library.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer))
    return None if failed else timer
