"""Decoded images that were used last, in so many bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from fcnship.machine import available_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_BYTES, _SHARE_OF_MEMORY = 2 << 30, 8
_BYTES_A_PIXEL = {"L": 1}  # Pillow keeps all others in four
Key = tuple[str, int]


class DecodedImages:
    """At most ``most_bytes`` of images; those not used for longest go first. Threads may share it.

    Where no number is given: an eighth of the free memory, and no more than 2 GiB.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        share = available_bytes() // _SHARE_OF_MEMORY
        self._most = min(share, _MOST_BYTES) if most_bytes is None else most_bytes
        self._bytes = 0
        self._images: OrderedDict[Key, Image] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, decode: Callable[[], Image]) -> Image:
        """The image of a key, which is only read; decoded where it is not held."""
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
        # Outside the lock: two threads may decode the same image, and both go on.
        image = decode()
        with self._lock:
            if key not in self._images:
                self._images[key] = image
                self._bytes += _bytes_of(image)
            while self._bytes > self._most:
                _, oldest = self._images.popitem(last=False)
                self._bytes -= _bytes_of(oldest)
        return image


def _bytes_of(image: Image) -> int:
    width, height = image.size
    return width * height * _BYTES_A_PIXEL.get(image.mode, 4)
