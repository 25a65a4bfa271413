"""``TF_CONFIG``: what it may say, and how machines meet before TensorFlow is told of them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any

import pytest

from fcnship.errors import DeviceError, FcnshipError, UsageError
from fcnship.training.cluster import Cluster, cluster_of
from fcnship.training.meeting import WAIT, meet

NEXT = (
    'write it like {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}, or unset it to train on this machine alone'
)
TWO = {"worker": ["a:1", "b:2"]}
INPUTS = {"recipe": "r", "data": "d"}


def cluster(jobs: Any, kind: Any = "worker", index: Any = 0) -> Cluster | None:
    return cluster_of({"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})})


@pytest.mark.parametrize(
    ("jobs", "kind", "index", "addresses", "place"),
    [
        (TWO, "worker", 1, ("a:1", "b:2"), 1),
        (TWO, "worker", "1", ("a:1", "b:2"), 1),
        ({"worker": ["a:1", "b:2"], "chief": ["c:3"]}, "worker", 1, ("c:3", "a:1", "b:2"), 2),
        ({"worker": ["a:1"], "chief": ["c:3"]}, "chief", 0, ("c:3", "a:1"), 0),
        ({"worker": ["[::1]:1", "b:2"]}, "worker", 0, ("[::1]:1", "b:2"), 0),
    ],
)
def test_a_place_among_the_machines(
    jobs: Any, kind: str, index: Any, addresses: tuple[str, ...], place: int
) -> None:
    found = cluster(jobs, kind, index)
    assert found == Cluster(addresses=addresses, index=place)
    assert found and found.chief == (place == 0)


@pytest.mark.parametrize(
    "text", ["", " ", "{}", '{"cluster": {}}', '{"task": {"type": "worker", "index": 0}}']
)
def test_one_machine_needs_no_cluster(text: str) -> None:
    assert cluster_of({"TF_CONFIG": text}) is None
    assert cluster_of({}) is None
    assert cluster({"worker": ["a:1"]}) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[1]", "is [1], not an object"),
        ('{"cluster": [1]}', "has a cluster that is no object"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', "lacks task, or type or index in it"),
        ('{"cluster": {"worker": "a:1"}}', "has no list of addresses for worker"),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:2"]}}',
            "has the task type 'ps': fcnship trains on chief and worker alone",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "evaluator": ["b:2"]}}',
            "has the task type 'evaluator': fcnship trains on chief and worker alone",
        ),
        ('{"cluster": {"chief": ["a:1", "b:2"]}}', "has more than one chief"),
        ('{"cluster": {"worker": ["a", "b:2"]}}', "has the address 'a', which is not HOST:PORT"),
        ('{"cluster": {"worker": ["a:0", "b:2"]}}', "has the address 'a:0', which is not HOST:PORT"),
        ('{"cluster": {"worker": [7]}}', "has the address 7, which is not HOST:PORT"),
    ],
)
def test_a_wrong_description_is_refused(text: str, what: str) -> None:
    refused(lambda: cluster_of({"TF_CONFIG": text}), what)


@pytest.mark.parametrize(
    ("jobs", "kind", "index", "what"),
    [
        (TWO, "worker", 2, "has the task index 2, and only 2 of type worker, counted from 0"),
        (TWO, "worker", -1, "has the task index -1, not a whole number"),
        (TWO, "worker", True, "has the task index True, not a whole number"),
        (TWO, "chief", 0, "has the task type 'chief', which its cluster does not have"),
        ({"worker": ["a:1", "a:1"]}, "worker", 0, "names the same address twice"),
    ],
)
def test_a_wrong_place_is_refused(jobs: Any, kind: str, index: Any, what: str) -> None:
    refused(lambda: cluster(jobs, kind, index), what)


def refused(call: Any, what: str) -> None:
    with pytest.raises(UsageError) as told:
        call()
    assert str(told.value) == (
        f"TF_CONFIG {what}\n"
        "  cause: the environment describes a training on several machines, and not rightly\n"
        f"  next:  {NEXT}"
    )


@pytest.fixture
def addresses() -> tuple[str, ...]:
    """Addresses of this machine at which nobody listens."""
    with contextlib.ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [server.getsockname()[1] for server in servers]
    return tuple(f"127.0.0.1:{port}" for port in ports)


def met(
    addresses: tuple[str, ...], inputs: dict[int, dict[str, str]], said: list[str] | None = None
) -> dict[int, FcnshipError | None]:
    """What became of each machine that came, by its place; the last one comes after all others."""
    heard = [] if said is None else said
    outcomes: dict[int, FcnshipError | None] = {}

    def come(place: int) -> None:
        try:
            meet(Cluster(addresses=addresses, index=place), inputs[place], heard.append)
            outcomes[place] = None
        except FcnshipError as error:
            outcomes[place] = error

    threads = [threading.Thread(target=come, args=[place]) for place in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


def test_all_that_come_meet(addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT, "20")
    start = time.monotonic()
    assert met(addresses, {2: INPUTS, 1: INPUTS, 0: INPUTS}) == dict.fromkeys(range(3))
    assert time.monotonic() - start < 5


def test_one_that_never_comes_is_named(addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT, "0.5")
    outcomes = met(addresses, {0: INPUTS, 1: INPUTS})
    assert isinstance(outcomes[0], DeviceError)
    assert str(outcomes[0]) == (
        f"worker 2 ({addresses[2]}) did not come within 0.5 s\n"
        "  cause: it was not started, has failed, has the index of another, or cannot be reached from here.\n"
        f"  next:  start the same command on all machines of TF_CONFIG; {WAIT} says how long one waits"
    )
    assert isinstance(outcomes[1], DeviceError)
    assert outcomes[1].what == f"worker 0 ({addresses[0]}) did not come within 0.5 s"


def test_the_last_try_says_why_the_chief_is_not_there(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WAIT, "0.5")
    (absent,) = met(addresses, {1: INPUTS}).values()
    assert absent
    assert absent.cause == (
        "it was not started, has failed, has the index of another, or cannot be reached from here "
        "(Connection refused). Or, of the chief: its model is trained already"
    )


def test_somebody_else_at_the_chief_s_port_is_no_chief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT, "0.5")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as free:
        two = tuple(f"127.0.0.1:{port.getsockname()[1]}" for port in (server, free))
        free.close()

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.recv(4096)
                        connection.sendall(b"[7]\n")

        thread = threading.Thread(target=answer)
        thread.start()
        (absent,) = met(two, {1: INPUTS}).values()
        server.shutdown(socket.SHUT_RDWR)
        thread.join(30)
    assert isinstance(absent, DeviceError)
    assert "(somebody else answers there)" in absent.cause


def test_two_with_one_index_are_told(addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """On two machines each has the port for itself; here the second one's words are sent by hand."""
    monkeypatch.setenv(WAIT, "5")
    said: list[str] = []
    outcomes: list[dict[int, FcnshipError | None]] = []
    thread = threading.Thread(target=lambda: outcomes.append(met(addresses, {0: INPUTS, 1: INPUTS}, said)))
    thread.start()
    host, port = addresses[0].split(":")
    with contextlib.ExitStack() as held:
        # Those before the first of them came change nothing: each new one takes the place of the last.
        while not any("two workers" in line for line in said):
            try:
                connection = held.enter_context(socket.create_connection((host, int(port))))
            except ConnectionRefusedError:
                continue
            connection.sendall(json.dumps({"index": 1, "inputs": INPUTS}).encode() + b"\n")
        thread.join(30)
    assert said[0] == "two workers say that they are worker 1: the first to come is sent away"


