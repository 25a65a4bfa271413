"""Which files of a folder are images of which class, and to which part of the data they belong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fcnship.data.decode import SUFFIXES
from fcnship.errors import DataRefused
from fcnship.hashing import sha256_of_file, sha256_of_value
from fcnship.machine import cores

TRAIN, TEST, CALIBRATION = PARTS = ("train", "test", "calibration")
WHOLE = "whole"
_LAYOUT = "put the images into DIR/CLASS/ or into DIR/train/CLASS/ and DIR/test/CLASS/"
_NESTED = "is a folder inside a class's folder"
# What Windows, macOS and Synology leave in folders that were looked at or packed.
_LITTER = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir")


@dataclass(frozen=True)
class Found:
    """A file in the folder: its path from there, its part, its class.

    ``label`` is the class's place among the labels; calibration images have none (-1). ``wrong`` says why the
    file cannot be an image, as far as that is known without opening it.
    """

    path: str
    part: str
    label: int
    wrong: str = ""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a folder in a stable order, the classes' names, and folders that are not used.

    ``calibrates``: the folder says which images calibrate.
    """

    labels: tuple[str, ...]
    files: tuple[Found, ...]
    calibrates: bool
    unused: tuple[str, ...] = ()


def listing_of(folder: Path) -> Listing:
    """List ``train/CLASS/``, ``test/CLASS/`` and ``calibration/``, or ``CLASS/`` where there are no parts.

    Hidden files and folders are left out, and what systems leave behind (Thumbs.db). Nothing is opened.

    Raises:
        DataRefused: a folder cannot be read; there are fewer than two classes; a part lacks a class.
    """
    inside = _folders(folder)
    parts = [part for part in PARTS if part in inside]
    if TRAIN not in parts and TEST not in parts:
        return _without_parts(folder, inside)
    for needed in (TRAIN, TEST):
        if needed not in parts:
            raise DataRefused(
                f"{folder} has a folder {parts[0]} and none that is called {needed}",
                cause="folders named train, test and calibration are the parts of a data set, not classes",
                next=f"add {folder / needed}, or put the classes into {folder} itself to have them split",
            )
    labels = _class_names(folder / TRAIN)
    _check_same(folder, labels)
    files = [*_stray(folder), *_files(folder, TRAIN, labels), *_files(folder, TEST, labels)]
    if CALIBRATION in parts:
        files += _calibration(folder)
    unused = tuple(name for name in inside if name not in PARTS)
    return Listing(labels=labels, files=tuple(files), calibrates=CALIBRATION in parts, unused=unused)


def fingerprint_of(folder: Path, listing: Listing) -> str:
    """One hash over the paths and the bytes of all files; nothing is decoded."""
    with ThreadPoolExecutor(cores()) as pool:
        # What is known to be no file is not opened: a pipe would never end.
        digests = list(pool.map(lambda f: f.wrong or _digest(folder / f.path), listing.files))
    paths = [os.fsencode(found.path).hex() for found in listing.files]
    return sha256_of_value([listing.labels, paths, digests])


def shown(path: str) -> str:
    """A path for a message or a report: what steers a terminal, or is no text, is written out."""
    return path if path.isprintable() else ascii(path)[1:-1]


def _digest(path: Path) -> str:
    """'' for what cannot be read: it is named as bad when the images are looked at."""
    try:
        return sha256_of_file(path)
    except OSError:
        return ""


def _without_parts(folder: Path, inside: Sequence[str]) -> Listing:
    classes = [name for name in inside if name != CALIBRATION]
    labels = _class_names(folder, classes)
    in_classes = _in_classes(folder, "", WHOLE, labels)
    _check_flat(folder, in_classes)
    files = [*_stray(folder), *in_classes]
    if CALIBRATION in inside:
        files += _calibration(folder)
    return Listing(labels=labels, files=tuple(files), calibrates=CALIBRATION in inside)


