"""fcnship-device as a program: one JSON object on standard output, text on standard error, exit codes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deploying import with_program
from drops import Made
from test_device_install import worse

from fcnship.device.arguments import own_root
from fcnship.device.cli import main
from fcnship.device.store import DEFAULT_ROOT, Root


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any], str]:
    """Exit status, JSON and text of a command in this process."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    output, text = capsys.readouterr()
    return status, json.loads(output), text


def test_a_life(drop: Made, newer: Made, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--root", root, "--backend", "onnxruntime")
    status, facts, text = ran(capsys, "install", drop.folder, *options)
    assert (status, facts["schema"], facts["command"], facts["ok"]) == (
        0,
        "fcnship.device/1",
        "install",
        True,
    )
    assert set(facts) == {
        *("schema", "command", "ok", "release", "name", "version", "previous", "changed", "signer"),
        *("backend", "precision", "engine", "parity", "latency", "probe"),
    }
    assert (facts["release"], facts["changed"], facts["previous"]) == (drop.release, True, None)
    assert text.splitlines()[-1] == "fcnship-device: tiny 1 is live (onnxruntime, fp32)"
    status, facts, text = ran(capsys, "install", drop.folder, *options)
    assert (status, facts["changed"]) == (0, False)
    assert text.splitlines()[-1] == "fcnship-device: tiny 1 was live already (onnxruntime, fp32)"
    status, facts, text = ran(capsys, "install", newer.folder, *options, "--dry-run")
    assert (status, facts["changed"], facts["dry_run"]) == (0, True, True)
    assert text.splitlines()[-1] == "fcnship-device: tiny 2 would go live (onnxruntime, fp32)"
    ran(capsys, "install", newer.folder, *options)
    status, facts, text = ran(capsys, "status", "--root", root)
    assert (status, facts["current"]["version"], facts["previous"]["version"]) == (0, "2", "1")
    assert text == "fcnship-device: live: tiny 2, whole\n"
    status, facts, text = ran(capsys, "rollback", "--root", root)
    assert (status, facts["version"], text.splitlines()[-1]) == (
        0,
        "1",
        "fcnship-device: tiny 1 is live again",
    )
    status, facts, text = ran(capsys, "gc", "--root", root)
    assert (status, facts["releases"], text) == (0, [], "fcnship-device: 0 folders, freed 0.0 MB\n")


def test_a_live_program_is_for_the_store_that_it_lies_in(drop: Made, newer: Made, root: Path) -> None:
    """``ROOT/current/fcnship-device rollback`` went to /data/fcnship, whatever ROOT was."""
    for made in (drop, newer):
        program = with_program(made).folder / "fcnship-device"
        words = ["install", "--root", str(root), "--backend", "onnxruntime"]
        subprocess.run([sys.executable, program, *words], check=True, capture_output=True)
    live = root / "current" / "fcnship-device"
    done = subprocess.run([sys.executable, live, "rollback"], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["version"] == "1"
    assert (root / "current").readlink().name == drop.release


def test_a_program_elsewhere_is_for_the_one_store(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "releases" / "mine", DEFAULT_ROOT / "releases" / ("a" * 64)):
        assert own_root(folder / "fcnship-device") == DEFAULT_ROOT
    assert own_root(tmp_path / "releases" / ("a" * 64) / "fcnship-device") == tmp_path


def test_verify(drop: Made, keys: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, facts, text = ran(capsys, "verify", drop.folder, "--root", root)
    assert (status, facts["release"], facts["files"], facts["signed"]) == (0, drop.release, 6, False)
    assert text == "fcnship-device: tiny 1 is whole (6 files, not signed)\n"
    drop.sign(keys / "ours")
    assert "its signature was not asked for" in ran(capsys, "verify", drop.folder, "--root", root)[2]
    signers = ("--allowed-signers", keys / "allowed_signers")
    status, facts, text = ran(capsys, "verify", drop.folder, "--root", root, *signers)
    assert (facts["signer"], "signed by release@example.com" in text) == ("release@example.com", True)
    (drop.folder / "README.md").unlink()
    status, facts, text = ran(capsys, "verify", drop.folder, "--root", root)
    assert (status, facts["ok"], facts["error"]["exit"]) == (8, False, 8)
    assert facts["error"]["cause"] == "README.md is missing"
    assert text == (
        f"fcnship-device: {drop.folder} is not the drop that was made\n"
        "  cause: README.md is missing\n"
        "  next:  copy the drop again; if it is still so, somebody or something changed it on the way\n"
    )
    assert not root.exists()


def test_a_failed_self_test_gives_its_rows(
    drop: Made, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, facts, _ = ran(capsys, "install", worse(drop).folder, "--root", root, "--backend", "onnxruntime")
    assert (status, facts["ok"], facts["error"]["exit"]) == (4, False, 4)
    assert [row["passed"] for row in facts["parity"]] == [False, False]


def test_a_damaged_live_release(drop: Made, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(capsys, "install", drop.folder, "--root", root, "--backend", "onnxruntime")
    (root / "current/README.md").unlink()
    status, facts, _ = ran(capsys, "status", "--root", root)
    assert (status, facts["ok"], facts["current"]["whole"]) == (8, False, False)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["install", "--what"], "unrecognized arguments: --what"),
        (["explode"], "explode"),
        ([], "the following arguments are required: COMMAND"),
        (["install", "--backend", "cuda"], "cuda"),
        (["status", "--root", ""], "argument --root: it is empty"),
    ],
)
def test_a_wrong_command_line(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, facts, _ = ran(capsys, *words)
    assert (status, facts["ok"], facts["error"]["exit"]) == (2, False, 2)
    assert what in facts["error"]["what"]


def test_a_bug_is_exit_1_with_its_traceback(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that no file system takes: nobody foresaw it, so it is told whole."""
    status, facts, text = ran(capsys, "verify", "a\0b", "--root", root)
    assert (status, facts["error"]["exit"]) == (1, 1)
    assert "Traceback" in text


def test_nobody_reads_on(root: Path) -> None:
    """As with ``| head -1``: no traceback, and the status of the command."""
    package = str(Path(__file__).parents[2] / "pipeline")
    code = f"import sys; sys.path.append({package!r}); from fcnship.device.cli import main; sys.exit(main())"
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", code, "status", "--root", str(root)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, f"fcnship-device: nothing is installed in {root}\n")


def test_as_a_program(drop: Made, root: Path) -> None:
    """In a folder with a json.py in it, which must not be imported, and with an environment of nothing."""
    (root.parent / "json.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    package = str(Path(__file__).parents[2] / "pipeline")
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.append({package!r}); "
         "from fcnship.device.cli import main; sys.exit(main())",
         "install", drop.folder, "--root", root, "--backend", "onnxruntime"],
        capture_output=True, text=True, check=False, cwd=root.parent, env={},
    )  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["changed"]) == (0, True), done.stderr


@pytest.mark.parametrize("command", ["status", "gc", "install", "rollback", "run", "bench"])
def test_a_root_that_this_user_may_not_read(
    command: str, drop: Made, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk's refusal is put in its way, so that it is the same for root and for others."""
    ran(capsys, "install", drop.folder, "--root", root, "--backend", "onnxruntime")

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root / "current"))

    monkeypatch.setattr(Root, "linked", denied)
    words = {"install": [drop.folder, "--dry-run"], "gc": ["--dry-run"], "run": [drop.folder / "golden"]}
    status, facts, text = ran(capsys, command, *words.get(command, []), "--root", root)
    assert (status, facts["ok"], "Traceback" in text) == (2, False, False)
    assert f"{root}/current: Permission denied" in text


def test_a_disk_that_fails(
    drop: Made, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Root, "linked", broken)
    status, facts, text = ran(capsys, "status", "--root", root)
    assert (status, facts["error"]["what"]) == (7, "the disk: Input/output error")
    assert "Traceback" not in text
