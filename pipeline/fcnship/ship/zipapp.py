"""``fcnship-device``: a device's commands as one executable file, Polygraphy inside, always the same bytes.

The device needs Python 3.10 and NumPy, and TensorRT or ONNX Runtime. Of fcnship it holds what those commands
import and nothing else: ``fcnship/__init__.py`` is empty there.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from importlib import metadata
from pathlib import Path

from fcnship.errors import EnvironmentLacks

NAME = "fcnship-device"
SHEBANG = b"#!/usr/bin/env python3\n"
# The modules beside fcnship.device that a device's commands may import.
LIGHT_MODULES = ("errors", "hashing", "sizes", "version")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold
_PACKAGE = Path(__file__).parents[1]
# Its command line and its other frameworks: two thirds of Polygraphy, which no command here uses.
_LEFT_OUT = ("tools", "backend/tf", "backend/pyt")
_MAIN = '''\
"""The entry: refuses a Python that is too old for everything behind it."""

import json
import sys

if sys.version_info < (3, 10):
    what = "Python 3.10 or later is needed, this is %d.%d" % sys.version_info[:2]
    cause = "JetPack 5 has Python 3.8: its TensorRT is too old as well"
    then = "use a device with JetPack 6.1 or later"
    error = {"exit": 7, "what": what, "cause": cause, "next": then}
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    print(json.dumps({"schema": "fcnship.device/1", "command": command, "ok": False, "error": error}))
    sys.stderr.write("fcnship-device: %s\\n  cause: %s\\n  next:  %s\\n" % (what, cause, then))
    sys.exit(7)

from fcnship.device.__main__ import main  # noqa: E402

sys.exit(main())
'''


def zipapp_bytes() -> bytes:
    """The whole file, shebang first.

    Raises:
        EnvironmentLacks: Polygraphy is not installed.
    """
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in sorted(_contents().items()):
            write_entry(archive, name, content)
    return SHEBANG + held.getvalue()


def write_entry(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a compressed file without a time or an owner: equal contents make equal archives."""
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # a Unix file, rw-r--r--
    archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)


def _contents() -> dict[str, bytes]:
    own = {f"fcnship/{name}.py": (_PACKAGE / f"{name}.py").read_bytes() for name in LIGHT_MODULES}
    device = _sources(_PACKAGE / "device", "fcnship/device")
    ours = {"__main__.py": _MAIN.encode(), "fcnship/__init__.py": b"", **own, **device}
    return {**ours, **_polygraphy(), "LICENSE": Path(__file__).with_name("LICENSE.txt").read_bytes()}


def _polygraphy() -> dict[str, bytes]:
    """Its modules, and what its distribution says of itself: the version and the licence, Apache-2.0."""
    found = importlib.util.find_spec("polygraphy")
    if found is None or not found.submodule_search_locations:
        raise EnvironmentLacks(
            f"{NAME} cannot be made: Polygraphy is not installed",
            cause="it drives TensorRT on the device, and goes there inside this file",
            next="pip install polygraphy",
        )
    sources = _sources(Path(found.submodule_search_locations[0]), "polygraphy", _LEFT_OUT)
    about = metadata.distribution("polygraphy")
    info = f"polygraphy-{about.version}.dist-info"
    return {**sources, f"{info}/METADATA": (about.read_text("METADATA") or "").encode()}


def _sources(folder: Path, name: str, left_out: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Every module below a folder by its name in the archive."""
    paths = {path: path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    skipped = tuple(f"{part}/" for part in left_out)
    return {
        f"{name}/{inside}": path.read_bytes()
        for path, inside in paths.items()
        if not inside.startswith(skipped)
    }
