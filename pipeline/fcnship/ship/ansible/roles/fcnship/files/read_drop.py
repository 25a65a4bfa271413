"""Say what the drop in an archive is, as JSON: the SHA-256 of the archive, its manifest and its program."""

import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import IO, Optional


def digest(file: Optional[IO[bytes]]) -> str:  # noqa: UP045 (a laptop's Python may be older than the device's)
    """The SHA-256 of a file's bytes."""
    found = hashlib.sha256()
    while chunk := file.read(1 << 20) if file else b"":
        found.update(chunk)
    return found.hexdigest()


with Path(sys.argv[1]).open("rb") as whole:
    archive = digest(whole)
with tarfile.open(sys.argv[1]) as tar:
    members = {member.name.removeprefix("./"): member for member in tar if member.isfile()}
    release, program = (
        digest(tar.extractfile(members[name])) for name in ("manifest.json", "fcnship-device")
    )
print(json.dumps({"archive": archive, "release": release, "program": program}))
