"""Who signed a drop."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from drops import Made
from refusals import refused

from fcnship.device.signature import read_envelope
from fcnship.device.verify import verify_drop

_AGAIN = "\n  next:  make the drop again with `fcnship drop --sign KEY`"


@pytest.fixture
def allowed(keys: Path) -> Path:
    return keys / "allowed_signers"


def test_a_signed_drop(drop: Made, keys: Path, allowed: Path) -> None:
    verified = verify_drop(drop.sign(keys / "ours").folder, allowed)
    assert (verified.signer, verified.signed) == ("release@example.com", True)


def test_nobody_asks(drop: Made, keys: Path) -> None:
    verified = verify_drop(drop.sign(keys / "theirs").folder, None)
    assert (verified.signer, verified.signed) == (None, True)


def test_no_signature(drop: Made, allowed: Path) -> None:
    assert refused(lambda: verify_drop(drop.folder, allowed)) == (
        8,
        "the drop is not signed, and this device takes signed drops alone\n"
        f"  cause: {allowed} is there, and manifest.json.sig is not{_AGAIN}",
    )


def test_a_wrong_namespace(drop: Made, keys: Path, allowed: Path) -> None:
    assert refused(lambda: verify_drop(drop.sign(keys / "ours", "git").folder, allowed)) == (
        8,
        "the signature is for 'git', not for fcnship-drop\n"
        f"  cause: the key's owner signed something else with it, not a drop{_AGAIN}",
    )


def test_a_key_that_is_not_allowed(drop: Made, keys: Path, allowed: Path) -> None:
    drop.sign(keys / "theirs")
    fingerprint = read_envelope((drop.folder / "manifest.json.sig").read_bytes()).fingerprint
    assert refused(lambda: verify_drop(drop.folder, allowed)) == (
        8,
        f"the drop is signed with a key that is not allowed here: {fingerprint}\n"
        f"  cause: no line of {allowed} names this key for drops\n"
        f"  next:  if you trust its owner, add the public key to {allowed}",
    )


def test_a_manifest_that_was_changed_after_it_was_signed(drop: Made, keys: Path, allowed: Path) -> None:
    drop.sign(keys / "ours").rewrite(lambda manifest: manifest.update(version="9"))
    assert refused(lambda: verify_drop(drop.folder, allowed)) == (
        8,
        "the signature does not fit the manifest\n"
        "  cause: manifest.json was changed after release@example.com signed it, or it is another drop's "
        "signature\n"
        "  next:  copy the drop again from whoever made it",
    )


def test_a_file_that_was_changed_after_the_manifest_was_signed(drop: Made, keys: Path, allowed: Path) -> None:
    drop.sign(keys / "ours")
    (drop.folder / "README.md").write_text("for the person with the device.\n", encoding="utf-8")
    assert refused(lambda: verify_drop(drop.folder, allowed))[1].startswith(f"{drop.folder} is not the drop")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\n!!!!\n-----END SSH SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAf////8=\n-----END SSH SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\n" + b"A" * 70_000 + b"\n-----END SSH SIGNATURE-----\n",
        b"-----BEGIN PGP SIGNATURE-----\nAAAA\n-----END PGP SIGNATURE-----\n",
    ],
)
def test_no_ssh_signature(drop: Made, allowed: Path, text: bytes) -> None:
    (drop.folder / "manifest.json.sig").write_bytes(text)
    assert refused(lambda: verify_drop(drop.folder, allowed)) == (
        8,
        "manifest.json.sig is not an SSH signature\n"
        "  cause: it is damaged, or was made by another tool than ssh-keygen -Y sign\n"
        "  next:  copy the drop again, or make it again with `fcnship drop --sign KEY`",
    )


def test_a_signature_with_one_bit_flipped(drop: Made, keys: Path, allowed: Path) -> None:
    path = drop.sign(keys / "ours").folder / "manifest.json.sig"
    lines = path.read_text(encoding="ascii").splitlines()
    lines[-2] = lines[-2].translate(str.maketrans("ABCDabcd0123", "BADCbadc1032"))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    assert refused(lambda: verify_drop(drop.folder, allowed))[0] == 8


@pytest.mark.parametrize("text", ["", "\n\n", "# nobody yet\n"])
def test_a_list_of_nobody(drop: Made, keys: Path, tmp_path: Path, text: str) -> None:
    nobody = tmp_path / "allowed_signers"
    nobody.write_text(text, encoding="utf-8")
    assert refused(lambda: verify_drop(drop.sign(keys / "ours").folder, nobody)) == (
        8,
        f"{nobody} allows nobody\n"
        "  cause: the file is there and holds no key, so no signature can be good\n"
        "  next:  put a line `NAME ssh-ed25519 KEY` for each signer into it",
    )


def test_a_list_that_cannot_be_read(drop: Made, tmp_path: Path) -> None:
    code, message = refused(lambda: verify_drop(drop.folder, tmp_path / "gone"))
    first = f"cannot read the allowed signers in {tmp_path / 'gone'}: No such file or directory"
    assert (code, message.splitlines()[0]) == (2, first)
    os.mkfifo(tmp_path / "pipe")
    code, message = refused(lambda: verify_drop(drop.folder, tmp_path / "pipe"))
    first = f"cannot read the allowed signers in {tmp_path / 'pipe'}: it is no plain file"
    assert (code, message.splitlines()[0]) == (2, first)


def test_a_list_that_every_user_may_write(drop: Made, keys: Path, tmp_path: Path) -> None:
    allowed = Path(shutil.copy(keys / "allowed_signers", tmp_path))
    allowed.chmod(0o646)
    assert refused(lambda: verify_drop(drop.sign(keys / "ours").folder, allowed)) == (
        8,
        f"{allowed} proves nothing: every user may write it\n"
        "  cause: its permissions are -rw-r--rw-\n"
        f"  next:  look at the keys in it, then chmod o-w {allowed}",
    )
    allowed.chmod(0o664)  # a group's own list, as the umask of Ubuntu makes it
    assert verify_drop(drop.folder, allowed).signer


def test_without_a_folder_for_temporary_files(
    drop: Made, keys: Path, allowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.sign(keys / "ours")

    def nowhere(*_: object) -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "_get_default_tempdir", nowhere)
    monkeypatch.setattr(tempfile, "tempdir", None)
    code, message = refused(lambda: verify_drop(drop.folder, allowed))
    assert (code, message.splitlines()[0]) == (
        7,
        "there is no folder for temporary files: No usable temporary directory found",
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("a@example.com,b@example.com {key}", 0),
        ("*@example.com {key}", 0),
        ("!c@example.com,*@example.com {key}", 0),
        ('a@example.com namespaces="fcnship-drop" {key}', 0),
        ('a@example.com namespaces="git" {key}', 8),
        ('a@example.com valid-before="20200101" {key}', 8),
        ("a@example.com ssh-ed25519 AAAAnonsense", 8),
    ],
)
def test_lines_of_a_list(drop: Made, keys: Path, tmp_path: Path, line: str, code: int) -> None:
    public = (keys / "ours.pub").read_text(encoding="utf-8")
    listed = tmp_path / "allowed_signers"
    listed.write_text(line.replace("{key}", public), encoding="utf-8")
    drop.sign(keys / "ours")
    if code:
        assert refused(lambda: verify_drop(drop.folder, listed))[0] == code
    else:
        assert str(verify_drop(drop.folder, listed).signer).endswith("@example.com")


def test_without_ssh_keygen(
    drop: Made, keys: Path, allowed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drop.sign(keys / "ours")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(lambda: verify_drop(drop.folder, allowed)) == (
        7,
        "ssh-keygen is not installed, so no signature can be verified\n"
        "  cause: this device has no OpenSSH client\n"
        "  next:  sudo apt-get install openssh-client",
    )
