"""Arrays of images and labels, checked before anything uses them. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.data.dataset import Dataset
from fcnship.errors import DataRefused
from fcnship.machine import available_bytes
from fcnship.wording import counted

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_MOST_CHANNELS = 64
_MOST_CLASSES = 1 << 20
_COLOURS = (1, 3, 4)  # channels that images have
# Beyond so many times the other's span, 0-1 was mixed with 0-255.
_SPANS_APART = 100
# What a zip archive with a flipped bit, a password or an unknown compression raises.
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, RuntimeError)


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
                cause="all images are held in memory at once",
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
    except _BROKEN as error:
        raise DataRefused(
            f"{path} cannot be read: {error}",
            cause="it is no .npz file, or was cut off while it was copied",
            next="copy or make it again",
        ) from None
    except MemoryError as error:
        raise DataRefused(
            f"{path} does not fit into memory: {error}",
            cause="it holds a very large array, or its header lies",
            next="use fewer or smaller images",
        ) from None
    return dataset_from_arrays(name, arrays, where=str(path))


def _read(file: Any, key: str, path: Path) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(file[key])
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise DataRefused(
                f"{path}: {key} cannot be read: {error}",
                cause="the array in it is damaged, or in a newer format than this NumPy knows",
                next="make the file again",
            ) from None
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
            raise _refused(
                f"{where}: x_{part} has {len(x)} images and y_{part} {len(y)} labels",
                cause="an image or a label was lost, or arrays of two sets were mixed",
            )
    if x_train.shape[3] != x_test.shape[3] or x_train.dtype != x_test.dtype:
        raise _refused(
            f"{where}: x_train is {x_train.dtype} with {counted(x_train.shape[3], 'channel')}, "
            f"x_test {x_test.dtype} with {x_test.shape[3]}",
            cause="the two were prepared in different ways",
        )
    _check_alike(where, x_train, x_test)
    _check_classes(where, y_train, y_test)
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        value_range=value_range or _range_of(x_train, f"{where}: x_train"),
    )


def _check_alike(where: str, x_train: np.ndarray[Any, Any], x_test: np.ndarray[Any, Any]) -> None:
    """Both parts have values of one scale."""
    train, test = (float(x.max()) - float(x.min()) for x in (x_train, x_test))
    if train and test and not 1 / _SPANS_APART < test / train < _SPANS_APART:
        ends = [f"{x.min():g} to {x.max():g}" for x in (x_train, x_test)]
        raise _refused(
            f"{where}: x_train has values of {ends[0]}, x_test of {ends[1]}",
            cause="one of the two was divided by 255, and the other was not",
        )


def _images(x: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    if x.dtype.kind not in "uif":
        raise _refused(f"{where} holds {x.dtype}", cause="pixels are whole numbers or floating-point numbers")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or not 1 <= x.shape[3] <= _MOST_CHANNELS or 0 in x.shape:
        raise _refused(
            f"{where} has the shape {x.shape}",
            cause="it must be (images, height, width) or (images, height, width, channels), "
            f"with at least one image and at most {_MOST_CHANNELS} channels",
        )
    if x.shape[1] in _COLOURS and x.shape[3] not in _COLOURS and min(x.shape[2:]) > max(_COLOURS):
        raise _refused(
            f"{where} has the shape {x.shape}: images {x.shape[1]} high with {x.shape[3]} channels",
            cause="the channels stand before the rows (PyTorch's order)",
            next=f"put them last: numpy.moveaxis({where.rpartition(' ')[2]}, 1, -1)",
        )
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2, 3)))
        raise _refused(
            f"{where} has NaN, infinity or numbers beyond float32 in {len(bad)} images, "
            f"the first is number {bad[0]}",
            cause="a division by zero or an overflow when the images were prepared",
        )
    return x


def _labels(y: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind not in "ui" or y.ndim != 1:
        raise _refused(
            f"{where} is {y.dtype} of shape {y.shape}",
            cause="it must be one whole number an image; rows of zeros and a one want y.argmax(axis=1)",
        )
    for label in (int(y.min(initial=0)), int(y.max(initial=0))):
        if not 0 <= label < _MOST_CLASSES:
            raise _refused(
                f"{where} has the label {label}", cause="labels are numbered from 0, without a gap"
            )
    return y.astype(np.int64)


def _check_classes(where: str, y_train: np.ndarray[Any, Any], y_test: np.ndarray[Any, Any]) -> None:
    known, classes = np.unique(y_train), int(y_train.max()) + 1
    if len(known) != classes:
        raise _refused(
            f"{where}: y_train goes up to {classes - 1} but has only {len(known)} different labels",
            cause="a label is out of range, or a class has no training image",
        )
    if classes < 2:
        raise _refused(f"{where}: y_train has one class only", cause="every label is 0")
    if int(y_test.max()) >= classes:
        raise _refused(
            f"{where}: y_test has the label {int(y_test.max())}, y_train only 0 to {classes - 1}",
            cause="a label is out of range, or a class has no training image",
        )


def _range_of(x: np.ndarray[Any, Any], where: str) -> tuple[float, float]:
    """The customary range that holds the values: 0-1, -1-1 or 0-255; else what they really span."""
    low, high = float(x.min()), float(x.max())
    if low == high:
        raise _refused(f"{where} holds {low:g} everywhere", cause="the images are empty")
    if x.dtype == np.uint8:
        return 0.0, 255.0
    for candidate in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if candidate[0] <= low and high <= candidate[1]:
            return candidate
    return low, high


def _refused(what: str, cause: str, next: str = "make the arrays again and save them anew") -> DataRefused:
    return DataRefused(what, cause=cause, next=next)
