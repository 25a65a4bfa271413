"""``fcnship deploy`` against a real OpenSSH server on the loopback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploying import Device, with_program
from drops import Made
from sshd import MISSING, Client, Sshd, make_client, serving

from fcnship.errors import ArtifactError, EnvironmentLacks, FcnshipError, ParityFailed, UsageError
from fcnship.events import Silence
from fcnship.workspace import StageRecord

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
Pair = tuple[Made, Made]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return make_client(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def server(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("server"), client) as server:
        yield server


@pytest.fixture(scope="module")
def ready(drops: Pair, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The two drops, each with the real fcnship-device. For looking only."""
    folder = tmp_path_factory.mktemp("ready")
    one, two = (drop.copy(folder / name) for drop, name in zip(drops, ("one", "two"), strict=True))
    return with_program(one), with_program(two)


@pytest.fixture
def device(client: Client, server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """An empty store, and a process that is the client."""
    for name, value in client.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Device(client=client, server=server, root=tmp_path / "root", cwd=tmp_path)


def test_deployed_again_upgraded_and_rolled_back(device: Device, ready: Pair) -> None:
    first, second = ready
    before = device.server.logins
    found = device.deploy(first.folder)
    assert device.server.logins == before + 1, "one connection is one authentication"
    assert found.device and found.changed and device.live == first.release == found.release
    assert set(found.sent) == {f["path"] for f in first.manifest["files"]} | {"manifest.json"}
    assert [row["passed"] for row in found.device["parity"]] == [True, True]
    assert not (device.root / "incoming").exists()

    again = device.deploy(first.folder)
    assert (again.changed, again.sent, again.sent_bytes) == (False, (), 0)

    upgraded = device.deploy(second.folder)
    assert upgraded.changed and upgraded.previous == first.release and device.live == second.release
    same = {"fcnship-device", "README.md"}
    assert not same & set(upgraded.sent) and upgraded.reused == len(same)

    back = device.deploy(first.folder)
    assert back.changed and not back.sent and device.live == first.release


def test_a_tar_is_deployed_like_its_folder(device: Device, ready: Pair, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "drop"), "gztar", ready[0].folder)
    assert device.deploy(Path(archive)).release == ready[0].release == device.live


def test_a_dry_run_changes_nothing(device: Device, ready: Pair) -> None:
    found = device.deploy(ready[0].folder, dry_run=True)
    assert found.dry_run and found.changed and found.device is None
    assert len(found.sent) == len(ready[0].manifest["files"]) + 1 and found.sent_bytes > 0
    assert not device.root.exists()


def test_what_a_person_sees(device: Device, ready: Pair) -> None:
    told = device.command(ready[0].folder, "--dry-run")
    assert told.returncode == 0 and "nothing; this release would go live" in told.stdout
    assert not device.root.exists()
    done = device.command(ready[0].folder)
    assert done.returncode == 0, done.stderr
    for step in ("verify", "connect", "upload", "install"):
        assert f"\n{step:<10} done in " in f"\n{done.stderr}"
    assert "this release, instead of nothing" in done.stdout
    assert "onnxruntime, fp32" in done.stdout
    assert "agrees: largest error" in done.stdout


def test_a_parity_that_fails_leaves_the_old_release_live(device: Device, ready: Pair, tmp_path: Path) -> None:
    device.deploy(ready[0].folder)
    wrong = ready[1].copy(tmp_path / "wrong")
    shutil.copy(ready[0].folder / "onnx/fp32.onnx", wrong.folder / "onnx/fp32.onnx")
    wrong.rewrite()
    done = device.command(wrong.folder, "--json")
    assert done.returncode == ParityFailed.exit_code
    assert device.live == ready[0].release
    found = json.loads(done.stdout)
    assert found["device"]["error"]["exit"] == ParityFailed.exit_code
    assert not all(row["passed"] for row in found["device"]["parity"])
    assert "\nfcnship: 127.0.0.1: " in done.stderr


def test_the_devices_own_refusal_is_ours(device: Device, ready: Pair, tmp_path: Path) -> None:
    foreign = ready[0].copy(tmp_path / "foreign")
    foreign.rewrite(lambda manifest: manifest["requires"].update(architectures=["riscv64"]))
    with pytest.raises(FcnshipError, match=r"^127\.0\.0\.1: ") as caught:
        device.deploy(foreign.folder)
    told = caught.value.run.device["error"]
    assert caught.value.exit_code == told["exit"] > 1
    assert (caught.value.cause, caught.value.next) == (told["cause"], told["next"])
    assert device.live is None


