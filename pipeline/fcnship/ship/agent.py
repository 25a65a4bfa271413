"""What ``fcnship deploy`` runs on the device until fcnship-device is there: sent as source, never imported.

Standard library and Python 3.10 alone. It reads requests from standard input, a line of JSON each, and
answers with a line of JSON each. Nothing is written outside ROOT/incoming, and nothing that was uploaded is
executed before ``check`` has found it to be what the sender has verified.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

READY = "fcnship-agent/1"
_CHUNK = 1 << 18
_FORGOTTEN_SECONDS = 24 * 3600
_PART = ".part"
_NAMESPACE = "fcnship-drop"
_OWN = ("incoming", "allowed_signers", "lost+found")

Request = dict[str, Any]
# The descriptor of the upload that this session works with.
_held: list[int] = []


class Refused(Exception):
    """The device does not accept what came: the sender makes an error of it."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text
        super().__init__(text)


def serve(requests: IO[bytes], answers: IO[str]) -> None:
    """Answer requests until the sender hangs up."""
    print(READY, file=answers, flush=True)
    while line := requests.readline():
        request: Request = json.loads(line)
        try:
            found = OPERATIONS[request["op"]](request, requests)
        except Refused as error:
            found = {"refused": error.kind, "text": error.text}
        except OSError as error:
            text = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
            found = {"refused": "system", "text": text, "errno": error.errno}
        print(json.dumps(found), file=answers, flush=True)
        if found.get("refused") and request["op"] == "put":
            return  # the rest of the file is still on its way: there is no telling it from a request


def survey(request: Request, _: IO[bytes]) -> dict[str, Any]:
    """What of a drop is on the device already. Changes nothing."""
    root = _root(request)
    _hold(_incoming(request))
    release = root / "releases" / request["release"]
    files = request["files"]
    return {
        "root": str(root),
        "there": root.is_dir(),
        "writable": _writable(root),
        "signers": os.path.lexists(root / "allowed_signers"),
        "current": _pointed_at(root / "current"),
        # Only what was proved has an install.json; the rest goes with the next install.
        "whole": (release / "install.json").is_file() and all(_is(release / f["path"], f) for f in files),
        "free": shutil.disk_usage(_standing(root)).free,
        "have": _places(root, request["release"], files),
        "partial": _partial(_incoming(request), files),
    }


def put(request: Request, requests: IO[bytes]) -> dict[str, Any]:
    """Take a file's bytes from ``offset`` on; what came of an earlier, cut upload stays before them.

    The earlier part is copied: a session that was cut may still hold it open, and write into it.
    """
    target = _incoming(request) / request["path"]
    part = target.with_name(target.name + _PART)
    fresh = target.with_name(target.name + ".new")
    target.parent.mkdir(parents=True, exist_ok=True)
    _hold(_incoming(request))
    fresh.unlink(missing_ok=True)
    with fresh.open("xb") as file:
        if request["offset"]:
            with part.open("rb") as before:
                _copy(before, file, request["offset"])
        fresh.replace(part)
        _copy(requests, file, request["bytes"])
    return _finished(part, target, request)


def reuse(request: Request, _: IO[bytes]) -> dict[str, Any]:
    """Copy a file that an installed release has already."""
    target = _incoming(request) / request["path"]
    part = target.with_name(target.name + _PART)
    target.parent.mkdir(parents=True, exist_ok=True)
    _hold(_incoming(request))
    part.unlink(missing_ok=True)
    shutil.copyfile(request["source"], part)
    return _finished(part, target, request)


def _finished(part: Path, target: Path, request: Request) -> dict[str, Any]:
    if _sha256(part) != request["sha256"]:
        part.unlink()
        raise Refused("damaged", f"{request['path']} arrived damaged")
    part.replace(target)
    return {"path": str(target)}


def check(request: Request, _: IO[bytes]) -> dict[str, Any]:
    """Hold what would be executed, and the manifest that vouches for the rest, against what was verified."""
    folder = Path(request["folder"])
    for name, sha256 in request["hashes"].items():
        if _sha256(folder / name) != sha256:
            raise Refused("damaged", f"{folder / name} is not what was sent")
    signers = _root(request) / "allowed_signers"
    if required := os.path.lexists(signers):
        _check_signature(folder, signers)
    if folder == _incoming(request):
        _clear_strays(folder, request["files"])
    return {"signed": required}


def _clear_strays(folder: Path, files: list[dict[str, Any]]) -> None:
    """Remove what uploads that were cut have left: an install takes exactly what the manifest lists."""
    wanted = {folder / file["path"] for file in files}
    for path in list(folder.rglob("*")):
        if not path.is_dir() and path not in wanted:
            path.unlink()


def _check_signature(folder: Path, signers: Path) -> None:
    signature = folder / "manifest.json.sig"
    if not signature.is_file():
        raise Refused("signature", "the drop has no signature, and this device requires one")
    if not (keygen := shutil.which("ssh-keygen")):
        raise Refused("lacks", "there is no ssh-keygen on the device to check the signature with")
    files = ["-s", str(signature), "-f", str(signers)]
    found = _output([keygen, "-Y", "find-principals", *files])
    names = [name for name in (found or "").splitlines() if name and not name.startswith("!")]
    if not names:
        raise Refused("signature", "the drop is signed with a key that is not among its allowed signers")
    manifest = (folder / "manifest.json").read_bytes()
    if all(
        _output([keygen, "-Y", "verify", "-n", _NAMESPACE, "-I", n, *files], manifest) is None for n in names
    ):
        raise Refused("signature", "the signature does not fit the manifest, or is not for drops")


