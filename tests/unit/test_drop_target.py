"""Where a drop goes: archives that are the same bytes each time, and what is never written over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from datetime import datetime, timezone
from pathlib import Path

import pytest

from fcnship.errors import UsageError
from fcnship.ship.drop import check_version
from fcnship.ship.tar import Form, form_of, write_tar
from fcnship.ship.target import Earlier, appearing, check_target

CREATED = datetime(2026, 11, 21, 5, tzinfo=timezone.utc)
MANIFEST = json.dumps(
    {"schema": "fcnship.drop/1", "name": "net", "version": "1", "files": [{"path": "onnx/fp32.onnx"}]}
)


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """Something that looks like an older drop."""
    folder = tmp_path / "older"
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "fp32.onnx").write_bytes(b"net")
    (folder / "manifest.json").write_text(MANIFEST, encoding="utf-8")
    (folder / "manifest.json.sig").write_bytes(b"sig")
    (folder / "fcnship-device").write_bytes(b"#!")
    (folder / "fcnship-device").chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("name", "form"),
    [("a", "folder"), ("a.tar", "tar"), ("a.tar.gz", "tar.gz"), ("A.TGZ", "tar.gz"), ("v1.2", "folder")],
)
def test_the_ending_says_what_is_made(name: str, form: Form) -> None:
    assert form_of(Path(name)) == form


def test_other_archives_are_refused() -> None:
    with pytest.raises(UsageError) as refused:
        form_of(Path("drop.zip"))
    assert str(refused.value) == (
        "drop.zip is neither a folder nor a .tar\n"
        "  cause: a drop is a folder, a .tar or a .tar.gz: what every device can unpack\n"
        "  next:  write it like -o drop.tar"
    )


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_a_tar_is_the_same_bytes_whenever_and_by_whomever(drop: Path, tmp_path: Path, form: Form) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_tar(drop, first, form, CREATED)
    for path in drop.rglob("*"):
        os.utime(path, (1, 1))
    write_tar(drop, second, form, CREATED)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == [
        *("manifest.json", "manifest.json.sig", "fcnship-device", "onnx/fp32.onnx")
    ]
    for entry in entries:
        assert entry.isreg()
        assert (entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, "", "")
        assert entry.mtime == CREATED.timestamp()
        assert entry.mode == (0o755 if entry.name == "fcnship-device" else 0o644)


def test_a_free_place_and_an_empty_folder_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert check_target(tmp_path / "new", "folder") is None
    assert check_target(tmp_path / "new.tar", "tar") is None
    assert check_target(tmp_path / "empty", "folder") is None


@pytest.mark.parametrize("place", ["", ".", "..", "drops/.."])
def test_the_place_has_a_name(place: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_target(Path(place), "folder")
    assert str(refused.value) == (
        f"a drop cannot take the place of {Path(place)}\n"
        "  cause: it appears in one step, as a folder or a file of its own\n"
        "  next:  write it like -o drops/multiscale"
    )


def test_an_older_drop_is_replaced(drop: Path, tmp_path: Path) -> None:
    drop.joinpath("fcnship-device").unlink()
    assert check_target(drop, "folder") == Earlier(name="net", version="1")
    write_tar(drop, tmp_path / "older.tar.gz", "tar.gz", CREATED)
    assert check_target(tmp_path / "older.tar.gz", "tar.gz") == Earlier(name="net", version="1")


def test_a_drop_with_files_of_somebody_else_is_left_alone(drop: Path) -> None:
    with pytest.raises(UsageError) as refused:
        check_target(drop, "folder")
    assert str(refused.value) == (
        f"{drop} is there already, and is no drop\n"
        "  cause: files are in it that are no part of a drop: fcnship-device; "
        "only an older drop is replaced\n"
        "  next:  give another -o, or move it away"
    )


@pytest.mark.parametrize("kind", ["folder of files", "no manifest", "other schema", "file", "link"])
def test_what_is_no_drop_is_left_alone(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine", encoding="utf-8")
    elif kind == "link":
        out.symlink_to(tmp_path / "elsewhere")
    else:
        out.mkdir()
        text = {
            "no manifest": "[]",
            "other schema": '{"schema": "x", "name": "", "version": "", "files": []}',
        }
        name = "notes.txt" if kind == "folder of files" else "manifest.json"
        (out / name).write_text(text.get(kind, "mine"), encoding="utf-8")
    with pytest.raises(UsageError, match="is there already, and is no drop"):
        check_target(out, "folder")


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08\x00junk"])
def test_a_file_that_is_no_archive_is_left_alone(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "out.tar"
    out.write_bytes(content)
    with pytest.raises(UsageError, match="is there already, and is no drop"):
        check_target(out, "tar")


def test_another_archive_is_left_alone(tmp_path: Path) -> None:
    out, other = tmp_path / "out.tar", tmp_path / "letter.txt"
    other.write_text("mine", encoding="utf-8")
    with tarfile.open(out, "w") as archive:
        archive.add(other, "letter.txt")
    with pytest.raises(UsageError, match="is there already, and is no drop"):
        check_target(out, "tar")


def test_what_breaks_in_the_middle_leaves_nothing_and_the_older_one_whole(drop: Path) -> None:
    def breaking() -> None:
        with appearing(drop) as made:
            made.mkdir()
            (made / "half").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaking()
    assert (drop / "onnx" / "fp32.onnx").read_bytes() == b"net"
    assert list(drop.parent.iterdir()) == [drop]


def test_a_kill_in_the_middle_leaves_the_older_one_whole(drop: Path) -> None:
    before = {path: path.read_bytes() for path in drop.rglob("*") if path.is_file()}
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom fcnship.ship.target import appearing\n"
        "with appearing(Path(sys.argv[1])) as made:\n"
        "    made.mkdir()\n"
        "    (made / 'manifest.json').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(drop)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert {path: path.read_bytes() for path in drop.rglob("*") if path.is_file()} == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot write the drop"), appearing(tmp_path / "file" / "drop"):
        raise AssertionError("never come to")


@pytest.mark.parametrize("place", ["file/drop", "file/deeper/drop.tar", "n" * 300])
def test_it_is_told_before_the_work_that_a_place_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot write the drop") as refused:
        check_target(tmp_path / place, "folder")
    assert refused.value.cause == "something on the way to it is no folder, or its name is too long"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_it_is_told_before_the_work_that_a_folder_is_another_s(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UsageError, match=r"cannot write the drop .*: Permission denied") as refused:
        check_target(tmp_path / "deeper" / "drop", "folder")
    assert refused.value.cause == "the disk is full, or the folder may not be written"


@pytest.mark.parametrize("version", ["1.4.0", "2026.11.21", "v2_rc-1+build", ""])
def test_versions_that_are_taken(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize("version", ["1 0", "../1", ".1", "-1", "ä", "1\n", "x" * 65])
def test_versions_that_are_refused(version: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_version(version)
    assert str(refused.value) == (
        f"{version!r} is not a version\n"
        "  cause: it is one word of at most 64 letters, digits, dots, dashes, pluses and underscores\n"
        "  next:  write it like --version 1.4.0; the day of the build if left out"
    )
