"""One OpenSSH connection to a device: one process, one authentication, requests and answers by its pipes.

The user's own configuration holds; host keys are strict, and nothing is ever asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import IO, Any

from fcnship.errors import ArtifactError, DeviceError
from fcnship.ship.agent import READY
from fcnship.ship.destination import Destination
from fcnship.ship.ssh_errors import error_of

# Over the user's own: what would ask, hang, forward, share or accept something.
_FIXED = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
    "LogLevel": "INFO",
    "ControlMaster": "no",
    "ControlPath": "none",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "RemoteCommand": "none",
}
# Only where the user has set nothing: a setting's value as ssh -G shows it then, and ours. A dead line ends.
_UNLESS_SET = {
    "ConnectTimeout": ("none", "20"),
    "ServerAliveInterval": ("0", "15"),
}
# What a configuration for tunnels has. Only where -G names it: OpenSSH before 8.7 knows neither.
_IF_NAMED = {"SessionType": "default", "StdinNull": "no"}
# The agent's source comes first on standard input, after its length. No character here is special to any
# shell within single quotes.
_BOOTSTRAP = (
    "import sys; v = sys.version_info; "
    'v >= (3, 10) or sys.exit("fcnship-python %d.%d" % v[:2]); '
    "r = sys.stdin.buffer; exec(r.read(int(r.readline())))"
)
_CHUNK = 1 << 16
_NOISE = 1000
_LONGEST_BYTES = 64 << 20


class Connection:
    """Requests to the agent on the device. ``with`` it: it is closed however the work ends."""

    def __init__(self, to: Destination, on_line: Callable[[str], None]) -> None:
        """Connect; ``on_line`` gets what the device writes on standard error, line by line.

        Raises:
            DeviceError: it cannot be reached, is unknown or another, does not let us in, or has no Python.
        """
        self.to = to
        self._told: deque[str] = deque(maxlen=100)
        # What it wrote before it was ready, on standard output: nologin(8) says so what it is.
        self._before: deque[str] = deque(maxlen=3)
        self._on_line = on_line
        self._process = subprocess.Popen(
            [*_command(to), f"exec python3 -c '{_BOOTSTRAP}'"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # The ssh of a ProxyJump hears nothing of BatchMode: without a terminal it asks nobody.
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"},
            start_new_session=True,
        )
        self._begun = self._listening = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        self._begun = self._listening = True

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        """What the agent answers to a request.

        Raises:
            DeviceError: the connection ended, or the device's system refused.
        """
        with contextlib.suppress(BrokenPipeError):
            self._send(json.dumps({"op": op, **request}).encode() + b"\n")
        return self._answer(self._line())

    def send(
        self, source: Path, offset: int, on_bytes: Callable[[int], None], **request: Any
    ) -> dict[str, Any]:
        """Ask it to take a file from ``offset`` on; ``on_bytes`` hears of each piece that has left."""
        # Where the device refuses in the middle (a full disk), it says why and stops reading.
        with contextlib.suppress(BrokenPipeError), source.open("rb") as file:
            count = source.stat().st_size - offset
            self._send(
                json.dumps({"op": "put", "offset": offset, "bytes": count, **request}).encode() + b"\n"
            )
            file.seek(offset)
            while count > 0 and (chunk := file.read(min(_CHUNK, count))):
                self._send(chunk)
                count -= len(chunk)
                on_bytes(len(chunk))
            if count:
                raise ArtifactError(
                    f"{source} became shorter while it was sent",
                    cause="something else writes to the drop",
                    next="let it finish, and run the same command again",
                )
        return self._answer(self._line())

    def last_words(self) -> str:
        """The last lines that the device wrote on standard error."""
        return "; ".join(list(self._told)[-3:])

    def close(self) -> None:
        """End the connection."""
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()
        self._listener.join(timeout=5)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout

    def _begin(self) -> None:
        source = resources.files("fcnship.ship").joinpath("agent.py").read_bytes()
        with contextlib.suppress(BrokenPipeError):
            self._send(b"%d\n" % len(source) + source)
        # A shell's start-up files may print something first, with or without an end of line.
        for _ in range(_NOISE):
            line = self._line().rstrip()
            if line.endswith(READY):
                return
            self._before.append(line)
        raise self._ended()

    def _send(self, data: bytes) -> None:
        self._stdin.write(data)
        self._stdin.flush()

    def _line(self) -> str:
        line = self._stdout.readline(_LONGEST_BYTES)
        if not line.endswith(b"\n"):
            raise self._ended()
        return line.decode("utf-8", "replace")

    def _answer(self, line: str) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise DeviceError(
                f"{self.to.typed} answers with something else than was asked for",
                cause=f"it wrote {line[:60]!a}",
                next="make the login shell's start-up files print nothing where there is no terminal",
            )
        return answer

    def _ended(self) -> DeviceError:
        """Why there is no answer, from what ssh and the device's shell have written."""
        self.close()
        told = list(self._told or self._before)
        return error_of(self.to, self._process.returncode, told, begun=self._begun)

    def _listen(self) -> None:
        assert self._process.stderr
        with self._process.stderr as pipe:
            for line in _lines(pipe):
                self._told.append(line)
                if self._listening:
                    self._on_line(line)


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    for line in pipe:
        if text := line.decode("utf-8", "replace").rstrip():
            yield text


def _command(to: Destination) -> list[str]:
    gaps = {
        option: ours
        for option, (unset, ours) in _UNLESS_SET.items()
        if to.settings.get(option.lower(), unset) == unset
    }
    named = {option: ours for option, ours in _IF_NAMED.items() if option.lower() in to.settings}
    options = [f"-o{option}={value}" for option, value in {**_FIXED, **gaps, **named}.items()]
    return ["ssh", "-T", *options, *to.words()]