def _check_flat(folder: Path, files: Sequence[Found]) -> None:
    """Folders that hold folders alone are no classes, but parts under other names, or one level too many."""
    nested = [found.path for found in files if found.wrong == _NESTED]
    if nested and len(nested) == len(files):
        raise DataRefused(
            f"{folder} has no image in any folder of a class, but folders like {shown(nested[0])}",
            cause="the parts of a data set are called train, test and calibration, in small letters; "
            "or the classes lie one folder deeper",
            next=_LAYOUT,
        )


def _files(folder: Path, part: str, labels: Sequence[str]) -> list[Found]:
    return [*_stray(folder, part), *_in_classes(folder, f"{part}/", part, labels)]


def _in_classes(folder: Path, under: str, part: str, labels: Sequence[str]) -> list[Found]:
    return [
        found for label, name in enumerate(labels) for found in _in(folder, f"{under}{name}", part, label)
    ]


def _calibration(folder: Path) -> list[Found]:
    """Images in ``calibration/`` and one folder below it: their classes do not matter."""
    below = [f"{CALIBRATION}/{name}" for name in _folders(folder / CALIBRATION)]
    direct = [found for found in _in(folder, CALIBRATION, CALIBRATION, -1) if found.path not in below]
    return [*direct, *(found for name in below for found in _in(folder, name, CALIBRATION, -1))]


def _in(folder: Path, under: str, part: str, label: int) -> list[Found]:
    """The entries of one folder."""
    return [Found(f"{under}/{entry.name}", part, label, _wrong(entry)) for entry in _entries(folder / under)]


def _stray(folder: Path, part: str = "") -> list[Found]:
    """Images and broken links beside the folders of classes; a README there is nobody's concern."""
    found = []
    for entry in _entries(folder / part):
        broken = _broken(entry)
        if broken or (Path(entry.name).suffix.lower() in SUFFIXES and not _is_folder(entry)):
            path = f"{part}/{entry.name}" if part else entry.name
            found.append(Found(path, part or WHOLE, -1, broken or "lies in no folder of a class"))
    return found


def _wrong(entry: os.DirEntry[str]) -> str:
    if _is_folder(entry):
        return _NESTED
    if broken := _broken(entry):
        return broken
    if not entry.is_file():
        return "is no file"
    suffix = Path(entry.name).suffix.lower()
    return "" if suffix in SUFFIXES else "is no PNG, JPEG, BMP or WebP image by its name"


def _broken(entry: os.DirEntry[str]) -> str:
    """What is wrong with a link; '' for one that leads somewhere, and for no link."""
    try:
        entry.stat()
    except OSError as error:
        return f"is a link that leads nowhere ({error.strerror})"
    return ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, hidden entries left out, by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not _is_hidden(e.name)), key=lambda e: e.name)
    except OSError as error:
        raise DataRefused(
            f"{folder} cannot be read: {error.strerror}",
            cause="you may not look into it, it is a link that leads nowhere, or the disk has a fault",
            next="make it readable, or take it out of the data",
        ) from None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _class_names(folder: Path, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Names in order: by number where all are numbers, else by letter."""
    names = _folders(folder) if names is None else names
    if len(names) < 2:
        has = f"one folder, {names[0]}" if names else "no folder in it"
        raise DataRefused(
            f"{folder} has {has}: at least two classes are needed",
            cause="each class of images has a folder of its own, and the folder's name is the class's",
            next=_LAYOUT,
        )
    for name in names:
        if not name.isprintable():
            raise DataRefused(
                f"{folder} has a class with the name {name!a}",
                cause="a class's name stands in reports and model files: it has printable characters alone",
                next="give the folder another name",
            )
    numbers = all(name.isascii() and name.isdigit() for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if numbers else None))


def _check_same(folder: Path, labels: Sequence[str]) -> None:
    """Both parts have the same classes."""
    test = set(_folders(folder / TEST))
    for one, missing, other in (
        (TEST, [name for name in labels if name not in test], TRAIN),
        (TRAIN, sorted(test - set(labels)), TEST),
    ):
        if missing:
            raise DataRefused(
                f"{folder / one} has no folder for {', '.join(map(ascii, missing[:5]))}, and {other} has",
                cause="a class that is trained is tested too, and none is tested that was never trained",
                next="give both parts the same classes, or move the class out of both",
            )
