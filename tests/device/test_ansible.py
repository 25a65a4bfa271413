"""The Ansible role, by real ansible-core against two OpenSSH servers on the loopback; and a USB stick."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
from deploying import with_program
from drops import Made
from sshd import MISSING, Client, Sshd, make_client, serving

Done = subprocess.CompletedProcess[str]
NO_ANSIBLE = (
    "" if importlib.util.find_spec("ansible") else "ansible-core is not installed: pip install fcnship[dev]"
)
needs_ansible = pytest.mark.skipif(bool(MISSING or NO_ANSIBLE), reason=MISSING or NO_ANSIBLE)
ROLES = resources.files("fcnship.ship") / "ansible" / "roles"
PLAY = """\
- hosts: cameras
  gather_facts: false
  roles: [fcnship]
  post_tasks:
    - ansible.builtin.assert:
        that: fcnship_result.ok or ansible_check_mode
"""
TELLS_THAT_IT_RAN = """\
import pathlib, sys
root = next(word.removeprefix("--root=") for word in sys.argv if word.startswith("--root="))
(pathlib.Path(root) / "ran").touch()
"""
BROKEN = "raise ImportError('libonnxruntime.so: file too short')\n"


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Two devices, ``east`` and ``west``, each a server and a store, and the folder with their inventory."""

    folder: Path
    sockets: Path
    client: Client
    servers: dict[str, Sshd]

    def root(self, name: str) -> Path:
        return self.folder / name / "store"

    def live(self, name: str) -> str | None:
        link = self.root(name) / "current"
        return link.readlink().name if link.is_symlink() else None

    def play(self, drop: Path, *words: str) -> Done:
        """Run the role over both."""
        settings = {
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "ansible" / "tmp"),
            "ANSIBLE_ROLES_PATH": str(ROLES),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=10s",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.sockets),
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory", "play.yml"]
        return subprocess.run(
            [*command, "-e", f"fcnship_drop={drop}", *words],
            cwd=self.folder,
            env={**os.environ, **self.client.environment, **settings},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    client = make_client(tmp_path / "client")
    with ExitStack() as opened:
        # The path of a socket is short: 108 bytes.
        sockets = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        servers = {name: opened.enter_context(serving(tmp_path / name, client)) for name in ("east", "west")}
        lines = ["[cameras]"]
        for name, server in servers.items():
            python, store = server.folder / "bin" / "python3", tmp_path / name / "store"
            where = f"ansible_host=127.0.0.1 ansible_port={server.port} ansible_python_interpreter={python}"
            lines.append(f"{name} {where} fcnship_root={store} fcnship_python={python}")
        (tmp_path / "inventory").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
        yield Fleet(folder=tmp_path, sockets=sockets, client=client, servers=servers)


def packed(made: Made, to: Path) -> Path:
    """A drop as a .tar."""
    return Path(shutil.make_archive(str(to), "tar", made.folder))


def by_hand(program: Path, *words: str, root: Path) -> Done:
    """What a person types on the device."""
    command = [sys.executable, str(program), *words, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def recap(done: Done) -> dict[str, dict[str, int]]:
    """What ansible-playbook counts of each host."""
    rows = re.findall(r"^(\w+) +: (ok=.*)$", done.stdout, re.MULTILINE)
    return {name: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", counts)} for name, counts in rows}


@needs_ansible
def test_one_of_two_fails_and_keeps_what_it_had(
    fleet: Fleet, drop: Made, newer: Made, tmp_path: Path
) -> None:
    old, new = with_program(drop), with_program(newer)
    for name in fleet.servers:
        installed = by_hand(old.folder / "fcnship-device", "install", root=fleet.root(name))
        assert installed.returncode == 0, installed.stderr
    broken = tmp_path / "broken" / "onnxruntime"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(BROKEN, encoding="utf-8")
    python = fleet.servers["west"].folder / "bin" / "python3"
    mended = python.read_text(encoding="utf-8")
    python.write_text(mended.replace("exec", f"PYTHONPATH={broken.parent} exec"), encoding="utf-8")

    archive = packed(new, tmp_path / "new")
    done = fleet.play(archive)
    assert done.returncode != 0
    assert recap(done)["east"]["failed"] == 0 and recap(done)["west"]["failed"] == 1
    assert fleet.live("east") == new.release and fleet.live("west") == old.release
    told = re.sub(r"\s+", " ", done.stdout.partition("[west]: FAILED!")[2])
    assert "ONNX Runtime" in told and "what was live is live still" in told, done.stdout
    assert not (fleet.root("west") / "incoming" / new.release).exists()

    python.write_text(mended, encoding="utf-8")
    foretold = recap(fleet.play(archive, "--check"))
    assert (foretold["east"]["changed"], foretold["west"]["changed"]) == (0, 1)
    assert fleet.live("west") == old.release
    again = recap(fleet.play(archive))
    assert again["east"]["changed"] == 0, "a second run changes nothing"
    assert again["west"]["changed"] > 0 and fleet.live("west") == new.release


@needs_ansible
def test_devices_that_take_signed_drops_alone(fleet: Fleet, drop: Made, keys: Path, tmp_path: Path) -> None:
    """Of a drop that nobody allowed has signed, nothing is executed."""
    for name, signers in (("east", "ours"), ("west", "theirs")):
        fleet.root(name).mkdir()
        public = (keys / f"{signers}.pub").read_text(encoding="utf-8")
        (fleet.root(name) / "allowed_signers").write_text(f"release@example.com {public}", encoding="utf-8")
    (drop.folder / "fcnship-device").write_text(TELLS_THAT_IT_RAN, encoding="utf-8")
    done = fleet.play(packed(drop.rewrite().sign(keys / "ours"), tmp_path / "signed"))
    assert (fleet.root("east") / "ran").exists() and not (fleet.root("west") / "ran").exists()
    assert [row["failed"] for row in recap(done).values()] == [1, 1]
    assert "the drop is not signed by anybody in" in done.stdout
    assert "fcnship-device broke" in done.stdout


@pytest.mark.parametrize("given", ["nothing", "a folder", "no archive", "another archive"])
def test_what_is_no_drop_is_said_without_a_traceback(given: str, tmp_path: Path) -> None:
    place = tmp_path / "drop.tar"
    if given == "a folder":
        place.mkdir()
    if given == "no archive":
        place.write_bytes(b"no archive")
    if given == "another archive":
        (tmp_path / "other").mkdir()
        shutil.make_archive(str(tmp_path / "drop"), "tar", tmp_path / "other")
    command = [sys.executable, str(ROLES / "fcnship" / "files" / "read_drop.py"), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(rf"{place} is no drop: .+; make it with fcnship drop .+\n", done.stderr)


def test_by_hand_from_a_stick(drop: Made, tmp_path: Path) -> None:
    """The steps that the README names: nothing but the stick, the device's Python, and two commands."""
    stick, root = tmp_path / "stick", tmp_path / "root"
    stick.mkdir()
    shutil.copytree(with_program(drop).folder, stick / "tiny")
    program = stick / "tiny" / "fcnship-device"
    # A stick's file system is often FAT: no file on it is executable, or all are.
    for path in stick.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o444)
    verified = by_hand(program, "verify", root=root)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["release"] == drop.release
    installed = by_hand(program, "install", root=root)
    assert installed.returncode == 0, installed.stderr
    assert json.loads(installed.stdout)["changed"] is True
    assert json.loads(by_hand(program, "install", root=root).stdout)["changed"] is False
    (stick / "tiny" / "README.md").chmod(0o644)
    (stick / "tiny" / "README.md").write_text("another", encoding="utf-8")
    assert by_hand(program, "verify", root=root).returncode == 8
    shutil.rmtree(stick)
    status = by_hand(root / "current" / "fcnship-device", "status", root=root)
    assert json.loads(status.stdout)["ok"]
