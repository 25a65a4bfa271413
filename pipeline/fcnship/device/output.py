"""What a device command prints: one JSON object on standard output, text for a person on standard error."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

from fcnship.errors import FcnshipError

SCHEMA = "fcnship.device/1"


def say(line: str) -> None:
    """Tell a person a step, at once."""
    print(f"fcnship-device: {line}", file=sys.stderr, flush=True)


def print_facts(command: str, facts: Mapping[str, Any]) -> None:
    """The JSON of a command that went well."""
    _print({"schema": SCHEMA, "command": command, "ok": True, **facts})


def print_error(command: str, error: FcnshipError) -> None:
    """The JSON of one that did not, with what facts it has, and the same message as text."""
    told = {"exit": error.exit_code, "what": error.what, "cause": error.cause, "next": error.next}
    facts: Mapping[str, Any] = getattr(error, "facts", {})
    _print({"schema": SCHEMA, "command": command, "ok": False, "error": told, **facts})
    print(f"fcnship-device: {error}", file=sys.stderr, flush=True)


def _print(value: Mapping[str, Any]) -> None:
    try:
        print(json.dumps(_writable(value), indent=1, allow_nan=False), flush=True)
    except BrokenPipeError:
        # Nobody reads on (`| head`). What was done is done, and Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _writable(value: object) -> object:
    """The three numbers that JSON cannot write as ``inf``, ``-inf``, ``nan``, as the report does."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return value
