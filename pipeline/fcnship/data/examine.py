"""Looks at every image of a folder once: which can be used, and whether one is in two parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from fcnship.data.decode import BadImage, Picture, careful, examined
from fcnship.data.folder import CALIBRATION, PARTS, TEST, TRAIN, WHOLE, Found, Listing, shown
from fcnship.errors import DataRefused
from fcnship.hashing import sha256_of_value
from fcnship.machine import cores

Progress = Callable[[int, int, str], None]
TEST_SHARE = 0.2
_AT_ONCE, _NAMED = 256, 5


@dataclass(frozen=True)
class ImageFile:
    """A usable image: where it is, what it shows, and what is known of its pixels."""

    path: str
    part: str
    label: int
    picture: Picture


@dataclass(frozen=True, kw_only=True)
class Examined:
    """The usable images, what is wrong with each of the others, and pictures that two classes have."""

    images: tuple[ImageFile, ...]
    bad: tuple[tuple[str, str], ...]
    in_two_classes: tuple[tuple[str, str], ...] = ()


def examine(folder: Path, listing: Listing, *, skip_bad: bool, progress: Progress) -> Examined:
    """Decode every file once, in several threads, and give each its part.

    Raises:
        DataRefused: a file is bad and ``skip_bad`` is not set; a class has no image left in a part; the same
            picture is in two parts.
    """
    bad: list[tuple[str, str]] = []
    images: list[ImageFile] = []
    for done, (found, verdict) in enumerate(_verdicts(folder, listing.files), start=1):
        if isinstance(verdict, str):
            bad.append((shown(found.path), verdict))
        else:
            images.append(ImageFile(found.path, found.part, found.label, verdict))
        if done % _AT_ONCE == 0 or done == len(listing.files):
            progress(done, len(listing.files), "looking at the images")
    if bad and not skip_bad:
        raise _refused(folder, bad)
    images = _split(folder, images, listing.labels)
    _check_complete(folder, images, listing)
    _check_apart(folder, images)
    return Examined(images=tuple(images), bad=tuple(bad), in_two_classes=_in_two_classes(images))


def _verdicts(folder: Path, files: Sequence[Found]) -> Iterator[tuple[Found, Picture | str]]:
    """In order, a few hundred files at a time, so that no queue of results grows."""

    def verdict(found: Found) -> Picture | str:
        if found.wrong:
            return found.wrong
        try:
            return examined(folder / found.path)
        except BadImage as why:
            return str(why)

    rest = iter(files)
    with careful(), ThreadPoolExecutor(cores()) as pool:
        while some := list(islice(rest, _AT_ONCE)):
            yield from zip(some, pool.map(verdict, some), strict=True)


def _refused(folder: Path, bad: Sequence[tuple[str, str]]) -> DataRefused:
    told = "; ".join(f"{path} {why}" for path, why in bad[:_NAMED])
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    files = "1 file" if len(bad) == 1 else f"{len(bad)} files"
    return DataRefused(
        f"{folder} has {files} that cannot be used: {told}{more}",
        cause="an image is a PNG, JPEG, BMP or WebP file of 8 bits a channel with one picture in it",
        next="mend them or take them out; or add --skip-bad, which goes on without them",
    )


def _split(folder: Path, images: Iterable[ImageFile], labels: Sequence[str]) -> list[ImageFile]:
    """A fifth of each class is for testing: by the pictures' hashes, so that names and order do not matter.

    Copies of a picture stay together, in a class and over classes.
    """
    split = [image for image in images if image.part != WHOLE]
    by_class: dict[int, dict[str, list[ImageFile]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        if image.part == WHOLE:
            by_class[image.label][image.picture.sha256].append(image)
    parts: dict[str, str] = {}
    for label, pictures in sorted(by_class.items()):
        if len(pictures) < 2:
            raise DataRefused(
                f"the class {labels[label]} in {folder} has one picture: "
                "none would be left to train with, or to test with",
                cause="a fifth of each class is kept for testing",
                next="give more images of this class, or train/ and test/ folders",
            )
        _share_out(pictures, parts)
        for sha256, files in pictures.items():
            split += [replace(image, part=parts[sha256]) for image in files]
    return sorted(split, key=lambda image: (image.label, image.path))


def _share_out(pictures: Iterable[str], parts: dict[str, str]) -> None:
    """Give each picture of a class its part; those that another class has too have theirs already."""
    order = sorted(pictures, key=lambda sha256: sha256_of_value(["split", sha256]))
    tests = max(round(TEST_SHARE * len(order)), 1)
    tests -= sum(parts.get(sha256) == TEST for sha256 in order)
    for place, sha256 in enumerate(one for one in order if one not in parts):
        parts[sha256] = TEST if place < tests else TRAIN


def _check_complete(folder: Path, images: Iterable[ImageFile], listing: Listing) -> None:
    has = {(image.part, image.label) for image in images}
    for part in PARTS[: 3 if listing.calibrates else 2]:
        names = enumerate(listing.labels) if part != CALIBRATION else [(-1, "any class")]
        missing = [name for label, name in names if (part, label) not in has]
        if missing:
            raise DataRefused(
                f"{folder} has no usable {part} image of {', '.join(missing[:_NAMED])}",
                cause="the folder is empty, or all that lies in it is bad",
                next="put images there, or take the folder out",
            )


def _check_apart(folder: Path, images: Iterable[ImageFile]) -> None:
    """What is trained or calibrated with must not be what is tested with."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for image in images:
        parts[image.picture.sha256].setdefault(image.part, image.path)
    pairs = [
        (paths[one], paths[other])
        for paths in parts.values()
        for one, other in ((TRAIN, TEST), (CALIBRATION, TEST), (TRAIN, CALIBRATION))
        if one in paths and other in paths
    ]
    if pairs:
        times = "once" if len(pairs) == 1 else f"{len(pairs)} times"
        raise DataRefused(
            f"{folder} has the same picture in two parts, {times}: {named_pairs(pairs)}",
            cause="accuracy and ranges would be measured on what was learnt; their pixels are equal, "
            "whatever the files are called",
            next="leave each picture in one of train, test and calibration",
        )


def _in_two_classes(images: Iterable[ImageFile]) -> tuple[tuple[str, str], ...]:
    """For each picture that has two labels, a file in each of two classes."""
    first: dict[str, ImageFile] = {}
    found: dict[str, tuple[str, str]] = {}
    for image in images:
        if image.part == CALIBRATION:
            continue
        sha256 = image.picture.sha256
        other = first.setdefault(sha256, image)
        if other.label != image.label:
            found.setdefault(sha256, (other.path, image.path))
    return tuple(found.values())


def named_pairs(pairs: Sequence[tuple[str, str]]) -> str:
    """``a/1.png = b/2.png, ... and 3 more``."""
    told = ", ".join(f"{shown(one)} = {shown(other)}" for one, other in pairs[:_NAMED])
    return told + (f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else "")
