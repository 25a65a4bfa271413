"""``python -m fcnship`` and the ``fcnship`` script."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end with its exit code. Anything unforeseen is a traceback and exit code 1."""
    from fcnship.cli import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
