"""Who signed a drop: ``ssh-keygen -Y verify``, namespace ``fcnship-drop``, with a list of allowed signers.

The signature's own text is read here too (PROTOCOL.sshsig of OpenSSH), for a message that says what is wrong;
whether it is good, ssh-keygen alone decides.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fcnship.errors import ArtifactError, EnvironmentLacks, UsageError

NAMESPACE = "fcnship-drop"
MAX_BYTES = 64 << 10
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG\x00\x00\x00\x01"
_MOST_PRINCIPALS = 20
_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What a signature says of itself: its namespace, and its key's fingerprint as ssh-keygen writes it."""

    namespace: str
    fingerprint: str


def signer_of(manifest: bytes, signature: bytes | None, allowed_signers: Path) -> str:
    """The principal whose key signed the manifest.

    Raises:
        UsageError: the list of allowed signers cannot be read.
        ArtifactError: the list is empty, or the signature is missing, broken, for another purpose, by a key
            that is not on the list, or not of this manifest.
        EnvironmentLacks: there is no ssh-keygen.
    """
    _check_list(allowed_signers)
    if signature is None:
        raise ArtifactError(
            "the drop is not signed, and this device takes signed drops alone",
            cause=f"{allowed_signers} is there, and manifest.json.sig is not",
            next="make the drop again with `fcnship drop --sign KEY`",
        )
    envelope = read_envelope(signature)
    if envelope.namespace != NAMESPACE:
        raise ArtifactError(
            f"the signature is for {envelope.namespace!a}, not for {NAMESPACE}",
            cause="the key's owner signed something else with it, not a drop",
            next="make the drop again with `fcnship drop --sign KEY`",
        )
    with _written(signature) as path:
        return _verified(manifest, path, allowed_signers, envelope)


@contextlib.contextmanager
def _written(signature: bytes) -> Iterator[Path]:
    """A file with the signature: ssh-keygen takes no other."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="fcnship-sig-")
    except FileNotFoundError as error:
        raise EnvironmentLacks(
            f"there is no folder for temporary files: {error.strerror}",
            cause="/tmp and the other usual places are missing, full or read-only",
            next="name one that can be written: TMPDIR=/data/tmp fcnship-device ...",
        ) from None
    with folder as name:
        path = Path(name) / "manifest.json.sig"
        path.write_bytes(signature)
        yield path


def read_envelope(signature: bytes) -> Envelope:
    """What an armored signature says of itself.

    Raises:
        ArtifactError: it is no SSH signature.
    """
    try:
        lines = signature.decode("ascii").strip().splitlines()
        if len(signature) > MAX_BYTES or len(lines) < 3 or (lines[0], lines[-1]) != (_BEGIN, _END):
            raise ValueError
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
        if not blob.startswith(_MAGIC):
            raise ValueError
        key, rest = _string(blob[len(_MAGIC) :])
        namespace, _ = _string(rest)
        digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
        return Envelope(namespace=namespace.decode("utf-8"), fingerprint=f"SHA256:{digest}")
    except (ValueError, binascii.Error):
        raise ArtifactError(
            "manifest.json.sig is not an SSH signature",
            cause="it is damaged, or was made by another tool than ssh-keygen -Y sign",
            next="copy the drop again, or make it again with `fcnship drop --sign KEY`",
        ) from None


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The first length-prefixed string of SSH's encoding, and what follows it."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise ValueError
    return data[4 : 4 + size], data[4 + size :]


def _check_list(allowed_signers: Path) -> None:
    try:
        mode = allowed_signers.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            raise OSError(errno.EINVAL, "it is no plain file")
        lines = allowed_signers.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(
            f"cannot read the allowed signers in {allowed_signers}: {error.strerror}",
            cause="the file is missing, or this user may not read it",
            next="put a line `NAME ssh-ed25519 KEY` for each signer into it",
        ) from None
    if mode & stat.S_IWOTH:
        raise ArtifactError(
            f"{allowed_signers} proves nothing: every user may write it",
            cause=f"its permissions are {stat.filemode(mode)}",
            next=f"look at the keys in it, then chmod o-w {allowed_signers}",
        )
    if not any(line.strip() and not line.strip().startswith(b"#") for line in lines):
        raise ArtifactError(
            f"{allowed_signers} allows nobody",
            cause="the file is there and holds no key, so no signature can be good",
            next="put a line `NAME ssh-ed25519 KEY` for each signer into it",
        )


def _verified(manifest: bytes, signature: Path, allowed_signers: Path, envelope: Envelope) -> str:
    """The first principal for whom ssh-keygen calls the signature good."""
    listed, said = _keygen(["find-principals", "-s", str(signature), "-f", str(allowed_signers)], b"")
    # It prints one principal a line, with the `!` of those that a pattern leaves out.
    names = [name for name in listed.splitlines() if name and not name.startswith("!")]
    if not names:
        raise ArtifactError(
            f"the drop is signed with a key that is not allowed here: {envelope.fingerprint}",
            cause=said or f"no line of {allowed_signers} names this key for drops",
            next=f"if you trust its owner, add the public key to {allowed_signers}",
        )
    for name in names[:_MOST_PRINCIPALS]:
        command = ["verify", "-f", str(allowed_signers), "-I", name, "-n", NAMESPACE, "-s", str(signature)]
        good, said = _keygen(command, manifest)
        if good:
            return name
    raise ArtifactError(
        "the signature does not fit the manifest",
        cause=said
        or f"manifest.json was changed after {names[0]} signed it, or it is another drop's signature",
        next="copy the drop again from whoever made it",
    )


def _keygen(arguments: list[str], text: bytes) -> tuple[str, str]:
    """ssh-keygen's standard output, '' if it refused, and what it complained of beyond its plain refusals."""
    try:
        done = subprocess.run(
            ["ssh-keygen", "-Y", *arguments],
            input=text,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise EnvironmentLacks(
            "ssh-keygen is not installed, so no signature can be verified",
            cause="this device has no OpenSSH client",
            next="sudo apt-get install openssh-client",
        ) from None
    except subprocess.TimeoutExpired:
        raise EnvironmentLacks(
            f"ssh-keygen did not answer within {_SECONDS} s",
            cause="the device is overloaded, or ssh-keygen waits for something",
            next="run the command again",
        ) from None
    plain = ("No principal matched.", "Could not verify signature.", "Signature verification failed: ")
    said = [
        line for line in done.stderr.decode("utf-8", "replace").splitlines() if not line.startswith(plain)
    ]
    output = done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
    return output, ascii(said[0])[1:-1] if said else ""
