"""TensorRT's timing cache: what it measured of kernels, kept so that the next engine is built sooner.

TensorRT-RTX times nothing at build time: its functions of these names do nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

NEW, USED, REFUSED = "new", "used", "refused"


def load_timing_cache(config: Any, path: Path) -> str:
    """Give a builder's configuration the cache in a file.

    ``used``; ``new``: there is no file; ``refused``: TensorRT does not take it (of another GPU or version, or
    damaged), and an empty one takes its place.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    if data and _accepted(config, data):
        return USED
    _accepted(config, b"")  # and if that is refused too, the empty one that Polygraphy gave stays
    return REFUSED if data else NEW


def save_timing_cache(config: Any, path: Path) -> None:
    """Write the cache that a build has filled, whole or not at all."""
    from fcnship.device.store import write_whole

    cache = config.get_timing_cache()
    if cache is None:
        return
    write_whole(path, bytes(memoryview(cache.serialize())), path.parent)


def _accepted(config: Any, data: bytes) -> bool:
    cache = config.create_timing_cache(data)
    return cache is not None and bool(config.set_timing_cache(cache, ignore_mismatch=False))
