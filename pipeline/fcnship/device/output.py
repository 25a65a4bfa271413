"""What a device command prints: one JSON object on standard output, text for a person on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from fcnship.errors import EnvironmentLacks, FcnshipError

SCHEMA = "fcnship.device/1"
_OUT, _ERR = 1, 2


def say(line: str) -> None:
    """Tell a person a step, at once. Where nobody can read it, the work goes on all the same."""
    tell(f"fcnship-device: {line}")


def print_facts(command: str, facts: Mapping[str, Any]) -> None:
    """The JSON of a command that went well.

    Raises:
        EnvironmentLacks: standard output takes it not.
    """
    try:
        _print({"schema": SCHEMA, "command": command, "ok": True, **facts})
    except OSError as error:
        _silence(_OUT)
        raise EnvironmentLacks(
            f"the answer cannot be written to standard output: {error.strerror}",
            cause=f"{command} itself is done; most likely the disk that its output goes to is full",
            next="fcnship-device status says what is live",
        ) from None


def print_error(command: str, error: FcnshipError, status: int) -> None:
    """The JSON of one that did not, with what facts it has, and the same message as text."""
    told = {"exit": status, "what": error.what, "cause": error.cause, "next": error.next}
    facts: Mapping[str, Any] = getattr(error, "facts", {})
    try:
        _print({"schema": SCHEMA, "command": command, "ok": False, "error": told, **facts})
    except OSError:  # the text below is all that is left
        _silence(_OUT)
    say(str(error))


@contextlib.contextmanager
def only_json_on_stdout() -> Iterator[None]:
    """In the block whatever is written to standard output goes to standard error, where logs belong.

    Polygraphy logs through Python, TensorRT and the board's own libraries past it.
    """
    with contextlib.redirect_stdout(sys.stderr):
        if not _is_real(sys.__stdout__):
            yield
            return
        kept = os.dup(_OUT)
        os.dup2(_ERR, _OUT)
        try:
            yield
        finally:
            os.dup2(kept, _OUT)
            os.close(kept)


def open_standard_files() -> None:
    """A program may be started with none: the first files that it opens must not take their numbers."""
    for number in (0, _OUT, _ERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one


def _is_real(stream: Any) -> bool:
    """Whether Python's own standard output is the process's, and not another's that called us."""
    try:
        return stream is not None and stream.fileno() == _OUT
    except (OSError, ValueError, io.UnsupportedOperation):
        return False


def tell(text: str) -> None:
    """Write text for a person."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # a full disk, or a reader that went away
        _silence(_ERR)


def _print(value: Mapping[str, Any]) -> None:
    try:
        print(json.dumps(_writable(value), indent=1, allow_nan=False), flush=True)
    except BrokenPipeError:
        _silence(_OUT)  # nobody reads on (`| head`); what was done is done


def _silence(number: int) -> None:
    """What Python still holds to be written goes nowhere: at its end it would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _writable(value: object) -> object:
    """The three numbers that JSON cannot write as ``inf``, ``-inf``, ``nan``, as the report does."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return value