def _output(command: list[str], given: bytes = b"") -> str | None:
    """What a program prints; None where it fails."""
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    return None if done.returncode else done.stdout.decode("utf-8", "replace")


def run(request: Request, requests: IO[bytes]) -> dict[str, Any]:
    """Run a Python file of the checked drop; its standard error goes to the sender as it is written.

    A sender that hangs up while it runs (Ctrl-C) wants it to end: what nobody hears of does not go live.
    """
    sys.stderr.flush()
    command = [sys.executable, *request["arguments"]]
    # What is ignored here stays so in a child: a server that was started with nohup.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        assert child.stdout
        said, watched = [b""], [child.stdout, requests]
        while watched:
            ready, _, _ = select.select(watched, [], [])
            if requests in ready:  # nothing is asked before the answer: it is the end
                child.send_signal(signal.SIGINT)
                watched.remove(requests)
            elif chunk := os.read(child.stdout.fileno(), _CHUNK):
                said.append(chunk)
            else:
                break
    return {"exit": child.returncode, "stdout": b"".join(said).decode("utf-8", "replace")}


def clean(request: Request, _: IO[bytes]) -> dict[str, Any]:
    """Remove what was uploaded, once it is installed; and what others have left there for a day."""
    while _held:
        os.close(_held.pop())
    own = _incoming(request)
    uploads = list(own.parent.iterdir()) if own.parent.is_dir() else []
    for folder in uploads:
        forgotten = time.time() - folder.stat().st_mtime > _FORGOTTEN_SECONDS
        if (folder == own or forgotten) and not _in_use(folder):
            shutil.rmtree(folder)
    if uploads and not any(own.parent.iterdir()):
        own.parent.rmdir()
    return {}


OPERATIONS = {"survey": survey, "put": put, "reuse": reuse, "check": check, "run": run, "clean": clean}


def _hold(upload: Path) -> None:
    """Keep other sessions from clearing an upload away; the system lets go of it when this one ends."""
    if _held:
        return
    # It may not be there yet, or be on a file system without locks.
    with contextlib.suppress(OSError):
        _held.append(os.open(upload, os.O_RDONLY | os.O_DIRECTORY))
        fcntl.flock(_held[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)


def _in_use(upload: Path) -> bool:
    """Whether another session works with it: somebody deploys the same drop just now."""
    descriptor = os.open(upload, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _user() -> str:
    return os.environ.get("USER") or f"user {os.getuid()}"


def _root(request: Request) -> Path:
    return Path(request["root"]).expanduser()


def _incoming(request: Request) -> Path:
    return _root(request) / "incoming" / str(request["release"])


def _places(root: Path, release: str, files: list[dict[str, Any]]) -> dict[str, str]:
    """Where on the device each file of the drop lies already, by its path in the drop."""
    folders = [root / "incoming" / release, root / "releases" / release]
    releases = root / "releases"
    folders += sorted(p for p in releases.iterdir() if p.is_dir()) if releases.is_dir() else []
    found = {}
    for file in files:
        place = next((p for p in (folder / file["path"] for folder in folders) if _is(p, file)), None)
        if place:
            found[file["path"]] = str(place)
    return found


def _partial(incoming: Path, files: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Files that an earlier upload did not finish: their length and its hash."""
    parts = {file["path"]: incoming / (file["path"] + _PART) for file in files}
    return {
        path: {"bytes": part.stat().st_size, "sha256": _sha256(part)}
        for path, part in parts.items()
        if _regular(part)
    }


def _is(path: Path, file: dict[str, Any]) -> bool:
    return _regular(path) and path.stat().st_size == file["bytes"] and _sha256(path) == file["sha256"]


def _regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _pointed_at(link: Path) -> str | None:
    return link.readlink().name if link.is_symlink() else None


def _standing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def _writable(root: Path) -> str:
    """Empty if the store can be written, else what stands in the way."""
    standing = _standing(root)
    if not standing.is_dir():
        return f"{standing} is no folder"
    if standing == root and not (root / "lock").exists() and (strange := _strange(root)):
        return f"{root} is no folder of fcnship: it holds {strange}"
    # The superuser may write anywhere; a folder marked read-only is left alone all the same.
    if not standing.stat().st_mode & 0o222:
        return f"{standing} is marked read-only"
    if os.statvfs(standing).f_flag & os.ST_RDONLY:
        return f"{standing} is on a file system that is mounted read-only"
    return "" if os.access(standing, os.W_OK | os.X_OK) else f"{_user()} may not write to {standing}"


def _strange(root: Path) -> str:
    """A name in a folder that no store has: something else uses it. Its lock marks a store."""
    return min((ascii(p.name) for p in root.iterdir() if p.name not in _OWN), default="")


def _copy(source: IO[bytes], target: IO[bytes], count: int) -> None:
    while count:
        chunk = source.read(min(_CHUNK, count))
        if not chunk:
            raise Refused("cut", "the upload ended before its time")
        target.write(chunk)
        target.flush()
        count -= len(chunk)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout)
