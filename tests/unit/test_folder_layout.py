"""A folder of images: which file belongs to which class and part, and folders that are no data set."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fcnship.data import Dataset, find_data
from fcnship.data.image_folder import ImageFolder
from fcnship.data.notes import notes_on
from fcnship.errors import DataRefused
from fcnship.sizes import Profile
from image_folders import CLASSES, folder_of, picture, saved


def load(folder: Path, *, skip_bad: bool = False) -> Dataset:
    return find_data(str(folder), skip_bad=skip_bad).load()


def refusal(folder: Path) -> DataRefused:
    with pytest.raises(DataRefused) as caught:
        load(folder)
    assert caught.value.exit_code == 3
    return caught.value


def content(data: Dataset) -> set[tuple[str, str, int]]:
    """Each image's part, pixels and class."""
    parts = (("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test))
    return {
        (part, np.asarray(image).tobytes().hex(), int(label))
        for part, images, labels in parts
        for image, label in zip(images, labels, strict=True)
    }


# What is there


def test_parts_and_classes_are_folders(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path / "birds", {"train": 3, "test": 2, "calibration": 4}))
    assert (data.name, data.class_names, data.classes, data.channels) == ("birds", CLASSES, 2, 1)
    assert list(data.y_train) == [0, 0, 0, 1, 1, 1]
    assert list(data.y_test) == [0, 0, 1, 1]
    assert data.x_calibration is not None
    assert (len(data.x_train), len(data.x_test), len(data.x_calibration)) == (6, 4, 8)
    assert data.value_range == (0.0, 255.0)
    assert (data.x_train[4] == np.asarray(picture(4, bright=50))[..., None]).all()


def test_calibration_images_need_no_classes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    saved(folder / "calibration" / "any.png", picture(90))
    saved(folder / "calibration" / "other" / "any.png", picture(91))
    data = load(folder)
    assert data.x_calibration is not None
    assert len(data.x_calibration) == 2


def test_classes_alone_are_split_and_a_fifth_is_for_testing(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path, {"": 10}))
    assert np.bincount(data.y_train).tolist() == [8, 8]
    assert np.bincount(data.y_test).tolist() == [2, 2]
    assert {len(content(data))} == {20}


def test_the_split_hangs_on_the_pictures_alone(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", {"": 10})
    other = tmp_path / "other"
    for place, path in enumerate(sorted(one.rglob("*.png"), key=lambda path: path.name, reverse=True)):
        target = other / path.parent.name / f"{place:03}.PNG"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert content(load(one)) == content(load(other))


def test_copies_of_a_picture_stay_in_one_part(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"": 10})
    for path in sorted((folder / "cat").iterdir()):
        shutil.copy(path, path.with_name(f"again{path.name}"))
    data = load(folder)
    assert np.bincount(data.y_train).tolist() == [8, 16]
    assert np.bincount(data.y_test).tolist() == [2, 4]


def test_a_class_of_two_pictures_has_one_in_each_part(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path, {"": 2}))
    assert list(data.y_train) == list(data.y_test) == [0, 1]


def test_classes_that_are_numbers_come_in_their_order(tmp_path: Path) -> None:
    names = ("10", "9", "0")
    assert load(folder_of(tmp_path / "a", {"": 2}, classes=names)).class_names == ("0", "9", "10")
    assert load(folder_of(tmp_path / "b", {"": 2}, classes=(*names, "x"))).class_names == (
        "0",
        "10",
        "9",
        "x",
    )


