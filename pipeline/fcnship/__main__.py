"""``python -m fcnship`` and the ``fcnship`` script."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line and end with its exit code. Anything unforeseen is a traceback and exit code 1."""
    _open_standard_streams()
    # Ended like Ctrl-C, so that what is half-written is cleared away at once.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        from fcnship.cli import main as run

        code = run()
    except KeyboardInterrupt:  # while fcnship itself is loaded, or for the second time
        code = 128 + signal.SIGINT
    # What is left is the interpreter's own clearing away; stopped there, it would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _open_standard_streams() -> None:
    """Where a stream was closed (``2>&-``) the next file opened would take its place, and get what is
    written to it: TensorFlow's log would end up in a model.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
