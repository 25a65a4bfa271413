"""Signs a manifest with ``ssh-keygen -Y sign``: keys that people have, and a check that every device has.

Nothing is ever asked on a terminal. A key with a passphrase signs through ssh-agent.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from fcnship.device.signature import NAMESPACE
from fcnship.errors import EnvironmentLacks, UsageError


def check_signable(key: Path) -> None:
    """Refuse what cannot sign, as far as that can be seen before any work is done.

    Raises:
        EnvironmentLacks: there is no ssh-keygen.
        UsageError: there is no such key.
    """
    if shutil.which("ssh-keygen") is None:
        raise EnvironmentLacks(
            "a drop cannot be signed here: there is no ssh-keygen",
            cause="--sign was given, and OpenSSH's client is not installed or not on the PATH",
            next="apt install openssh-client; or leave out --sign",
        )
    if not key.is_file():
        raise UsageError(
            f"there is no key {key}",
            cause="--sign takes the file of a private key of OpenSSH",
            next=f"name one, like ~/.ssh/id_ed25519, or make it: ssh-keygen -t ed25519 -f {_quoted(key)}",
        )


def sign(file: Path, key: Path) -> str:
    """Write ``FILE.sig`` and give the key's fingerprint, ``SHA256:...``.

    Raises:
        EnvironmentLacks: there is no ssh-keygen.
        UsageError: the key cannot be used: it is missing, public, locked or no key.
    """
    check_signable(key)
    done = _ssh_keygen("sign", "-f", str(key), str(file))
    if done.returncode:
        raise _unusable(key, done.stderr)
    checked = _ssh_keygen("check-novalidate", "-s", f"{file}.sig", stdin=file)
    fingerprint = re.search(r"SHA256:[A-Za-z0-9+/=]+", checked.stdout)
    if checked.returncode or not fingerprint:
        raise _unusable(key, checked.stderr or checked.stdout)
    return fingerprint[0]


def _ssh_keygen(action: str, *words: str, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it without a terminal or a window to ask in, so that it ends."""
    asking = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS")
    environment = {name: value for name, value in os.environ.items() if name not in asking}
    with (stdin or Path(os.devnull)).open("rb") as given:
        return subprocess.run(
            ["ssh-keygen", "-Y", action, "-n", NAMESPACE, *words],
            stdin=given,
            capture_output=True,
            text=True,
            errors="replace",
            env={**environment, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
            start_new_session=True,
            check=False,
        )


def _unusable(key: Path, told: str) -> UsageError:
    said = " ".join(told.replace("@", "").split())
    if "too open" in said:
        return UsageError(
            f"the key {key} may be read by others",
            cause="ssh-keygen does not use such a key",
            next=f"chmod 600 {_quoted(key)}",
        )
    if _is_public(key):
        return UsageError(
            f"{key} is a public key, and no ssh-agent holds its private half",
            cause="a signature is made with the private key",
            next=f"give --sign {_quoted(key.with_suffix(''))}, or hand the private key to the agent: ssh-add",
        )
    if "incorrect passphrase" in said:
        return UsageError(
            f"the key {key} is locked with a passphrase, and no ssh-agent holds it",
            cause="fcnship never asks for a passphrase: nobody could answer in CI",
            next=f"ssh-add {_quoted(key)}, and run it again",
        )
    if "load public key" in said:  # its way to say that it can make nothing of the private one
        public = shlex.quote(f"{key}.pub")
        return UsageError(
            f"ssh-keygen does not sign with {key}",
            cause="it is no private key in OpenSSH's own form",
            next="give --sign one, like ~/.ssh/id_ed25519; a key in PEM form needs its public half beside "
            f"it: ssh-keygen -y -f {_quoted(key)} > {public}",
        )
    return UsageError(
        f"ssh-keygen does not sign with {key}",
        cause=said or "it did not say why",
        next="give --sign a private key of OpenSSH, like ~/.ssh/id_ed25519",
    )


def _quoted(key: Path) -> str:
    return shlex.quote(str(key))


def _is_public(key: Path) -> bool:
    with key.open("rb") as file:
        return re.match(rb"(ssh-|ecdsa-|sk-)\S+ AAAA", file.read(200)) is not None
