"""While TensorFlow joins machines, the interpreter is locked: what ends a process then, with what words."""

from __future__ import annotations

import ctypes
import select
import signal
import subprocess
import sys

import pytest

from fcnship.training.cluster import Cluster
from fcnship.training.joining import _ended_after, _signals_by_themselves, _watched, lost

# A call of the C library that keeps the interpreter to itself, as TensorFlow's does.
LOCKED = """
import ctypes, sys
from fcnship.training.cluster import Cluster
from fcnship.training.joining import _ended_after, _signals_by_themselves, _watched
cluster = Cluster(addresses=("a:1", "b:2", "c:3"), index=1)
with _signals_by_themselves(), _watched(cluster, SECONDS), _ended_after(SECONDS + 1):
    print("waits", flush=True)
    ctypes.PyDLL(None).sleep(60)
"""


def locked(seconds: float) -> subprocess.Popen[str]:
    code = LOCKED.replace("SECONDS", str(seconds))
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_join_that_takes_too_long_ends_with_its_code_and_says_why() -> None:
    with locked(0.5) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (9, "waits\n")
    assert err == (
        "fcnship: TensorFlow could not join a:1, c:3 within 0.5 s\n"
        "  cause: one of them failed just after all had met, or a firewall is between them\n"
        "  next:  look at what it said, then start the same command on all machines again\n"
    )


def test_a_signal_ends_it_where_no_handler_of_python_s_can_run() -> None:
    with locked(50) as process:
        assert process.stdout
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (-signal.SIGTERM, "")


def test_all_is_as_before_when_they_have_joined(capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with _signals_by_themselves(), _watched(Cluster(addresses=("a:1", "b:2"), index=0), 0.2):
            # TensorFlow takes SIGTERM for itself, behind Python's back.
            ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(int(signal.SIG_IGN)))
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
    assert capfd.readouterr().err == ""


def test_a_timer_that_is_not_needed_any_more_ends_nothing() -> None:
    with _ended_after(0.1):
        pass
    # In it the process would end, and all tests with it.
    assert not select.select([], [], [], 0.3)[0]


def test_what_was_lost_is_told_in_words_and_not_in_names_of_nodes() -> None:
    said = (
        "Graph execution error:\n\nCollective ops is aborted by: Connection reset by peer\n"
        "The error could be from a previous operation.\n\t [[{{node CollectiveReduceV2}}]] [Op:__inference_1]"
    )
    told = lost(Cluster(addresses=("127.0.0.1:1", "127.0.0.1:2"), index=0), RuntimeError(said))
    assert told.what == (
        "worker 1 (127.0.0.1:2) ended or cannot be reached any more, and training ended with it"
    )
    assert told.cause.endswith(" is down (Collective ops is aborted by: Connection reset by peer)")
