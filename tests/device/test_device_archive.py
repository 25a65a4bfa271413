"""A drop as an archive: nothing in it is believed."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from drops import Made
from refusals import refused

from fcnship.device.verify import verify_drop
from fcnship.errors import FcnshipError

_NEXT = "\n  next:  copy the drop again; a drop's archive is what `fcnship drop -o FILE.tar` makes"
Spoil = Callable[[tarfile.TarFile], object]


def packed(drop: Made, to: Path, spoil: Spoil = lambda archive: None, mode: str = "w") -> Path:
    """The drop as an archive, with what ``spoil`` adds in front of it."""
    with tarfile.open(to, mode) as archive:  # type: ignore[call-overload]
        spoil(archive)
        for path in sorted(drop.folder.rglob("*")):
            archive.add(path, path.relative_to(drop.folder).as_posix(), recursive=False)
    return to


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, target: str = "") -> tarfile.TarInfo:
    """One header."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, target
    return info


@pytest.mark.parametrize(("mode", "name"), [("w", "d.tar"), ("w:gz", "d.tar.gz"), ("w", "no-suffix")])
def test_a_whole_archive(drop: Made, tmp_path: Path, mode: str, name: str) -> None:
    assert verify_drop(packed(drop, tmp_path / name, mode=mode), None).manifest.sha256 == drop.release


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_names_that_begin_with_a_dot_as_tar_writes_them(drop: Made, tmp_path: Path, kind: int) -> None:
    with tarfile.open(tmp_path / "d.tar", "w", format=kind) as archive:
        archive.add(drop.folder, ".")
    assert verify_drop(tmp_path / "d.tar", None).manifest.sha256 == drop.release


def _twice(archive: tarfile.TarFile) -> None:
    archive.addfile(member("manifest.json"))


def _sparse(archive: tarfile.TarFile) -> None:
    info = member("README.md")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1",
                        "GNU.sparse.size": "1000000000000"}  # fmt: skip
    archive.addfile(info)


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda a: a.addfile(member("../x")), "the name '../x' leads out of it"),
        (lambda a: a.addfile(member("/etc/x")), "the name '/etc/x' leads out of it"),
        (lambda a: a.addfile(member("onnx/../../x")), "the name 'onnx/../../x' leads out of it"),
        (lambda a: a.addfile(member("a/./b")), "the name 'a/./b' leads out of it"),
        (lambda a: a.addfile(member("././a")), "the name '././a' leads out of it"),
        (lambda a: a.addfile(member("..", tarfile.DIRTYPE)), "the name '..' leads out of it"),
        (lambda a: a.addfile(member("x", tarfile.SYMTYPE, target="/etc/passwd")), "'x' is a symbolic link"),
        (lambda a: a.addfile(member("x", tarfile.LNKTYPE, target="README.md")), "'x' is a hard link"),
        (lambda a: a.addfile(member("x", tarfile.CHRTYPE)), "'x' is a device file"),
        (lambda a: a.addfile(member("x", tarfile.BLKTYPE)), "'x' is a device file"),
        (lambda a: a.addfile(member("x", tarfile.FIFOTYPE)), "'x' is a named pipe"),
        (lambda a: a.addfile(member("x", tarfile.CONTTYPE)), "'x' is of the type b'7'"),
        (_sparse, "'README.md' is a sparse file"),
        (_twice, "the name 'manifest.json' stands twice in it"),
    ],
)
def test_what_no_drop_has(drop: Made, tmp_path: Path, spoil: Spoil, cause: str) -> None:
    place = packed(drop, tmp_path / "d.tar", spoil)
    message = f"the archive d.tar is refused\n  cause: {cause}{_NEXT}"
    assert refused(lambda: verify_drop(place, None)) == (8, message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.tar", "drop"]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("extra", "'extra' is not in the manifest"),
        ("readme.MD", "'readme.MD' is not in the manifest"),
        ("golden/cafe\u0301", "'golden/cafe\\u0301' is not in the manifest"),
        ("install.json", "'install.json' is not in the manifest"),
    ],
)
def test_a_file_too_many(drop: Made, tmp_path: Path, name: str, cause: str) -> None:
    place = packed(drop, tmp_path / "d.tar", lambda archive: archive.addfile(member(name)))
    assert refused(lambda: verify_drop(place, None))[1].splitlines()[1] == f"  cause: {cause}"


