"""A drop in a folder: whole, or refused for what is wrong with it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from drops import Made
from refusals import refused

from fcnship.device.verify import contents, open_drop, read_head, verify_drop

_NEXT = "\n  next:  copy the drop again; if it is still so, somebody or something changed it on the way"


def test_a_whole_drop(drop: Made) -> None:
    verified = verify_drop(drop.folder, None)
    assert (verified.manifest.sha256, verified.signer, verified.signed) == (drop.release, None, False)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda d: _flip(d / "onnx/fp32.onnx"), "onnx/fp32.onnx has not the SHA-256 that the manifest lists"),
        (lambda d: (d / "README.md").unlink(), "README.md is missing"),
        (lambda d: (d / "README.md").write_text("x"), "README.md has 1 bytes, the manifest lists 32"),
        (lambda d: (d / "extra.py").touch(), "'extra.py' is not in the manifest"),
        (lambda d: (d / ".hidden").touch(), "'.hidden' is not in the manifest"),
        (lambda d: (d / "onnx/fp32.onnx.data").touch(), "'onnx/fp32.onnx.data' is not in the manifest"),
        (lambda d: (d / "empty").mkdir(), "'empty/' is not in the manifest"),
        (lambda d: (d / "install.json").touch(), "'install.json' is not in the manifest"),
        (lambda d: (d / "caf\u00e9\x1b").touch(), "'caf\\xe9\\x1b' is not in the manifest"),
        (lambda d: (d / "\udcff").touch(), "'\\udcff' is not in the manifest"),
        (lambda d: (d / "README.md").rename(d / "Readme.md"), "README.md is missing"),
    ],
)  # fmt: skip
def test_a_changed_drop(drop: Made, spoil: Callable[[Path], object], cause: str) -> None:
    spoil(drop.folder)
    message = f"{drop.folder} is not the drop that was made\n  cause: {cause}{_NEXT}"
    assert refused(lambda: verify_drop(drop.folder, None)) == (8, message)


def _linked(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def _socket(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's whole path has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("name", "spoil", "kind"),
    [
        ("README.md", _linked, "a symbolic link"),
        ("onnx", _linked, "a symbolic link"),
        ("manifest.json", _linked, "a symbolic link"),
        ("README.md", _pipe, "a named pipe"),
        ("manifest.json", _pipe, "a named pipe"),
        ("README.md", _socket, "a socket"),
        ("a", lambda path: (path / "b/c/d/e/f/g/h/i").mkdir(parents=True), "a folder too deep"),
    ],
)
def test_not_a_plain_file(drop: Made, name: str, spoil: Callable[[Path], object], kind: str) -> None:
    spoil(drop.folder / name)
    place = "a/b/c/d/e/f/g/h/i" if kind == "a folder too deep" else name
    assert refused(lambda: verify_drop(drop.folder, None)) == (
        8,
        f"'{place}' in the drop is {kind}\n"
        "  cause: a drop holds plain files alone; this one was tampered with, or copied with links\n"
        "  next:  copy the drop again as `fcnship drop` made it",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device files")
def test_a_device_file(drop: Made) -> None:
    (drop.folder / "README.md").unlink()
    os.mknod(drop.folder / "README.md", 0o20644, os.makedev(1, 5))
    code, message = refused(lambda: verify_drop(drop.folder, None))
    assert (code, message.splitlines()[0]) == (8, "'README.md' in the drop is a device file")


def test_a_file_that_becomes_a_link_after_it_was_listed(drop: Made) -> None:
    """Between looking and opening, a name can be given to something else; it is not followed."""
    head = read_head(open_drop(drop.folder), None)
    _linked(drop.folder / "README.md")
    code, message = refused(lambda: list(contents(head)))
    path = drop.folder / "README.md"
    assert (code, message.splitlines()[0]) == (2, f"cannot read {path}: Too many levels of symbolic links")


def test_a_file_that_becomes_a_pipe_after_it_was_listed(drop: Made) -> None:
    head = read_head(open_drop(drop.folder), None)
    _pipe(drop.folder / "README.md")
    assert refused(lambda: list(contents(head)))[1].startswith("'README.md' in the drop is a named pipe")


def test_a_file_that_grows_after_it_was_listed(drop: Made) -> None:
    head = read_head(open_drop(drop.folder), None)
    with (drop.folder / "README.md").open("ab") as file:
        file.write(b"x" * 5_000_000)
    taken: list[int] = []
    assert refused(lambda: list(contents(head, lambda _: lambda data: taken.append(len(data)))))[0] == 8
    assert sum(taken) <= head.manifest.size_bytes


def test_a_hard_link_is_a_file_like_any_other(drop: Made) -> None:
    """In a folder it is, and its bytes are hashed while they are copied."""
    os.link(drop.folder / "README.md", drop.folder.parent / "second name")
    assert verify_drop(drop.folder, None).manifest.sha256 == drop.release


def test_far_too_many_files(drop: Made) -> None:
    for number in range(2200):
        (drop.folder / f"{number}").touch()
    code, message = refused(lambda: verify_drop(drop.folder, None))
    assert (code, message.splitlines()[0]) == (8, f"{drop.folder} holds more than 2100 files")


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    code, message = refused(lambda: verify_drop(tmp_path, None))
    assert (code, message.splitlines()[0]) == (2, f"{tmp_path} is no drop")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert refused(lambda: verify_drop(tmp_path / "gone", None)) == (
        2,
        f"cannot read {tmp_path / 'gone'}: No such file or directory\n"
        "  cause: there is no such drop, or this user may not read it\n"
        "  next:  name the folder or the .tar that `fcnship drop` made",
    )
