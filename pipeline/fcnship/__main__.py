"""``python -m fcnship`` and the ``fcnship`` script."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line and end with its exit code. Anything unforeseen is a traceback and exit code 1."""
    # Ended like Ctrl-C, so that what is half-written is cleared away at once.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    from fcnship.cli import main as run

    sys.exit(run())


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
