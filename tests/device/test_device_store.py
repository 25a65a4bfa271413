"""The store: its lock, whose folder it is, and what is cleared away."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import refused

from fcnship.device.store import TEMPORARY, Root, write_whole

A, B = "a" * 64, "b" * 64


def test_what_is_made(root: Path) -> None:
    with Root(root).locked():
        assert (root / "lock").read_text(encoding="ascii") == f"fcnship.device/1\n{os.getpid():<10}\n"
    assert sorted(path.name for path in root.iterdir()) == ["engines", "lock", "releases"]


def test_a_second_one(root: Path) -> None:
    with Root(root).locked():
        assert refused(lambda: Root(root).locked().__enter__()) == (
            8,
            f"another fcnship-device (process {os.getpid()}) is at work in {root}\n"
            "  cause: two installers at once would overwrite each other's files\n"
            "  next:  wait for it to end and run the command again",
        )
    with Root(root).locked():
        pass


def test_the_lock_of_a_process_that_died(root: Path) -> None:
    """The system itself gives it back: no file says that somebody holds it who is gone."""
    script = "import os, sys; from pathlib import Path; from fcnship.device.store import Root\n"
    script += "Root(Path(sys.argv[1])).locked().__enter__(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script, str(root)], check=False).returncode == -9
    with Root(root).locked():
        pass


def test_what_a_killed_one_left_goes_and_nothing_else(root: Path) -> None:
    with Root(root).locked():
        pass
    (root / "releases" / f"{TEMPORARY}x" / "onnx").mkdir(parents=True)
    (root / "engines" / f"{TEMPORARY}y").mkdir()
    (root / f"{TEMPORARY}z").symlink_to("releases")
    (root / "releases" / A).mkdir()
    (root / "notes.txt").touch()
    with Root(root).locked():
        assert sorted(path.name for path in root.iterdir()) == ["engines", "lock", "notes.txt", "releases"]
        assert Root(root).names() == [A]
        assert not list((root / "engines").iterdir())


@pytest.mark.parametrize("name", ["photos", "releases.bak", ".git"])
def test_a_folder_of_somebody_else(root: Path, name: str) -> None:
    (root / name).mkdir(parents=True)
    assert refused(lambda: Root(root).locked().__enter__()) == (
        2,
        f"{root} is no folder of fcnship: it holds {name!r}\n"
        "  cause: --root names a folder that something else uses\n"
        "  next:  name an empty folder, or one that is not there yet, with --root",
    )
    assert [path.name for path in root.iterdir()] == [name]


def test_folders_that_may_be_taken(tmp_path: Path) -> None:
    (tmp_path / "disk/lost+found").mkdir(parents=True)
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared/allowed_signers").touch()
    (tmp_path / "link").symlink_to("prepared")
    for name in ("disk", "prepared", "link", "new/folder"):
        with Root(tmp_path / name).locked():
            assert (tmp_path / name / "releases").is_dir()


def test_a_root_marked_read_only(root: Path) -> None:
    root.mkdir(mode=0o555)
    assert refused(lambda: Root(root).locked().__enter__()) == (
        2,
        f"cannot write to {root}: {root} is marked read-only\n"
        "  cause: it is read-only, another user's, or something on the way to it is no folder\n"
        "  next:  name a folder that you may write with --root, or run this as its owner",
    )
    root.chmod(0o755)


@pytest.mark.parametrize("place", ["/proc/fcnship", "/sys/fcnship", "/dev/null/fcnship"])
def test_a_root_that_the_system_refuses(place: str) -> None:
    code, message = refused(lambda: Root(Path(place)).locked().__enter__())
    assert (code, message.startswith(f"cannot write to {place}: ")) == (2, True)


def test_a_root_that_is_a_file(root: Path) -> None:
    root.touch()
    assert refused(lambda: Root(root).locked().__enter__())[0] == 2


def test_a_lock_that_is_a_link(root: Path) -> None:
    root.mkdir()
    (root / "lock").symlink_to(root.parent / "elsewhere")
    assert refused(lambda: Root(root).locked().__enter__())[0] == 2
    assert not (root.parent / "elsewhere").exists()


def test_a_full_disk(root: Path) -> None:
    """/dev/full answers as a full disk does."""

    def write() -> None:
        with Root(root).locked(), Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    assert refused(write) == (
        7,
        f"the disk of {root} is full\n"
        "  cause: No space left on device; what was live is live still\n"
        "  next:  fcnship-device gc, or make room on the disk",
    )


def test_links(root: Path) -> None:
    store = Root(root)
    with store.locked():
        assert (store.linked("current"), store.previous()) == (None, None)
        store.link("current", A)
        store.link("previous", B)
        assert (store.linked("current"), store.linked("previous"), store.previous()) == (A, B, B)
        store.link("current", B)
        assert (store.linked("current"), store.previous()) == (B, None)
    assert str((root / "current").readlink()) == f"releases/{B}"


@pytest.mark.parametrize("target", ["/etc", f"../releases/{A}", f"releases/{A}/..", "releases/x"])
def test_a_link_that_leads_elsewhere(root: Path, target: str) -> None:
    root.mkdir()
    (root / "current").symlink_to(target)
    assert refused(lambda: Root(root).linked("current")) == (
        8,
        f"{root / 'current'} is not a link to a release\n"
        f"  cause: it leads to {target!r}\n"
        f"  next:  move {root / 'current'} away by hand, then install a drop",
    )


def test_current_as_a_folder(root: Path) -> None:
    (root / "current").mkdir(parents=True)
    code, message = refused(lambda: Root(root).linked("current"))
    assert (code, message.splitlines()[0]) == (8, f"{root / 'current'} is not a link to a release")


def test_signers(root: Path, tmp_path: Path) -> None:
    store, given = Root(root), tmp_path / "given"
    assert (store.signers(None), store.signers(given)) == (None, given)
    root.mkdir()
    (root / "allowed_signers").symlink_to("gone")  # a list that cannot be read is still a list
    assert store.signers(None) == root / "allowed_signers"


def test_a_file_is_written_whole_or_not(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"one", tmp_path)
    write_whole(tmp_path / "file", b"two", tmp_path)
    assert (tmp_path / "file").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "folder", b"three", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