def test_hidden_and_other_files_beside_the_classes_are_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for name in ("README.md", "train/labels.csv", "train/.DS_Store", "train/cat/.hidden.png", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    assert len(load(folder).x_train) == 12


def test_what_systems_leave_behind_is_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"": 4})
    for name in (
        "cat/Thumbs.db",
        "cat/desktop.ini",
        "Thumbs.db",
        "__MACOSX/cat/._0.png",
        "bird/@eaDir/x.jpg",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    data = load(folder)
    assert (data.class_names, len(data.x_train) + len(data.x_test)) == (CLASSES, 8)


def test_a_folder_beside_the_parts_is_told_as_not_used(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    saved(folder / "val" / "cat" / "1.png", picture(1))
    assert load(folder).facts == {"unused_folders": ["val"]}


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    whole = folder_of(tmp_path / "whole")
    links = tmp_path / "links"
    (links / "train").mkdir(parents=True)
    (links / "test").symlink_to(whole / "test")
    (links / "train" / "bird").symlink_to(whole / "train" / "bird")
    (links / "train" / "cat").mkdir()
    (links / "train" / "cat" / "0.png").symlink_to(whole / "train" / "cat" / "0.png")
    assert list(load(links).y_train) == [0] * 6 + [1]


def test_the_fingerprint_is_of_names_and_bytes_and_decodes_nothing(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "one"), folder_of(tmp_path / "two")
    first = ImageFolder(one).fingerprint()
    assert first == ImageFolder(two).fingerprint()
    file = two / "train" / "cat" / "0.png"
    file.write_bytes(b"no image at all")
    changed = ImageFolder(two).fingerprint()
    file.rename(file.with_name("00.png"))
    assert len({first, changed, ImageFolder(two).fingerprint()}) == 3
    (one / "test" / "cat" / ".hidden").touch()
    assert ImageFolder(one).fingerprint() == first


# What is no data set


def test_a_train_folder_without_a_test_folder(tmp_path: Path) -> None:
    shutil.rmtree(folder_of(tmp_path) / "test")
    assert str(refusal(tmp_path)) == (
        f"{tmp_path} has a folder train and none that is called test\n"
        "  cause: folders named train, test and calibration are the parts of a data set, not classes\n"
        f"  next:  add {tmp_path}/test, or put the classes into {tmp_path} itself to have them split"
    )


@pytest.mark.parametrize(
    ("classes", "has"), [((), "no folder in it"), (("cat",), "one folder, cat")], ids=["none", "one"]
)
def test_fewer_than_two_classes(classes: tuple[str, ...], has: str, tmp_path: Path) -> None:
    folder_of(tmp_path, {"": 2}, classes=classes)
    assert str(refusal(tmp_path)) == (
        f"{tmp_path} has {has}: at least two classes are needed\n"
        "  cause: each class of images has a folder of its own, and the folder's name is the class's\n"
        "  next:  put the images into DIR/CLASS/ or into DIR/train/CLASS/ and DIR/test/CLASS/"
    )


@pytest.mark.parametrize("skip_bad", [False, True])
def test_parts_of_other_names_are_no_classes(skip_bad: bool, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"Train": 2, "Test": 1})
    with pytest.raises(DataRefused) as caught:
        load(folder, skip_bad=skip_bad)
    assert str(caught.value) == (
        f"{folder} has no image in any folder of a class, but folders like Test/bird\n"
        "  cause: the parts of a data set are called train, test and calibration, in small letters; or the "
        "classes lie one folder deeper\n"
        "  next:  put the images into DIR/CLASS/ or into DIR/train/CLASS/ and DIR/test/CLASS/"
    )


@pytest.mark.parametrize(("gone", "other"), [("test", "train"), ("train", "test")])
def test_a_class_in_one_part_alone(gone: str, other: str, tmp_path: Path) -> None:
    shutil.rmtree(folder_of(tmp_path, classes=("bird", "cat", "dog")) / gone / "dog")
    assert str(refusal(tmp_path)) == (
        f"{tmp_path}/{gone} has no folder for 'dog', and {other} has\n"
        "  cause: a class that is trained is tested too, and none is tested that was never trained\n"
        "  next:  give both parts the same classes, or move the class out of both"
    )


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_without_images(part: str, tmp_path: Path) -> None:
    for path in (folder_of(tmp_path) / part / "cat").iterdir():
        path.unlink()
    assert str(refusal(tmp_path)) == (
        f"{tmp_path} has no usable {part} image of cat\n"
        "  cause: the folder is empty, or all that lies in it is bad\n"
        "  next:  put images there, or take the folder out"
    )


def test_a_calibration_folder_without_images(tmp_path: Path) -> None:
    (folder_of(tmp_path) / "calibration").mkdir()
    assert refusal(tmp_path).what == f"{tmp_path} has no usable calibration image of any class"


def test_a_class_of_one_picture_cannot_be_split(tmp_path: Path) -> None:
    saved(folder_of(tmp_path, {"": 4}) / "dog" / "1.png", picture(80))
    assert str(refusal(tmp_path)) == (
        f"the class dog in {tmp_path} has one picture: none would be left to train with, or to test with\n"
        "  cause: a fifth of each class is kept for testing\n"
        "  next:  give more images of this class, or train/ and test/ folders"
    )


def test_a_class_that_is_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "train" / "loop").symlink_to("loop")
    assert refusal(folder).what == (
        f"{folder} has 1 file that cannot be used: "
        "train/loop is a link that leads nowhere (Too many levels of symbolic links)"
    )
    with pytest.raises(DataRefused) as caught:
        ImageFolder(folder / "train" / "cat" / "0.png").load()
    assert caught.value.what == f"{folder}/train/cat/0.png cannot be read: Not a directory"


