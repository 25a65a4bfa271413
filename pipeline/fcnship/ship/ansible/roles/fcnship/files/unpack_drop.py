"""Take the program, the manifest and its signature out of drop.tar, if that is what was sent.

Where the device takes signed drops alone, the signature is verified: before anything of the drop is executed.
Arguments: the folder with drop.tar, its SHA-256, the list of allowed signers.
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

WANTED = ("manifest.json", "manifest.json.sig", "fcnship-device")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def unpack(folder: Path) -> None:
    """Take out what is wanted; nothing else, and by no name that the archive chooses."""
    with tarfile.open(folder / "drop.tar") as tar:
        for member in tar:
            name, content = member.name.removeprefix("./"), tar.extractfile(member)
            if name in WANTED and content:
                (folder / name).write_bytes(content.read())


def keygen(folder: Path, signers: str, action: str, *words: str) -> str:
    """What ssh-keygen says of the signature; nothing where it refuses."""
    files = ["-s", str(folder / "manifest.json.sig"), "-f", signers]
    with (folder / "manifest.json").open("rb") as manifest:
        done = subprocess.run(
            ["ssh-keygen", "-Y", action, *files, *words],
            stdin=manifest,
            capture_output=True,
            text=True,
            check=False,
        )
    return "" if done.returncode else done.stdout


def is_signed(folder: Path, signers: str) -> bool:
    """Whether somebody who is allowed to has signed the manifest as a drop's, and it lists the program."""
    listed = keygen(folder, signers, "find-principals").splitlines()
    names = [name for name in listed if name and not name.startswith("!")]
    if not any(keygen(folder, signers, "verify", "-n", "fcnship-drop", "-I", name) for name in names):
        return False
    manifest = json.loads((folder / "manifest.json").read_bytes())
    program = sha256_of(folder / "fcnship-device")
    return {"fcnship-device": program} in [{row["path"]: row["sha256"]} for row in manifest["files"]]


def main(place: str, expected: str, signers: str) -> None:
    """Unpack, or end with a message."""
    folder = Path(place)
    if sha256_of(folder / "drop.tar") != expected:
        sys.exit("the archive arrived damaged")
    unpack(folder)
    if os.path.lexists(signers) and not is_signed(folder, signers):
        sys.exit(f"the drop is not signed by anybody in {signers}")


if __name__ == "__main__":
    main(*sys.argv[1:])
