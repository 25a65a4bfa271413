"""Ship Keras image networks to edge devices: fully convolutional, any size in a range, proved at every step.

Each command of ``fcnship`` has a function here. It prints nothing, returns frozen results and raises the
errors of ``fcnship.errors``. Importing this package imports no TensorFlow.
"""

from __future__ import annotations

from fcnship.version import __version__

# The name that type checkers know; typing itself takes longer to load than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fcnship.api import (
        build,
        convert,
        convert_file,
        diff,
        doctor,
        engine,
        explain,
        export,
        prove,
        quantize,
        report,
        reproduce,
        selftest,
        train,
        validate,
        why,
    )
    from fcnship.api_ship import deploy, device_add, drop
    from fcnship.runs import BuildOptions, Run

__all__ = [
    "BuildOptions",
    "Run",
    "__version__",
    "build",
    "convert",
    "convert_file",
    "deploy",
    "device_add",
    "diff",
    "doctor",
    "drop",
    "engine",
    "explain",
    "export",
    "prove",
    "quantize",
    "report",
    "reproduce",
    "selftest",
    "train",
    "validate",
    "why",
]

_NOT_OF_API = {
    **dict.fromkeys(("deploy", "device_add", "drop"), "api_ship"),
    **dict.fromkeys(("BuildOptions", "Run"), "runs"),
}


def __getattr__(name: str) -> Any:
    """Functions are loaded when they are asked for: before that, a command listens for Ctrl-C."""
    from importlib import import_module

    if name in __all__:
        return getattr(import_module(f"fcnship.{_NOT_OF_API.get(name, 'api')}"), name)
    if name == "errors":
        return import_module("fcnship.errors")
    raise AttributeError(f"module 'fcnship' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
