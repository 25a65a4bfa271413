"""Signatures by the real ssh-keygen: good ones verify, everything else is refused with its message."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fcnship.errors import EnvironmentLacks, UsageError
from fcnship.ship.signing import sign

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen")


def key_at(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def verified(file: Path, key: Path, namespace: str = "fcnship-drop") -> bool:
    allowed = file.with_name("allowed_signers")
    public = key.with_name(f"{key.name}.pub").read_text(encoding="utf-8")
    allowed.write_text(f"maker {public}", encoding="utf-8")
    words = ["-Y", "verify", "-f", str(allowed), "-I", "maker", "-n", namespace, "-s", f"{file}.sig"]
    with file.open("rb") as text:
        done = subprocess.run(["ssh-keygen", *words], stdin=text, capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.json"
    path.write_bytes(b"{}\n")
    return path


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_signature_verifies_and_a_changed_manifest_does_not(manifest: Path, kind: str) -> None:
    key = key_at(manifest.with_name("key"), kind=kind)
    told = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], capture_output=True, text=True, check=True)
    assert sign(manifest, key) == told.stdout.split()[1]
    assert verified(manifest, key)
    assert not verified(manifest, key, namespace="file")
    manifest.write_bytes(b"{ }\n")
    assert not verified(manifest, key)


def test_another_key_does_not_verify_it(manifest: Path) -> None:
    sign(manifest, key_at(manifest.with_name("key")))
    assert not verified(manifest, key_at(manifest.with_name("other")))


def test_a_locked_key_is_refused_at_once_and_nothing_is_asked(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = key_at(manifest.with_name("key"), passphrase="secret")
    start = time.monotonic()
    with pytest.raises(UsageError) as refused:
        sign(manifest, key)
    assert time.monotonic() - start < 10
    assert str(refused.value) == (
        f"the key {key} is locked with a passphrase, and no ssh-agent holds it\n"
        "  cause: fcnship never asks for a passphrase: nobody could answer in CI\n"
        f"  next:  ssh-add {key}, and run it again"
    )
    assert not manifest.with_name("manifest.json.sig").exists()


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="there is no ssh-agent")
def test_a_locked_key_signs_through_the_agent(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_at(manifest.with_name("key"))
    socket = manifest.with_name("agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        for _ in range(200):
            if subprocess.run(["ssh-add", "-q", str(key)], capture_output=True, check=False).returncode == 0:
                break
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)], check=True)
        sign(manifest, key)
    finally:
        agent.terminate()
        agent.wait()
    assert verified(manifest, key)


def test_a_public_key_alone_is_refused(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = key_at(manifest.with_name("key"))
    public = key.rename(manifest.with_name("gone")).with_name("key.pub")
    with pytest.raises(UsageError) as refused:
        sign(manifest, public)
    assert str(refused.value) == (
        f"{public} is a public key, and no ssh-agent holds its private half\n"
        "  cause: a signature is made with the private key\n"
        f"  next:  give --sign {key}, or hand the private key to the agent: ssh-add"
    )


def test_a_missing_key_is_refused(manifest: Path) -> None:
    key = manifest.with_name("none")
    with pytest.raises(UsageError) as refused:
        sign(manifest, key)
    assert str(refused.value) == (
        f"there is no key {key}\n"
        "  cause: --sign takes the file of a private key of OpenSSH\n"
        f"  next:  name one, like ~/.ssh/id_ed25519, or make it: ssh-keygen -t ed25519 -f {key}"
    )


def test_what_is_no_key_or_open_to_others_is_refused(manifest: Path) -> None:
    junk = manifest.with_name("junk")
    junk.write_text("no key\n", encoding="utf-8")
    junk.chmod(0o600)
    with pytest.raises(UsageError) as refused:
        sign(manifest, junk)
    assert str(refused.value) == (
        f"ssh-keygen does not sign with {junk}\n"
        "  cause: it is no private key in OpenSSH's own form\n"
        "  next:  give --sign one, like ~/.ssh/id_ed25519; a key in PEM form needs its public half beside "
        f"it: ssh-keygen -y -f {junk} > {junk}.pub"
    )
    key = key_at(manifest.with_name("key"))
    key.chmod(0o644)
    with pytest.raises(UsageError, match="may be read by others") as refused:
        sign(manifest, key)
    assert refused.value.next == f"chmod 600 {key}"


def test_without_ssh_keygen(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_at(manifest.with_name("key"))
    monkeypatch.setenv("PATH", str(manifest.parent))
    with pytest.raises(EnvironmentLacks) as refused:
        sign(manifest, key)
    assert refused.value.exit_code == 7
    assert str(refused.value) == (
        "a drop cannot be signed here: there is no ssh-keygen\n"
        "  cause: --sign was given, and OpenSSH's client is not installed or not on the PATH\n"
        "  next:  apt install openssh-client; or leave out --sign"
    )
