"""Image files and arrays for the tests of ``fcnship-device run``, and a root in which a drop is live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from drops import DEVICE, Made
from PIL import Image

from fcnship.device.install import InstallRequest, install
from fcnship.device.live import Live, live_release

GREY = np.random.default_rng(0).integers(0, 256, (10, 12), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (10, 12, 3), dtype=np.uint8)


def live_in(root: Path, drop: Made) -> Live:
    """A drop, made live."""
    install(InstallRequest(drop=drop.folder, root=root), DEVICE, lambda line: None)
    return live_release(root, DEVICE)


def pnm(path: Path, pixels: Any, header: bytes | None = None) -> Path:
    kind = b"P6" if pixels.ndim == 3 else b"P5"
    height, width = pixels.shape[:2]
    path.write_bytes((header or kind + b"\n# by hand\n%d %d\n255\n" % (width, height)) + pixels.tobytes())
    return path


def png(path: Path, pixels: Any, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def npz(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path