def test_a_changed_and_a_missing_file(drop: Made, tmp_path: Path) -> None:
    data = bytearray((drop.folder / "onnx/fp16.onnx").read_bytes())
    data[-1] ^= 1
    (drop.folder / "onnx/fp16.onnx").write_bytes(data)
    code, message = refused(lambda: verify_drop(packed(drop, tmp_path / "a.tar"), None))
    assert (code, "onnx/fp16.onnx has not the SHA-256" in message) == (8, True)
    (drop.folder / "onnx/fp16.onnx").unlink()
    code, message = refused(lambda: verify_drop(packed(drop, tmp_path / "b.tar"), None))
    assert (code, "onnx/fp16.onnx is missing" in message) == (8, True)


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return bytes(size)


def test_a_bomb_of_zeros(drop: Made, tmp_path: Path) -> None:
    """100 MB in 100 kB: refused before it is unpacked to its end, and nothing is written."""
    size = 100 << 20
    bomb = member("onnx/fp32.onnx", size=size)
    place = packed(drop, tmp_path / "d.tar.gz", lambda a: a.addfile(bomb, _Zeros(size)), mode="w:gz")
    assert place.stat().st_size < 200_000
    code, message = refused(lambda: verify_drop(place, None))
    assert (code, message.splitlines()[1]) == (8, "  cause: it unpacks to more than 100 times its size")


def test_a_size_that_the_manifest_does_not_list(drop: Made, tmp_path: Path) -> None:
    """An uncompressed archive cannot be a bomb; what it holds too much is seen before anything is copied."""
    (drop.folder / "README.md").write_bytes(bytes(1_000_000))
    place = packed(drop, tmp_path / "d.tar")
    cause = refused(lambda: verify_drop(place, None))[1].splitlines()[1]
    assert cause == "  cause: README.md has 1000000 bytes, the manifest lists 32"


def test_a_member_that_claims_a_terabyte(drop: Made, tmp_path: Path) -> None:
    def claim(archive: tarfile.TarFile) -> None:
        assert archive.fileobj is not None
        archive.fileobj.write(member("README.md", size=1 << 40).tobuf(tarfile.GNU_FORMAT))

    place = packed(drop, tmp_path / "d.tar", claim)
    code, message = refused(lambda: verify_drop(place, None))
    assert (code, "it cannot be read to its end" in message) == (8, True)


def test_a_file_of_nothing_as_large_as_a_disk(tmp_path: Path) -> None:
    """A terabyte that takes no room: what is skipped is not read."""
    place = tmp_path / "d.tar"
    place.write_bytes(member("manifest.json", size=1 << 40).tobuf(tarfile.GNU_FORMAT))
    os.truncate(place, (1 << 40) + 512)
    code, message = refused(lambda: verify_drop(place, None))
    assert (code, message.splitlines()[1]) == (3, "  cause: it has more than 8388608 bytes")


def test_too_many_members(drop: Made, tmp_path: Path) -> None:
    def many(archive: tarfile.TarFile) -> None:
        for number in range(4001):
            archive.addfile(member(f"{number}"))

    code, message = refused(lambda: verify_drop(packed(drop, tmp_path / "d.tar", many), None))
    assert (code, message.splitlines()[1]) == (8, "  cause: it has more than 4000 members")


@pytest.mark.parametrize("kind", [b"L", b"x", b"g"])
def test_a_header_of_hundreds_of_megabytes(tmp_path: Path, kind: bytes) -> None:
    """A long name is read into memory before it is known: it may not be long at will."""
    header = member("x", kind, size=100 << 20).tobuf(tarfile.GNU_FORMAT)
    with gzip.open(tmp_path / "d.tar.gz", "wb", compresslevel=1) as file:
        file.write(header)
        for _ in range(10):
            file.write(bytes(10 << 20))
    code, message = refused(lambda: verify_drop(tmp_path / "d.tar.gz", None))
    assert (code, message.splitlines()[1]) == (8, "  cause: one of its headers is larger than any drop needs")


