"""Ship Keras image networks to edge devices: fully convolutional, any size in a range, proved at every step.

Each command of ``fcnship`` has a function here. It prints nothing, returns frozen results and raises the
errors of ``fcnship.errors``. Importing this package imports no TensorFlow.
"""

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
from fcnship.version import __version__

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
