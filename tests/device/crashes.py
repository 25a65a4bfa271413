"""Kills commands of the device part in the middle, and looks at what they leave. Run by test_crash.py, apart:

    python crashes.py random FOLDER COUNT SEED      kills at random times during an install
    python crashes.py steps FOLDER COMMAND          kills before every single step that touches the disk

FOLDER holds the drops ``one`` and ``two``. Prints a JSON summary. A child is forked for each command, so that
the libraries are imported once; this process never runs a network.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime  # noqa: F401  (imported before the forks)
from drops import DEVICE

from fcnship.device.gc import collect
from fcnship.device.install import InstallRequest, install
from fcnship.device.installed import read_installed
from fcnship.device.rollback import rollback
from fcnship.device.selftest import self_test  # noqa: F401
from fcnship.device.store import TEMPORARY, Root
from fcnship.device.verify import verify_drop

Command = Callable[[], object]
# What Python reports of itself before it touches the disk; os.replace reports os.rename.
_STEPS = {"os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate",
          "fcntl.flock", "shutil.rmtree"}  # fmt: skip
_SECONDS = 60


def installing(drop: Path, root: Path) -> Command:
    """An install with ONNX Runtime."""
    return partial(install, InstallRequest(drop=drop, root=root), DEVICE, lambda line: None)


def ended(command: Command, *, after: float = _SECONDS, step: int = 0) -> int:
    """Run a command in a child and give its status, negative for a signal; 0 if it went well.

    It is killed after so many seconds, or before its n-th step.
    """
    child = os.fork()
    if child == 0:
        _run(command, step)
    handle = os.pidfd_open(child)
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    if not waiting.poll(after * 1000):
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(command: Command, step: int) -> None:
    count = 0

    def kill_before(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in _STEPS or (event == "open" and _writes(arguments)):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    if step:
        sys.addaudithook(kill_before)
    command()  # an exception ends the child with its traceback and status 1
    os._exit(0)


def _writes(arguments: tuple[object, ...]) -> bool:
    """Whether a file is opened to be written or made: reading changes nothing on the disk."""
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def live(root: Path) -> str:
    """The release that is live; it is whole, and it proved itself."""
    name = Root(root).linked("current")
    assert name is not None, "nothing is live"
    folder = root / "releases" / name
    assert verify_drop(root / "current", None).manifest.sha256 == name
    record = read_installed(folder)
    assert record is not None and record.release == name
    assert all(row["passed"] for row in record.parity)
    return name


def clean(root: Path, releases: int) -> None:
    """No temporary name is left, and no release but those."""
    left = [path for path in root.rglob("*") if path.name.startswith(TEMPORARY)]
    assert not left, left
    assert len(Root(root).names()) == releases, Root(root).names()


def kill_at_random(folder: Path, count: int, seed: int) -> dict[str, object]:
    """Two releases in turn; each install is killed at a time within its whole length, then let be.

    One that was quicker than those measured ends before its kill, and is not counted.
    """
    root, drops, chance = folder / "root", (folder / "one", folder / "two"), random.Random(seed)
    for drop in drops:
        assert ended(installing(drop, root)) == 0
    start = time.perf_counter()
    for drop in (*drops, *drops):
        assert ended(installing(drop, root)) == 0
    length = (time.perf_counter() - start) / 4
    tries, killed, became_live = 0, 0, 0
    while killed < count and tries < 3 * count:
        drop = drops[tries % 2]
        tries += 1
        before = live(root)
        # Both releases are there by now; without the other one gone, nothing would be copied.
        assert ended(partial(collect_all_but, root, before)) == 0
        killed += ended(installing(drop, root), after=chance.uniform(0, length)) == -signal.SIGKILL
        became_live += live(root) != before
        assert ended(installing(drop, root)) == 0
        assert live(root) != before
        clean(root, 2)
    return {"tries": tries, "killed": killed, "became_live": became_live, "length_s": length}


def collect_all_but(root: Path, keep: str) -> None:
    """Forget the previous release, so that the next install copies everything."""
    (root / "previous").unlink(missing_ok=True)
    collect(root, dry_run=False)
    assert Root(root).names() == [keep]


def kill_at_each_step(folder: Path, command: str) -> dict[str, object]:
    """The command is killed before its first step, its second, and so on until it ends by itself."""
    start, one, two = folder / "start", folder / "one", folder / "two"
    assert ended(installing(one, start)) == 0
    if command in ("rollback", "gc"):
        assert ended(installing(two, start)) == 0
    first = live(start)
    if command == "gc":
        (start / "previous").unlink()
    steps, kept = 0, {"install": 2, "rollback": 2, "gc": 1, "repair": 1}[command]
    while True:
        steps += 1
        root = folder / f"{steps}"
        shutil.copytree(start, root, symlinks=True)
        if command == "repair":
            (root / "releases" / first / "onnx/fp32.onnx").write_bytes(b"damaged")
        runs: dict[str, Command] = {
            "install": installing(two, root),
            "repair": installing(one, root),
            "rollback": partial(rollback, root, None, DEVICE, lambda line: None),
            "gc": partial(collect, root, dry_run=False),
        }
        status = ended(runs[command], step=steps)
        if command == "repair":
            assert (root / "current/manifest.json").is_file(), "current leads nowhere"
        else:
            live(root)
        if status == 0:
            return {"steps": steps - 1}
        assert status == -signal.SIGKILL, status
        _goes_on(root, command, runs[command])
        clean(root, kept)
        if command == "install":
            assert (Root(root).linked("previous"), live(root) != first) == (first, True)
        shutil.rmtree(root)


def _goes_on(root: Path, command: str, run: Command) -> None:
    """After a kill the same command works, and so does an install. A rollback may have been done already."""
    if command != "rollback" or Root(root).previous():
        assert ended(run) == 0
    assert ended(installing(root / "current", root)) == 0
    live(root)


if __name__ == "__main__":
    mode, place, *rest = sys.argv[1:]
    if mode == "random":
        print(json.dumps(kill_at_random(Path(place), int(rest[0]), int(rest[1]))))
    else:
        print(json.dumps(kill_at_each_step(Path(place), rest[0])))