def test_a_header_that_tarfile_takes_a_minute_over(tmp_path: Path) -> None:
    """Python's own search in it is quadratic (CVE-2024-6232), and a device's Python is seldom the newest."""
    digits = b"1" * 60_000
    header = member("x", b"x", size=len(digits)).tobuf(tarfile.USTAR_FORMAT)
    (tmp_path / "d.tar").write_bytes(header + digits.ljust(60_416, b"\0"))
    cause = refused(lambda: verify_drop(tmp_path / "d.tar", None))[1].splitlines()[1]
    assert cause == "  cause: one of its headers has a number longer than any drop needs"


def test_headers_upon_headers(tmp_path: Path) -> None:
    """Each long name is followed by another: tarfile descends into itself for each."""
    header = member("x", b"L", size=1).tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")
    (tmp_path / "d.tar").write_bytes(header * 100_000)
    code, message = refused(lambda: verify_drop(tmp_path / "d.tar", None))
    assert (code, message.splitlines()[0]) == (8, "the archive d.tar is refused")


def test_a_size_below_zero(tmp_path: Path) -> None:
    """In base 256 a size can be negative: the next header would be this one again, for ever."""
    buffer = bytearray(member("x").tobuf(tarfile.GNU_FORMAT))
    buffer[124:136] = (-512 & ((1 << 96) - 1)).to_bytes(12, "big")
    buffer[148:156] = b" " * 8
    buffer[148:156] = f"{sum(buffer):06o}\0 ".encode()
    (tmp_path / "d.tar").write_bytes(bytes(buffer) + bytes(1024))
    assert refused(lambda: verify_drop(tmp_path / "d.tar", None))[0] == 8


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_that_ends_too_soon(drop: Made, tmp_path: Path, mode: str) -> None:
    """Whatever is cut off, the answer is a refusal, never another exception."""
    whole = packed(drop, tmp_path / "whole", mode=mode).read_bytes()
    place = tmp_path / "cut"
    for end in range(0, len(whole.rstrip(b"\0")), 499):
        place.write_bytes(whole[:end])
        assert refused(lambda: verify_drop(place, None))[0] in (2, 8)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_with_a_flipped_bit(drop: Made, keys: Path, tmp_path: Path, mode: str) -> None:
    """A bit that matters is seen; one that does not (a time, an owner) changes nothing of what is read."""
    whole = packed(drop.sign(keys / "ours"), tmp_path / "whole", mode=mode).read_bytes()
    place, codes = tmp_path / "flipped", set()
    for at in range(0, len(whole), len(whole) // 40):
        data = bytearray(whole)
        data[at] ^= 1 << (at % 8)
        place.write_bytes(data)
        try:
            assert verify_drop(place, keys / "allowed_signers").manifest.sha256 == drop.release
        except FcnshipError as error:
            codes.add(error.exit_code)
    assert 8 in codes
    assert codes <= {2, 8}


def test_something_else(tmp_path: Path) -> None:
    (tmp_path / "d.tar").write_bytes(b"PK\x03\x04 not a tar at all" * 100)
    code, message = refused(lambda: verify_drop(tmp_path / "d.tar", None))
    assert (code, message.splitlines()[0]) == (8, "the archive d.tar is refused")
    (tmp_path / "empty.tar").touch()
    assert refused(lambda: verify_drop(tmp_path / "empty.tar", None))[0] == 8


@pytest.mark.parametrize("place", ["/dev/zero", "pipe"])
def test_neither_a_file_nor_a_folder(tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, message = refused(lambda: verify_drop(tmp_path / place, None))
    assert (code, message.splitlines()[0]) == (2, f"{tmp_path / place} is no drop")


def test_a_drop_inside_a_folder_of_the_archive(drop: Made, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        archive.add(drop.folder, "drop")
    code, message = refused(lambda: verify_drop(tmp_path / "d.tar", None))
    assert (code, message.splitlines()[0]) == (2, f"{tmp_path / 'd.tar'} is no drop")
