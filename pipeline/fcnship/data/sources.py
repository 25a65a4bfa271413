"""The data sets: one small interface, a cheap fingerprint and a load."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from fcnship.data.dataset import Dataset
from fcnship.data.examine import Progress
from fcnship.data.image_folder import ImageFolder
from fcnship.data.npz import dataset_from_arrays, read_npz
from fcnship.errors import DataRefused, EnvironmentLacks, UsageError
from fcnship.frameworks import import_keras
from fcnship.hashing import sha256_of_file, sha256_of_value
from fcnship.recipe import nearest

_DIGITS_TEST_IMAGES = 360


class Source(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """What the report calls it."""
        ...

    def fingerprint(self) -> str:
        """A hash of the data; cheap, and without importing what loads it."""
        ...

    def load(self, progress: Progress = ..., /) -> Dataset:
        """The images and labels; ``progress`` is told how far that is."""
        ...


def _quiet(done: int, total: int, text: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class NpzFile:
    """``PATH.npz`` with x_train, y_train, x_test, y_test."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def fingerprint(self) -> str:
        """The SHA-256 of the file."""
        return sha256_of_file(self.path)

    def load(self, progress: Progress = _quiet) -> Dataset:
        """The arrays, checked. Nothing in the file is ever unpickled."""
        return read_npz(self.path, self.name)


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; the same fifth of them is held out always."""

    name: str = "digits"

    def fingerprint(self) -> str:
        """The hash of the file inside scikit-learn, found without importing it."""
        spec = importlib.util.find_spec("sklearn")
        if spec is None or spec.origin is None:
            raise EnvironmentLacks("scikit-learn is not installed", next="pip install scikit-learn")
        file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
        return sha256_of_file(file)

    def load(self, progress: Progress = _quiet) -> Dataset:
        """1,437 training and 360 test images, split by class with a fixed seed."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits: Any = load_digits()
        split: Any = train_test_split(
            digits.images,
            digits.target,
            test_size=_DIGITS_TEST_IMAGES,
            random_state=0,
            stratify=digits.target,
        )
        x_train, x_test, y_train, y_test = split
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
        return dataset_from_arrays(self.name, arrays, value_range=(0.0, 16.0))


@dataclass(frozen=True)
class KerasDataset:
    """A data set that Keras's own loader fetches into Keras's own cache."""

    name: str
    files: tuple[str, ...]
    load_with_keras: Callable[[Any], Any]
    class_names: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Keras's cache of data sets."""
        return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"

    @property
    def missing(self) -> list[str]:
        """The files that do not lie in the cache."""
        return [str(self.folder / file) for file in self.files if not (self.folder / file).is_file()]

    def fingerprint(self) -> str:
        """The hash of the cached files, which are fetched first if they are not there."""
        if self.missing:
            self._fetch()
        if self.missing:
            raise DataRefused(
                f"Keras fetched {self.name}, but not into its cache {self.folder}",
                cause="Keras may not write there, and used a folder for temporary files",
                next="set KERAS_HOME to a folder that you may write",
            )
        return sha256_of_value([sha256_of_file(self.folder / file) for file in self.files])

    def load(self, progress: Progress = _quiet) -> Dataset:
        """The images as Keras's loader orders them."""
        if self.files[0].endswith(".npz") and not self.missing:
            # Read here and not by Keras, which allows pickles and deletes a file whose hash it does not know.
            return read_npz(self.folder / self.files[0], self.name)
        (x_train, y_train), (x_test, y_test) = self._fetch()
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
        return replace(dataset_from_arrays(self.name, arrays), class_names=self.class_names)

    def _fetch(self) -> Any:
        keras = import_keras()
        try:
            return self.load_with_keras(keras)
        except Exception as error:  # noqa: BLE001 - Keras raises a bare Exception when it cannot download
            if not self.missing:
                raise DataRefused(
                    f"the data set {self.name} in {self.folder} cannot be read: {error}",
                    cause="a file there is damaged, or was cut off while it was fetched",
                    next=f"remove {self.folder / self.files[0]} and its like, and try again",
                ) from None
            raise DataRefused(
                f"the data set {self.name} could not be fetched: {error}",
                cause="there is no network here, or the server does not answer",
                next=f"put {', '.join(self.missing)} there by hand, or use --data digits",
            ) from None


_IDX = tuple(
    f"fashion-mnist/{part}-ubyte.gz"
    for part in ("train-labels-idx1", "train-images-idx3", "t10k-labels-idx1", "t10k-images-idx3")
)
BUILT_IN: dict[str, Source] = {
    "digits": Digits(),
    "mnist": KerasDataset("mnist", ("mnist.npz",), lambda keras: keras.datasets.mnist.load_data()),
    "fashion_mnist": KerasDataset(
        "fashion_mnist", _IDX, lambda keras: keras.datasets.fashion_mnist.load_data()
    ),
    "cifar10": KerasDataset(
        "cifar10",
        ("cifar-10-batches-py-target_archive",),
        lambda keras: keras.datasets.cifar10.load_data(),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
}
_NEXT = "name one of {}, the path of an .npz file or a folder of images"


def find_data(text: str, *, skip_bad: bool = False) -> Source:
    """What ``--data`` means: a built-in data set's name, the path of an .npz file or of a folder of images.

    ``skip_bad``: a folder's images that cannot be used are counted and left out.

    Raises:
        UsageError: there is nothing of that name.
        DataRefused: what is there is neither.
    """
    if text in BUILT_IN:
        return BUILT_IN[text]
    try:
        return _found(text, skip_bad)
    except OSError as error:
        raise UsageError(
            f"the data set {text[:80]!r} cannot be looked up: {error.strerror}",
            cause="it is no path, or a folder on the way to it may not be read",
            next=_NEXT.format(", ".join(BUILT_IN)),
        ) from None


def _found(text: str, skip_bad: bool) -> Source:
    path = Path(text)
    if text and path.is_dir():
        return ImageFolder(path, skip_bad)
    if path.is_file() and path.suffix.lower() == ".npz":
        return NpzFile(path)
    if path.is_file():
        raise DataRefused(
            f"{text} is no data set that fcnship reads",
            cause="its name does not end in .npz, and it is no folder of images",
            next="save it with numpy.savez_compressed: x_train, y_train, x_test, y_test",
        )
    raise UsageError(
        f"there is no data set {text!r}",
        cause=f"it is no file, no folder and none of {', '.join(BUILT_IN)}{nearest(text, BUILT_IN)}",
        next="name one of these, the path of an .npz file or a folder of images",
    )
