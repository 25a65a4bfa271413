"""Say what the drop in an archive is, as JSON: the SHA-256 of the archive, its manifest and its program."""

import hashlib
import json
import sys
import tarfile
import zlib
from pathlib import Path
from typing import IO, Dict, Optional  # noqa: UP035 (a laptop's Python may be older than the device's)


def digest(file: Optional[IO[bytes]]) -> str:  # noqa: UP045
    """The SHA-256 of a file's bytes."""
    found = hashlib.sha256()
    while chunk := file.read(1 << 20) if file else b"":
        found.update(chunk)
    return found.hexdigest()


def read(path: Path) -> Dict[str, str]:  # noqa: UP006
    """The three hashes."""
    with path.open("rb") as whole:
        archive = digest(whole)
    with tarfile.open(path) as tar:
        members = {member.name[2:] if member.name[:2] == "./" else member.name: member for member in tar}
        names = ("manifest.json", "fcnship-device")
        release, program = (digest(tar.extractfile(members[name])) for name in names)
    return {"archive": archive, "release": release, "program": program}


def main(name: str) -> None:
    """Print them, or end with a message."""
    try:
        print(json.dumps(read(Path(name))))
    except (OSError, EOFError, tarfile.TarError, zlib.error, KeyError) as error:
        why = getattr(error, "strerror", None) or "it is no archive"
        why = f"there is no {error} in it" if isinstance(error, KeyError) else why
        sys.exit(f"{name} is no drop: {why}; make it with fcnship drop RUN -o FILE.tar, and name it in full")


if __name__ == "__main__":
    main(sys.argv[1])