def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    closed = folder_of(tmp_path) / "train" / "cat"
    closed.chmod(0)
    try:
        if os.access(closed, os.R_OK):
            pytest.skip("root may read everything")
        assert refusal(tmp_path).what == f"{closed} cannot be read: Permission denied"
    finally:
        closed.chmod(0o755)


@pytest.mark.parametrize(
    "name", ["cat\x1b[2J", "cat\n", os.fsdecode(b"c\xe4t")], ids=["escape", "line", "latin1"]
)
def test_a_class_whose_name_cannot_be_shown(name: str, tmp_path: Path) -> None:
    folder_of(tmp_path, {"": 2}, classes=("bird", name))
    error = refusal(tmp_path)
    assert error.what == f"{tmp_path} has a class with the name {name!a}"
    assert error.next == "give the folder another name"


# The same picture twice


def test_the_same_picture_in_two_parts_is_listed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"train": 6, "test": 2, "calibration": 2})
    saved(folder / "test" / "cat" / "again.bmp", picture(7, bright=50))  # train/cat/1.png in another format
    saved(folder / "calibration" / "again.png", picture(0).convert("RGB"))  # train/bird/0.png in colour
    assert str(refusal(tmp_path)) == (
        f"{tmp_path} has the same picture in two parts, 2 times: train/bird/0.png = calibration/again.png, "
        "train/cat/1.png = test/cat/again.bmp\n"
        "  cause: accuracy and ranges would be measured on what was learnt; their pixels are equal, whatever "
        "the files are called\n"
        "  next:  leave each picture in one of train, test and calibration"
    )


def test_one_picture_twice_is_told_as_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    saved(folder / "test" / "cat" / "again.png", picture(7, bright=50))
    assert "two parts, once: train/cat/1.png = test/cat/again.png" in refusal(folder).what


def test_a_picture_in_two_classes_is_told_and_stays_in_one_part(tmp_path: Path) -> None:
    """Whichever picture it is: the split never puts one copy into train and the other into test."""
    whole = folder_of(tmp_path / "whole", {"": 6})
    for number in range(6):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        shutil.copy(folder / "bird" / f"{number}.png", folder / "cat" / "x.png")
        data = load(folder)
        assert len(data.x_train) + len(data.x_test) == 13
        assert np.bincount(data.y_test).min() >= 1
        assert data.facts == {
            "in_two_classes": 1,
            "in_two_classes_files": [[f"bird/{number}.png", "cat/x.png"]],
        }
        assert notes_on(data, [Profile.parse("8-64")]) == [
            f"{number}: 1 picture is in two classes, which cannot both be right; "
            f"first bird/{number}.png = cat/x.png"
        ]


def test_a_class_that_links_to_another_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"train": 6, "test": 2})
    for part in ("train", "test"):
        (folder / part / "dog").symlink_to("cat")
    data = load(folder)
    assert data.facts["in_two_classes"] == 8
    assert notes_on(data, [Profile.parse("8-64")])[0].startswith(
        f"{folder.name}: 8 pictures are in two classes, which cannot both be right; first t"
    )


def test_many_pairs_are_counted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for path in (folder / "train").rglob("*.png"):
        shutil.copy(path, folder / "test" / path.parent.name / f"again{path.name}")
    assert " two parts, 12 times: train/bird/0.png = test/bird/again0.png, " in refusal(tmp_path).what
    assert refusal(tmp_path).what.endswith(" and 7 more")
