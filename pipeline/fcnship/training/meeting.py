"""The machines of a training meet before TensorFlow is told of them.

TensorFlow itself waits an hour for a machine that never comes; nothing can interrupt it, and a process cannot
even end then. So the chief first listens at its own address for all others, which tell it what they are about
to train, and answers when all are there. Then the port is free for TensorFlow.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from fcnship.errors import DeviceError, UsageError
from fcnship.training.cluster import Cluster, parts_of

WAIT = "FCNSHIP_WAIT_SECONDS"
_DEFAULT_WAIT = 600.0
_BETWEEN_TRIES = 0.2
_TALK_SECONDS = 10.0
_MOST_BYTES = 1 << 16
# Its answers; a list names the inputs that differ.
_READY, _TWICE = "ready", "twice"


def meet(cluster: Cluster, inputs: Mapping[str, str], say: Callable[[str], None] = lambda text: None) -> None:
    """Wait until all machines of a cluster are there and want the training that has these inputs.

    ``say`` hears of a worker that came for another one: it ends, and may be started again rightly.

    Raises:
        DeviceError: one did not come in time.
        UsageError: this one was asked for another training than the chief, or its port is taken.
    """
    end = time.monotonic() + patience()
    if cluster.chief:
        _receive(cluster, dict(inputs), end, say)
    else:
        _report(cluster, dict(inputs), end)


def _receive(cluster: Cluster, inputs: dict[str, str], end: float, say: Callable[[str], None]) -> None:
    """The chief's side: a connection of each worker, held until all are there."""
    there: dict[int, socket.socket] = {}
    others = range(1, len(cluster.addresses))
    with contextlib.ExitStack() as held, _listening(cluster) as listener:
        while missing := [place for place in others if place not in there or _left(there[place])]:
            listener.settimeout(max(end - time.monotonic(), 0.01))
            try:
                connection = held.enter_context(listener.accept()[0])
            except TimeoutError:
                raise _absent(cluster, missing) from None
            index, theirs = _heard(connection)
            differing = [name for name in {**inputs, **theirs} if inputs.get(name) != theirs.get(name)]
            if index not in others:
                continue
            if differing:
                _tell(connection, differing)
                say(f"worker {index} wants another training: {_told(differing)}. It is waited for")
                continue
            if index in there and not _left(there[index]):
                _tell(there[index], _TWICE)
                say(f"two workers say that they are worker {index}: the first to come is sent away")
            there[index] = connection
        for place in others:
            _tell(there[place], _READY)


def _report(cluster: Cluster, inputs: dict[str, str], end: float) -> None:
    """Another machine's side: tries until the chief listens, then waits for its answer."""
    _listening(cluster).close()  # TensorFlow will; the others had better not wait for one that cannot
    why = ""
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise _absent(cluster, [0], why)
        try:
            with socket.create_connection(parts_of(cluster.addresses[0]), timeout=left) as connection:
                _tell(connection, {"index": cluster.index, "inputs": inputs})
                answer = _answered(connection)
            break
        except (OSError, ValueError) as error:
            why = f" ({getattr(error, 'strerror', '') or error})"
        threading.Event().wait(min(_BETWEEN_TRIES, max(left, 0)))
    if answer == _TWICE:
        raise UsageError(
            f"another worker came to the chief as worker {cluster.index} too",
            cause="two machines have the same task index in TF_CONFIG, or this one was started twice",
            next="give each machine an index of its own, counted from 0",
        )
    if isinstance(answer, list):
        raise UsageError(
            f"this worker was asked for another training than the chief: {_told(answer)}",
            cause="the recipe, the data, an option or a library is not the same on both machines",
            next="give all machines the same files, versions and command",
        )


def _answered(connection: socket.socket) -> str | list[str]:
    """The chief's answer; ValueError where somebody else has its port."""
    answer = json.loads(_line(connection))
    names = isinstance(answer, list) and answer and all(isinstance(name, str) for name in answer)
    if not names and answer not in (_READY, _TWICE):
        raise ValueError("somebody else answers there")
    return cast("str | list[str]", answer)


def _told(differing: list[str]) -> str:
    return f"{', '.join(differing)} {'differs' if len(differing) == 1 else 'differ'}"


def _listening(cluster: Cluster) -> socket.socket:
    address = cluster.addresses[cluster.index]
    host, port = parts_of(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, backlog=len(cluster.addresses))
    except OSError as error:
        raise UsageError(
            f"worker {cluster.index} cannot listen at {address}: {error.strerror}",
            cause="another program, or another training, has this port",
            next="name another port in TF_CONFIG, the same on all machines",
        ) from None


def _heard(connection: socket.socket) -> tuple[int, dict[str, str]]:
    """What a worker says of itself; somebody who says something else is no worker."""
    connection.settimeout(_TALK_SECONDS)
    try:
        said = json.loads(_line(connection))
        return int(said["index"]), dict(said["inputs"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1, {}


def _left(connection: socket.socket) -> bool:
    """Whether the other side has closed it: it waits for an answer, and says nothing meanwhile."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(_TALK_SECONDS)


def _line(connection: socket.socket) -> bytes:
    """One line; ValueError where the other side leaves before its end, or says too much."""
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(4096)
        line += part
        if not part or len(line) > _MOST_BYTES:
            raise ValueError("no whole line")
    return line


def _tell(connection: socket.socket, what: Any) -> None:
    # One that has gone meanwhile is missed soon enough, at the latest when TensorFlow joins the machines.
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(what).encode() + b"\n")


def _absent(cluster: Cluster, missing: list[int], why: str = "") -> DeviceError:
    names = [f"worker {place} ({cluster.addresses[place]})" for place in missing]
    chief = " Or, of the chief: its model is trained already" if 0 in missing else ""
    return DeviceError(
        f"{' and '.join(names)} did not come within {patience():g} s",
        cause="it was not started, has failed, has the index of another, "
        f"or cannot be reached from here{why}.{chief}",
        next=f"start the same command on all machines of TF_CONFIG; {WAIT} says how long one waits",
    )


def patience() -> float:
    """How many seconds a machine waits for the others.

    Raises:
        UsageError: the environment says something else than a number.
    """
    text = os.environ.get(WAIT, "")
    try:
        seconds = float(text) if text else _DEFAULT_WAIT
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise UsageError(
            f"{WAIT} is {text!r}, not a number of seconds",
            cause="it says how long a worker of TF_CONFIG waits for the others",
            next=f"leave it out, which is {_DEFAULT_WAIT:g}",
        )
    return seconds
