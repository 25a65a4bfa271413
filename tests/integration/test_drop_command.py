"""``fcnship drop``: the same bytes each time, signed, whole or not at all; and which runs it refuses."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builds import command, read, sha256
from dropped_runs import RECIPE, held

from fcnship import drop
from fcnship.cli import main
from fcnship.device.verify import verify_drop
from fcnship.errors import AccuracyBelowFloor, ArtifactError, FcnshipError, ParityFailed, UsageError
from fcnship.ship.drop import Drop


@pytest.fixture(scope="module")
def made(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Drop:
    """The drop of that run. For looking only."""
    return drop(small_run, tmp_path_factory.mktemp("made") / "drop")


@pytest.fixture
def copy(small_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to change."""
    return Path(shutil.copytree(small_run.parents[1], tmp_path / "copy")) / "artifacts" / "small"


def test_it_is_the_same_each_time_as_a_folder_and_as_archives(
    made: Drop, small_run: Path, tmp_path: Path
) -> None:
    """Another process, by the command line; and the archives unpack to the same files."""
    words = command("drop", str(small_run), "-o", "again", "--json")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts == {**made.as_json(), "path": "again"}
    assert held(tmp_path / "again") == held(made.path)
    for form in ("tar", "tar.gz"):
        packed = [drop(small_run, tmp_path / f"{name}.{form}").path for name in ("one", "two")]
        assert packed[0].read_bytes() == packed[1].read_bytes()
        with tarfile.open(packed[0]) as archive:
            if hasattr(tarfile, "data_filter"):  # not in the first releases of 3.10 and 3.11
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(tmp_path / form)
        assert held(tmp_path / form) == held(made.path)
        assert verify_drop(packed[0], None).manifest.sha256 == made.release


