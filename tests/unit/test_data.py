"""The data sets: found by name or path, with a fingerprint that costs little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fcnship.data import find_data
from fcnship.data.image_folder import ImageFolder
from fcnship.data.sources import BUILT_IN, Digits, KerasDataset, NpzFile
from fcnship.errors import DataRefused, FcnshipError, UsageError
from fcnship.hashing import sha256_of_file, sha256_of_value


def not_found(text: str) -> FcnshipError:
    with pytest.raises(FcnshipError) as caught:
        find_data(text)
    return caught.value


def test_built_in_sets_and_files_are_found(tmp_path: Path) -> None:
    path = tmp_path / "signs.npz"
    path.write_bytes(b"12345")
    (tmp_path / "LOUD.NPZ").touch()
    assert find_data(str(tmp_path / "LOUD.NPZ")) == NpzFile(tmp_path / "LOUD.NPZ")
    assert find_data("digits") == Digits()
    found = find_data(str(path))
    assert found == NpzFile(path)
    assert found.name == "signs"
    assert found.fingerprint() == sha256_of_file(path)
    assert find_data(str(tmp_path), skip_bad=True) == ImageFolder(tmp_path, skip_bad=True)


def test_data_that_is_not_there(tmp_path: Path) -> None:
    error = not_found("fashion")
    assert isinstance(error, UsageError)
    assert str(error) == (
        "there is no data set 'fashion'\n"
        "  cause: it is no file, no folder and none of digits, mnist, fashion_mnist, cifar10; "
        "did you mean 'fashion_mnist'?\n"
        "  next:  name one of these, the path of an .npz file or a folder of images"
    )
    assert not_found(str(tmp_path / "x")).what == f"there is no data set {str(tmp_path / 'x')!r}"
    assert not_found("").what == "there is no data set ''"
    assert not_found("d" * 300).what == f"the data set {'d' * 80!r} cannot be looked up: File name too long"


def test_a_file_that_is_no_data(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.touch()
    error = not_found(str(path))
    assert isinstance(error, DataRefused)
    assert str(error) == (
        f"{path} is no data set that fcnship reads\n"
        "  cause: its name does not end in .npz, and it is no folder of images\n"
        "  next:  save it with numpy.savez_compressed: x_train, y_train, x_test, y_test"
    )


def test_digits_have_a_fingerprint_before_they_are_loaded() -> None:
    # In a process of its own: tests before this one may have loaded them.
    told = "from fcnship.data.sources import Digits; import sys; print(Digits().fingerprint(), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    fingerprint, *modules = done.stdout.split()
    assert (fingerprint, len(fingerprint)) == (Digits().fingerprint(), 64)
    assert "sklearn" not in modules


def test_a_cached_set_of_keras_is_read_without_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    file = tmp_path / "datasets" / "mnist.npz"
    file.parent.mkdir()
    x, y = np.arange(96, dtype=np.uint8).reshape(6, 4, 4), np.array([0, 1, 2] * 2, np.uint8)
    np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
    mnist = BUILT_IN["mnist"]
    assert isinstance(mnist, KerasDataset)
    assert mnist.missing == []
    assert mnist.fingerprint() == sha256_of_value([sha256_of_file(file)])
    data = mnist.load()
    assert (data.name, data.classes, data.value_range) == ("mnist", 3, (0.0, 255.0))


def test_where_keras_keeps_its_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fashion = BUILT_IN["fashion_mnist"]
    assert isinstance(fashion, KerasDataset)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", "~/elsewhere")
    assert fashion.folder == tmp_path / "elsewhere" / "datasets"
    monkeypatch.delenv("KERAS_HOME")
    assert fashion.folder == tmp_path / ".keras" / "datasets"
    assert fashion.missing == [
        f"{tmp_path}/.keras/datasets/fashion-mnist/{part}-ubyte.gz"
        for part in ("train-labels-idx1", "train-images-idx3", "t10k-labels-idx1", "t10k-images-idx3")
    ]


def test_cifar10_is_keras_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    cifar = BUILT_IN["cifar10"]
    assert isinstance(cifar, KerasDataset)
    assert cifar.missing == [f"{tmp_path}/datasets/cifar-10-batches-py-target_archive"]
    assert len(cifar.class_names) == 10
