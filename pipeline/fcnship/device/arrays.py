"""Images in .npz and .npy files, their shape read before their values."""

from __future__ import annotations

import contextlib
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fcnship.device.pictures import refused

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# What zipfile, zlib and numpy raise on files that are damaged or made to do harm.
BROKEN = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, MemoryError, RuntimeError),
    *(SyntaxError, tokenize.TokenError, zlib.error, zipfile.BadZipFile),
)
NAME = "image"
SUFFIXES = (".npz", ".npy")


def read_array(path: Path, check: Callable[[tuple[int, ...]], object]) -> Array:
    """The array ``image`` of an .npz, or that of an .npy. ``check`` is told the shape first, and may raise.

    Raises:
        DataRefused: it is missing, damaged, or holds something else than numbers.
    """
    import numpy as np

    try:
        with _opened(path) as file:
            version = np.lib.format.read_magic(file)
            shape, _, kind = _HEADERS[version](file)
            if kind.kind not in "uf" and kind != np.bool_:
                raise refused(path, f"its values are {kind}, not uint8 or floating point")
            check(shape)
        with _opened(path) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except BROKEN as error:
        raise refused(path, f"it cannot be read: {error or type(error).__name__}") from error


def _header(version: int) -> Callable[[IO[bytes]], Any]:
    def read(file: IO[bytes]) -> Any:
        import numpy as np

        return getattr(np.lib.format, f"read_array_header_{version}_0")(file)

    return read


# Version 3 is written for names of fields alone, which images have none of.
_HEADERS = {(1, 0): _header(1), (2, 0): _header(2)}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix.lower() == ".npy":
        with path.open("rb") as plain:
            yield plain
        return
    with zipfile.ZipFile(path) as archive:
        if f"{NAME}.npy" not in archive.namelist():
            there = ", ".join(sorted(archive.namelist())[:5]) or "nothing"
            raise refused(path, f"it holds no array `{NAME}`, but {there}")
        with archive.open(f"{NAME}.npy") as member:
            yield member
