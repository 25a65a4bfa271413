"""``python -m fcnship.device`` and the zipapp ``fcnship-device``."""

from __future__ import annotations

import sys

from fcnship.device.cli import main

if __name__ == "__main__":
    sys.exit(main())