def test_precision_and_backend_are_passed_on(device: Device, ready: Pair) -> None:
    found = device.deploy(ready[0].folder, precision="fp16", backend="onnxruntime")
    assert found.device and found.precision == "fp16"
    assert (found.device["precision"], found.device["backend"]) == ("fp16", "onnxruntime")
    with pytest.raises(EnvironmentLacks):
        device.deploy(ready[0].folder, backend="tensorrt")
    with pytest.raises(UsageError, match="holds no int8"):
        device.deploy(ready[0].folder, precision="int8")


def test_a_changed_file_is_never_sent(device: Device, ready: Pair, tmp_path: Path) -> None:
    changed = ready[0].copy(tmp_path / "changed")
    with (changed.folder / "README.md").open("a") as file:
        file.write("!")
    with pytest.raises(ArtifactError) as caught:
        device.deploy(changed.folder)
    assert "README.md" in caught.value.cause
    assert not device.root.exists()


def test_a_device_that_takes_signed_drops_alone(
    device: Device, ready: Pair, keys: Path, tmp_path: Path
) -> None:
    device.root.mkdir()
    shutil.copy(keys / "allowed_signers", device.root)
    with pytest.raises(ArtifactError, match="takes signed drops alone"):
        device.deploy(ready[0].folder)
    assert not (device.root / "incoming").exists(), "refused before anything was sent"

    signed = ready[0].copy(tmp_path / "signed")
    # A program that tells whether it was run: it must not be, before the signature was found good.
    (signed.folder / "fcnship-device").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    signed.rewrite().sign(keys / "theirs")
    with pytest.raises(ArtifactError, match="not among its allowed signers"):
        device.deploy(signed.folder)
    signed.sign(keys / "ours", namespace="file")
    with pytest.raises(ArtifactError, match="does not fit the manifest, or is not for drops"):
        device.deploy(signed.folder)
    assert not (tmp_path / "ran").exists()

    good = device.deploy(ready[0].copy(tmp_path / "good").sign(keys / "ours").folder)
    assert good.device and good.device["signer"] == "release@example.com"


def test_what_lies_there_is_not_believed(device: Device, ready: Pair) -> None:
    """Files of an earlier upload that are not what they should be are sent again; strangers go."""
    incoming = device.root / "incoming" / ready[0].release
    incoming.mkdir(parents=True)
    (incoming / "fcnship-device").write_bytes(b"#!/bin/sh\necho wrong\n")
    (incoming / "README.md.part").write_bytes(b"something else")
    (incoming / "stranger").write_bytes(b"?")
    found = device.deploy(ready[0].folder)
    assert {"fcnship-device", "README.md"} <= set(found.sent) and device.live == ready[0].release


class Tampering(Silence):
    """Changes a file on the device as soon as all of them are there."""

    def __init__(self, file: Path, text: str) -> None:
        self._file, self._text = file, text

    def stage_ended(self, record: StageRecord) -> None:
        if record.name == "upload":
            self._file.write_text(self._text, encoding="utf-8")


@pytest.mark.parametrize("name", ["fcnship-device", "manifest.json"])
def test_what_is_executed_is_what_was_verified(
    device: Device, ready: Pair, tmp_path: Path, name: str
) -> None:
    file = device.root / "incoming" / ready[0].release / name
    with pytest.raises(ArtifactError, match="is not what was sent"):
        device.deploy(ready[0].folder, events=Tampering(file, f"open({str(tmp_path / 'ran')!r}, 'w')"))
    assert not (tmp_path / "ran").exists() and device.live is None
    assert device.deploy(ready[0].folder).sent == (name,)


def test_a_damaged_release_is_sent_again(device: Device, ready: Pair) -> None:
    device.deploy(ready[0].folder)
    network = device.root / "releases" / ready[0].release / "onnx" / "fp32.onnx"
    network.chmod(0o644)
    network.write_bytes(b"damaged")
    assert device.deploy(ready[0].folder).sent == ("onnx/fp32.onnx",)
    assert network.read_bytes() == (ready[0].folder / "onnx" / "fp32.onnx").read_bytes()