def test_one_that_left_again_is_missed(addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT, "1")
    two = addresses[:2]
    caught: list[FcnshipError] = []

    def chief() -> None:
        try:
            meet(Cluster(addresses=addresses, index=0), INPUTS)
        except FcnshipError as error:
            caught.append(error)

    thread = threading.Thread(target=chief)
    thread.start()
    host, port = two[0].split(":")
    for index in (1, 2):
        while True:
            try:
                connection = socket.create_connection((host, int(port)))
                break
            except ConnectionRefusedError:
                continue
        connection.sendall(json.dumps({"index": index, "inputs": INPUTS}).encode() + b"\n")
        if index == 1:
            connection.close()
    thread.join(30)
    connection.close()
    assert [error.what for error in caught] == [f"worker 1 ({addresses[1]}) did not come within 1 s"]


def test_another_training_is_refused(addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT, "1")
    said: list[str] = []
    outcomes = met(addresses[:2], {0: INPUTS, 1: {**INPUTS, "data": "other"}}, said)
    assert said == ["worker 1 wants another training: data differs. It is waited for"]
    assert isinstance(outcomes[1], UsageError)
    assert outcomes[1].what == "this worker was asked for another training than the chief: data differs"
    assert isinstance(outcomes[0], DeviceError)


def test_strangers_at_the_port_are_no_workers(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WAIT, "20")
    outcomes: list[dict[int, FcnshipError | None]] = []
    thread = threading.Thread(target=lambda: outcomes.append(met(addresses[:2], {0: INPUTS})))
    thread.start()
    host, port = addresses[0].split(":")
    for said in (b"GET / HTTP/1.0\r\n\r\n", b'{"index": 7, "inputs": {}}\n', b"[]\n", b"\xff" * 70000):
        while True:
            try:
                with socket.create_connection((host, int(port))) as stranger:
                    stranger.sendall(said)
                break
            except ConnectionRefusedError:
                continue
            except ConnectionResetError:
                break
    meet(Cluster(addresses=addresses[:2], index=1), INPUTS)
    thread.join(30)
    assert outcomes == [{0: None}]


def test_a_taken_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT, "5")
    with socket.create_server(("", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"worker 0 cannot listen at {address}: Address already in use"):
            meet(Cluster(addresses=(address, "127.0.0.1:1"), index=0), INPUTS)
        with pytest.raises(UsageError, match=f"worker 1 cannot listen at {address}: Address already in use"):
            meet(Cluster(addresses=("127.0.0.1:1", address), index=1), INPUTS)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "1e99"])
def test_a_wrong_patience_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT, text)
    with pytest.raises(UsageError, match=f"{WAIT} is {text!r}, not a number of seconds"):
        meet(Cluster(addresses=("127.0.0.1:1", "127.0.0.1:2"), index=0), INPUTS)