def test_a_signed_drop_verifies_on_a_device_and_a_changed_one_does_not(
    small_run: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f"maker {(tmp_path / 'key.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    signed = drop(small_run, tmp_path / "drop", sign=key, version="1.4.0", live="int8")
    assert signed.signer and signed.signer.startswith("SHA256:")
    assert (signed.version, signed.live) == ("1.4.0", "int8")
    assert "ssh-keygen -Y verify" in (signed.path / "README.md").read_text(encoding="utf-8")
    assert verify_drop(signed.path, allowed).signer == "maker"
    manifest = signed.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"live": "int8"', b'"live": "fp32"'))
    with pytest.raises(ArtifactError):
        verify_drop(signed.path, allowed)


def commands(readme: str) -> list[str]:
    """The indented blocks of a README, each one shell script."""
    blocks = re.findall(r"(?:^    .*\n(?:^\n(?=    ))?)+", readme, re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


def test_the_readme_s_own_checks_find_what_is_changed(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Followed word by word, the device takes the drop afterwards."""
    monkeypatch.setenv("HOME", str(tmp_path))
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    folder = drop(small_run, tmp_path / "drop", sign=key).path
    readme = (folder / "README.md").read_text(encoding="utf-8")
    signature, hashes, *_ = commands(readme)

    def answer(script: str) -> tuple[int, str]:
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    (tmp_path / "allowed_signers").write_text(
        f"maker {(tmp_path / 'key.pub').read_text(encoding='utf-8')}", encoding="utf-8"
    )
    assert answer(signature)[0] == 0
    assert verify_drop(folder, tmp_path / "allowed_signers").signer == "maker"
    assert {line.split()[1] for line in answer(hashes)[1].splitlines()} == {"True"}
    (folder / "onnx" / "fp32.onnx").write_bytes(b"another")
    assert "onnx/fp32.onnx False" in answer(hashes)[1].splitlines()
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes() + b" ")
    assert answer(signature)[0] != 0


def test_its_own_program_verifies_it_from_another_folder(made: Drop, tmp_path: Path) -> None:
    words = [sys.executable, "-I", str(made.path / "fcnship-device"), "verify", str(made.path)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["ok"], facts["release"]) == (True, made.release)


def test_an_older_drop_is_replaced_whole(made: Drop, small_run: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made.path, tmp_path / "drop"))
    next((out / "golden").iterdir()).unlink()
    again = drop(small_run, out, version="2.0")
    assert again.replaced == made.version
    assert verify_drop(out, None).manifest.version == "2.0"
    assert list(tmp_path.iterdir()) == [out]


def test_the_command_tells_it_in_eighty_columns(
    made: Drop,
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["drop", str(small_run), "-o", "small.tar"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert max(map(len, told)) <= 80
    assert [" ".join(line.split()) for line in told] == [
        f"drop small {made.version}",
        f"release {made.release}",
        "signed no: nobody can tell who made it",
        "precisions fp32, fp16, int8; fp32 goes live",
        "profile 8,8,16@1,1,8",
        f"golden data {made.golden} files, answered by the Keras network",
        f"size {made.bytes / 1000:.0f} kB in {made.files} files",
        *(f"warning {warning}" for warning in made.warnings),
        "written to small.tar",
    ]


def changed_record(run: Path, stage: str, change: Callable[[dict[str, Any]], None]) -> None:
    whole = read(run / "run.json")
    change(next(row for row in whole["stages"] if row["name"] == stage))
    (run / "run.json").write_text(json.dumps(whole), encoding="utf-8")


def refused(run: Path, kind: type[FcnshipError], **options: Any) -> FcnshipError:
    """The error of a drop, which leaves nothing behind."""
    out = run.parent / "drop"
    with pytest.raises(kind) as error:
        drop(run, out, **options)
    assert not out.exists()
    assert not [path for path in run.parent.iterdir() if path != run]
    return error.value


def test_a_stick_that_keeps_no_modes(
    made: Drop, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A double of FAT, which this kernel may lack: it refuses every change of a mode."""

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    assert drop(small_run, tmp_path / "stick").release == made.release
    packed = drop(small_run, tmp_path / "stick.tar").path
    with tarfile.open(packed) as archive:
        modes = {entry.name: entry.mode for entry in archive}
    assert modes.pop("fcnship-device") == 0o755
    assert set(modes.values()) == {0o644}


def test_a_run_that_disagrees_is_refused(copy: Path) -> None:
    rows = read(copy / "validation.json")
    next(row for row in rows["parity"] if row["variant"] == "onnx-fp16")["passed"] = False
    (copy / "validation.json").write_text(json.dumps(rows), encoding="utf-8")

    def restamp(record: dict[str, Any]) -> None:
        row = next(row for row in record["artifacts"] if row["path"] == "validation.json")
        file = copy / "validation.json"
        row |= {"bytes": file.stat().st_size, "sha256": sha256(file)}

    changed_record(copy, "validate", restamp)
    error = refused(copy, ParityFailed)
    assert error.exit_code == 4
    assert error.what.startswith(f"{copy} is not dropped, its report says fail: onnx-fp16 differs from keras")
    assert error.next == f"open {copy / 'report.html'}"


def test_a_run_below_its_floor_is_refused(copy: Path) -> None:
    whole = read(copy / "run.json")
    whole["options"]["min_accuracy"] = 1.0
    (copy / "run.json").write_text(json.dumps(whole), encoding="utf-8")
    error = refused(copy, AccuracyBelowFloor)
    assert error.exit_code == 5
    assert error.what.startswith(f"{copy} is not dropped, its report says fail: ")


def test_a_run_whose_recipe_changed_is_refused(copy: Path) -> None:
    recipe = copy.parents[1] / "small.py"

    recipe.write_text(RECIPE + "\n# another word\n", encoding="utf-8")
    whole = read(copy / "run.json")
    whole["options"] |= {"model": str(recipe), "calibration": str(recipe.with_name("few.toml"))}
    (copy / "run.json").write_text(json.dumps(whole), encoding="utf-8")
    assert str(refused(copy, UsageError)) == (
        f"{copy} is not dropped, it is out of date: train: recipe\n"
        "  cause: that changed since the run was built, and a drop ships what was validated\n"
        "  next:  run the same fcnship build again; fcnship why says what it will redo"
    )


def test_a_damaged_run_is_refused(copy: Path) -> None:
    with (copy / "onnx" / "fp16.onnx").open("ab") as file:
        file.write(b"x")
    error = refused(copy, ArtifactError)
    assert error.what == f"{copy / 'onnx/fp16.onnx'} is not what was built"


def test_a_run_that_was_never_validated_is_refused(copy: Path) -> None:
    whole = read(copy / "run.json")
    whole["stages"] = [row for row in whole["stages"] if row["name"] not in ("validate", "report")]
    (copy / "run.json").write_text(json.dumps(whole), encoding="utf-8")
    assert str(refused(copy, UsageError)) == (
        f"{copy} is not built as far as this needs: validate was never done\n"
        "  cause: the build was stopped or has failed\n"
        "  next:  run the same fcnship build again: it goes on from the last whole stage"
    )


def test_a_precision_that_is_not_there_is_refused(small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        drop(small_run, tmp_path / "drop", live="bf16")
    assert str(error.value) == (
        "--live bf16: the run has no such precision\n"
        "  cause: it was built with --precision fp32,fp16,int8\n"
        "  next:  give one of fp32, fp16, int8, or build again with another --precision"
    )
    assert not (tmp_path / "drop").exists()


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run folder"):
        drop(tmp_path, tmp_path / "drop")


def test_somebody_s_folder_is_left_alone(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"is there already, and is no drop"):
        drop(small_run, tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"]
