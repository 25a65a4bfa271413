"""Arrays of images and labels, checked before anything uses them. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import DataRefused
from fcnship.machine import available_bytes

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_MOST_CHANNELS = 64


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images (count, height, width, channels) as they came, labels (count,) from 0, and the pixels' range."""

    name: str
    x_train: np.ndarray[Any, Any]
    y_train: np.ndarray[Any, Any]
    x_test: np.ndarray[Any, Any]
    y_test: np.ndarray[Any, Any]
    value_range: tuple[float, float]

    @property
    def channels(self) -> int:
        """Channels of every image."""
        return int(self.x_train.shape[3])

    @property
    def classes(self) -> int:
        """One more than the highest label."""
        return int(self.y_train.max()) + 1


def read_npz(path: Path, name: str) -> Dataset:
    """Read x_train, y_train, x_test and y_test.

    Raises:
        DataRefused: the file is no npz, is cut off, lacks an array, needs pickle, or its arrays are wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            needed = sum(entry.file_size for entry in archive.infolist())
        if needed > available_bytes():
            raise DataRefused(
                f"{path} unpacks to {needed / 1e9:.1f} GB, more than the memory that is free here",
                next="use fewer or smaller images",
            )
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in ARRAYS if key not in file.files]
            if missing:
                raise DataRefused(
                    f"{path} lacks {', '.join(missing)}",
                    cause=f"it holds {', '.join(file.files) or 'nothing'}",
                    next="save it with numpy.savez_compressed: x_train, y_train, x_test, y_test",
                )
            arrays = {key: _read(file, key, path) for key in ARRAYS}
    except (zipfile.BadZipFile, OSError, EOFError, KeyError) as error:
        raise DataRefused(
            f"{path} cannot be read: {error}",
            cause="it is no .npz file, or was cut off while it was copied",
            next="copy or make it again",
        ) from None
    return dataset_from_arrays(name, arrays, where=str(path))


def _read(file: Any, key: str, path: Path) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(file[key])
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise DataRefused(f"{path}: {key} cannot be read: {error}", next="make the file again") from None
        raise DataRefused(
            f"{path}: {key} is an array of Python objects",
            cause="reading it would mean unpickling, which can run any code; fcnship never does",
            next="save plain numbers: numpy.asarray(x, dtype='uint8')",
        ) from None


def dataset_from_arrays(
    name: str,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    *,
    value_range: tuple[float, float] | None = None,
    where: str = "",
) -> Dataset:
    """Check the four arrays and bring images to (count, height, width, channels), labels to int64.

    Raises:
        DataRefused: an array has a wrong type, shape, length or value.
    """
    where = where or name
    x_train, x_test = (_images(arrays[key], f"{where}: {key}") for key in ("x_train", "x_test"))
    y_train, y_test = (_labels(arrays[key], f"{where}: {key}") for key in ("y_train", "y_test"))
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if len(x) != len(y):
            raise _refused(f"{where}: x_{part} has {len(x)} images and y_{part} {len(y)} labels")
    if x_train.shape[3] != x_test.shape[3] or x_train.dtype != x_test.dtype:
        raise _refused(
            f"{where}: x_train is {x_train.dtype} with {x_train.shape[3]} channels, "
            f"x_test {x_test.dtype} with {x_test.shape[3]}"
        )
    _check_classes(where, y_train, y_test)
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        value_range=value_range or _range_of(x_train),
    )


def _images(x: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    if x.dtype.kind not in "uif":
        raise _refused(f"{where} holds {x.dtype}, not numbers")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or not 1 <= x.shape[3] <= _MOST_CHANNELS or 0 in x.shape:
        raise _refused(f"{where} has the shape {x.shape}, not (images, height, width) or (..., channels)")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2, 3)))
        raise _refused(f"{where} has NaN or infinity in {len(bad)} images, the first is number {bad[0]}")
    return x if x.dtype == np.uint8 else x.astype(np.float32)


def _labels(y: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind not in "ui" or y.ndim != 1:
        raise _refused(f"{where} is {y.dtype} of shape {y.shape}, not one whole number an image")
    if len(y) and int(y.min()) < 0:
        raise _refused(f"{where} has the label {int(y.min())}; labels start at 0")
    return y.astype(np.int64)


def _check_classes(where: str, y_train: np.ndarray[Any, Any], y_test: np.ndarray[Any, Any]) -> None:
    known, classes = np.unique(y_train), int(y_train.max()) + 1
    if len(known) != classes:
        raise _refused(
            f"{where}: y_train goes up to {classes - 1} but has only {len(known)} different labels",
            cause="a label is out of range, or a class has no training image",
        )
    if classes < 2:
        raise _refused(f"{where}: y_train has one class only")
    if int(y_test.max()) >= classes:
        raise _refused(
            f"{where}: y_test has the label {int(y_test.max())}, y_train only 0 to {classes - 1}",
            cause="a label is out of range, or a class has no training image",
        )


def _range_of(x: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The customary range that holds the values: 0-1, -1-1 or 0-255; else what they really span."""
    low, high = float(x.min()), float(x.max())
    if x.dtype == np.uint8:
        return 0.0, 255.0
    for candidate in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if candidate[0] <= low and high <= candidate[1]:
            return candidate
    return low, high


def _refused(what: str, cause: str = "") -> DataRefused:
    return DataRefused(what, cause=cause or "the file was not made for this", next="make the arrays again")
