"""A drop's folder as one .tar or .tar.gz: the same files make the same bytes."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Literal

from fcnship.device.manifest import MANIFEST, SIGNATURE
from fcnship.device.placing import PROGRAM
from fcnship.errors import UsageError
from fcnship.hashing import files_under

Form = Literal["folder", "tar", "tar.gz"]
_OTHER_ARCHIVES = (".zip", ".tar.xz", ".tar.bz2", ".tar.zst", ".txz", ".tbz2", ".7z")


def form_of(out: Path) -> Form:
    """What the name asks for: an archive by its ending, else a folder.

    Raises:
        UsageError: it is the name of an archive that is not made.
    """
    name = out.name.lower()
    if name.endswith((".tar.gz", ".tgz")):
        return "tar.gz"
    if name.endswith(".tar"):
        return "tar"
    if name.endswith(_OTHER_ARCHIVES):
        raise UsageError(
            f"{out} is neither a folder nor a .tar",
            cause="a drop is a folder, a .tar or a .tar.gz: what every device can unpack",
            next="write it like -o drop.tar",
        )
    return "folder"


def write_tar(folder: Path, out: Path, form: Form, created: datetime) -> None:
    """Pack a drop's folder: the manifest and its signature first, then the rest by name.

    Owner and group are 0 and have no names, every time is ``created``.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in files_under(folder)}
    first = [name for name in (MANIFEST, SIGNATURE) if name in paths]
    plain = tarfile.USTAR_FORMAT
    with _opened(out, form) as raw, tarfile.open(fileobj=raw, mode="w", format=plain) as archive:
        for name in [*first, *sorted(paths.keys() - set(first))]:
            entry = tarfile.TarInfo(name)
            entry.size = paths[name].stat().st_size
            entry.mode = 0o755 if name == PROGRAM else 0o644
            entry.mtime = int(created.timestamp())
            with paths[name].open("rb") as file:
                archive.addfile(entry, file)


@contextmanager
def _opened(out: Path, form: Form) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with out.open("wb") as file:
        if form == "tar":
            yield file
        else:
            # Without a name and a time in its header.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                yield packed
