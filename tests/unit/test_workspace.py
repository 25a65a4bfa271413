"""A run's folder: whole files or none, one holder at a time, and records that can be trusted."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fcnship.errors import ArtifactError, FcnshipError, UsageError
from fcnship.hashing import sha256_of_file
from fcnship.workspace import Artifact, StageRecord, Workspace

OPTIONS = {"seed": 0}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "run")


def refusal(kind: type[FcnshipError], workspace: Workspace) -> str:
    with pytest.raises(kind) as caught, workspace.locked():
        pass
    return str(caught.value)


def files(workspace: Workspace) -> list[str]:
    return sorted(p.relative_to(workspace.root).as_posix() for p in workspace.root.rglob("*") if p.is_file())


def record(workspace: Workspace, *files: str, **more: Any) -> StageRecord:
    row: dict[str, Any] = {"name": "train", "status": "done", "seconds": 1.5, **more}
    return StageRecord(artifacts=workspace.artifacts(*files), **row)


# Writing


def test_a_file_appears_with_its_whole_text(workspace: Workspace) -> None:
    workspace.write_text("deep/er/file.txt", "groß\n")
    assert workspace.path("deep/er/file.txt").read_bytes() == "groß\n".encode()
    assert files(workspace) == ["deep/er/file.txt"]


def test_nothing_is_seen_before_the_block_ends(workspace: Workspace) -> None:
    workspace.write_text("file", "old")
    with workspace.writing("file") as path:
        path.write_text("new")
        assert workspace.path("file").read_text() == "old"
        assert path.parent.parent == workspace.root  # one file system, so that the rename is atomic
    assert workspace.path("file").read_text() == "new"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_raises_leaves_the_old_file(workspace: Workspace, kind: type[BaseException]) -> None:
    workspace.write_text("file", "old")
    with pytest.raises(kind), workspace.writing("file") as path:
        path.write_text("half")
        raise kind
    assert workspace.path("file").read_text() == "old"
    assert files(workspace) == ["file"]


def test_a_folder_is_replaced_as_a_whole(workspace: Workspace) -> None:
    for names in (["a", "sub/b"], ["c"]):
        with workspace.writing("folder") as path:
            for name in names:
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_text(name)
        assert files(workspace) == [f"folder/{name}" for name in names]


def test_a_folder_that_fails_leaves_the_old_one(workspace: Workspace) -> None:
    with workspace.writing("folder") as path:
        path.mkdir()
        (path / "old").touch()
    with pytest.raises(ValueError, match="no"), workspace.writing("folder") as path:
        path.mkdir()
        (path / "new").touch()
        raise ValueError("no")
    assert files(workspace) == ["folder/old"]


def test_a_file_takes_a_folder_s_place_and_a_folder_a_file_s(workspace: Workspace) -> None:
    with workspace.writing("it") as path:
        path.mkdir()
        (path / "inside").touch()
    workspace.write_text("it", "a file")
    assert files(workspace) == ["it"]
    with workspace.writing("it") as path:
        path.mkdir()
        (path / "inside").touch()
    assert files(workspace) == ["it/inside"]


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from fcnship.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
with workspace.locked(), workspace.writing("file") as path:
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_the_old_file_and_the_next_holder_clears_up(workspace: Workspace) -> None:
    workspace.write_text("file", "old")
    done = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(workspace.root)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert workspace.path("file").read_text() == "old"
    assert any(".fcnship-tmp-" in name for name in files(workspace))
    with workspace.locked():
        assert files(workspace) == [".lock", "file"]


# Locking


HOLD = """
import sys
from pathlib import Path
from fcnship.workspace import Workspace
with Workspace(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_build_is_refused_until_the_first_one_dies(workspace: Workspace) -> None:
    command = [sys.executable, "-c", HOLD, str(workspace.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ArtifactError) as caught, workspace.locked():
            pass
        assert caught.value.exit_code == 8
        assert str(caught.value) == (
            f"{workspace.root} is in use by another build (process {holder.pid})\n"
            "  cause: two builds of one name would overwrite each other's files\n"
            "  next:  wait for it to end, or give this one another --name"
        )
        holder.kill()
    with workspace.locked():
        assert workspace.path(".lock").read_text() == str(os.getpid())


def test_the_holder_is_named_only_where_it_is_known(workspace: Workspace) -> None:
    workspace.root.mkdir()
    with workspace.path(".lock").open("w") as lock:
        lock.write("no number")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert refusal(ArtifactError, workspace).startswith(f"{workspace.root} is in use by another build\n")


def test_the_lock_ends_with_the_block(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="no"), workspace.locked():
        raise ValueError("no")
    with workspace.locked():
        pass


CANNOT = (
    "  cause: it is read-only, its name is too long, or something on the way to it is no folder\n"
    "  next:  name a folder that you may write with --out"
)


def test_a_read_only_run_is_not_answered_with_an_option_of_another_command(workspace: Workspace) -> None:
    workspace.root.mkdir()
    workspace.write_text("run.json", "{}")
    workspace.root.chmod(0o555)
    assert refusal(UsageError, workspace).endswith(
        "  next:  change its permissions, or go on in a copy of it"
    )


def test_a_read_only_folder(workspace: Workspace) -> None:
    workspace.root.mkdir()
    workspace.root.chmod(0o555)
    told = refusal(UsageError, workspace)
    assert told.endswith(CANNOT)
    assert told.startswith(f"cannot write to {workspace.root}: ")
    assert files(workspace) == []


def test_a_file_where_the_folder_should_be(workspace: Workspace) -> None:
    workspace.root.touch()
    assert refusal(UsageError, workspace) == f"cannot write to {workspace.root}: File exists\n{CANNOT}"


def test_a_file_on_the_way_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = refusal(UsageError, Workspace(tmp_path / "file" / "run"))
    assert told == f"cannot write to {tmp_path}/file/run: Not a directory\n{CANNOT}"


def test_a_folder_where_the_lock_should_be(workspace: Workspace) -> None:
    workspace.path(".lock").mkdir(parents=True)
    assert refusal(UsageError, workspace) == f"cannot write to {workspace.root}: Is a directory\n{CANNOT}"


# Records


def test_records_come_back_in_order(workspace: Workspace) -> None:
    workspace.write_text("a", "1")
    first = record(workspace, "a", inputs={"seed": "0"}, versions={"keras": "3"}, facts={"n": [1, None]})
    second = record(workspace, name="onnx", status="skipped", reason="none here", seconds=0)
    for each in (first, second, first):
        workspace.write_record(each, OPTIONS)
    assert list(workspace.records().items()) == [("train", first), ("onnx", second)]
    assert workspace.run()["options"] == OPTIONS
    assert workspace.run()["name"] == "run"
    assert first.sha256_of("a") == sha256_of_file(workspace.path("a"))


def test_an_empty_folder_has_no_records(workspace: Workspace) -> None:
    assert workspace.records() == {}
    assert not workspace.root.exists()


def test_a_folder_s_artifacts_are_its_files(workspace: Workspace) -> None:
    workspace.write_text("m/b", "bb")
    workspace.write_text("m/a/c", "")
    found = {artifact.path: artifact.bytes for artifact in workspace.artifacts("m")}
    assert list(found.items()) == [("m/a/c", 0), ("m/b", 2)]


def test_a_new_record_takes_its_predecessor_s_files_away(workspace: Workspace) -> None:
    for name in ("kept", "gone", "folder/gone"):
        workspace.write_text(name, name)
    workspace.write_record(record(workspace, "kept", "gone", "folder"), OPTIONS)
    workspace.write_record(record(workspace, "kept"), OPTIONS)
    assert files(workspace) == ["kept", "run.json"]


def test_a_failed_record_leaves_them(workspace: Workspace) -> None:
    workspace.write_text("model", "trained for an hour")
    workspace.write_record(record(workspace, "model"), OPTIONS)
    workspace.write_record(record(workspace, status="failed", reason="refused"), OPTIONS)
    assert files(workspace) == ["model", "run.json"]


def test_damage_tells_what_is_changed_missing_or_cut_off(workspace: Workspace) -> None:
    names = ("whole", "missing", "longer", "cut", "flipped", "folder")
    for name in names:
        workspace.write_text(name, "content")
    made = record(workspace, *names)
    assert workspace.damage(made) == {}
    workspace.path("missing").unlink()
    workspace.path("longer").write_text("content and more")
    workspace.path("cut").write_text("cont")
    workspace.path("flipped").write_text("c0ntent")
    workspace.path("folder").unlink()
    workspace.path("folder").mkdir()
    changed = "is not what was built"
    assert workspace.damage(made) == {
        "missing": "is missing",
        "longer": changed,
        "cut": changed,
        "flipped": changed,
        "folder": "is missing",
    }


# A damaged run.json

ROW: dict[str, Any] = {
    "name": "train",
    "status": "done",
    "seconds": 1.5,
    "reason": "",
    "inputs": {},
    "artifacts": [{"path": "a", "bytes": 1, "sha256": "0"}],
    "versions": {},
    "facts": {},
}


NO_RECORDS = "it holds no records of stages"


def run_of(*rows: Any, **more: Any) -> str:
    return json.dumps({"schema": "fcnship.run/1", "name": "run", "options": {}, "stages": rows, **more})


def artifact(**more: Any) -> dict[str, Any]:
    return {**ROW, "artifacts": [{"path": "a", "bytes": 1, "sha256": "0", **more}]}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        (run_of(ROW)[:-20], "Expecting ':' delimiter: line 1 column"),
        ("[]", NO_RECORDS),
        ("5", NO_RECORDS),
        ("[" * 100_000, NO_RECORDS),
        ("\xff", "'utf-8' codec can't decode byte 0xff in position 0"),
        ('{"schema": "fcnship.run/1"}', "'stages' is missing"),
        (run_of(5), NO_RECORDS),
        (run_of(stages=None), NO_RECORDS),
        (run_of({**ROW, "artifacts": None}), NO_RECORDS),
        (run_of({**ROW, "more": 1}), NO_RECORDS),
        (run_of({key: ROW[key] for key in ROW if key != "status"}), NO_RECORDS),
        (run_of({**ROW, "status": "maybe"}), "status is 'maybe'"),
        (run_of({**ROW, "seconds": "long"}), "seconds is 'long'"),
        (run_of({**ROW, "inputs": None}), "inputs is None"),
        (run_of({**ROW, "facts": []}), "facts is []"),
        (run_of(artifact(path="../../etc/passwd")), "path is '../../etc/passwd'"),
        (run_of(artifact(path="/etc/passwd")), "path is '/etc/passwd'"),
        (run_of(artifact(path=7)), NO_RECORDS),
    ],
)
def test_a_damaged_run_json(workspace: Workspace, text: str, what: str) -> None:
    workspace.root.mkdir()
    path = workspace.path("run.json")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError) as caught:
        workspace.records()
    assert caught.value.exit_code == 8
    assert caught.value.what.startswith(f"{path} is damaged: ")
    assert what in caught.value.what
    assert str(caught.value).endswith(
        "\n  cause: it was cut off, edited or written by another program"
        f"\n  next:  remove it and build again: rm {path}"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"schema": "fcnship.run/2"}', "its schema is 'fcnship.run/2', this fcnship reads 'fcnship.run/1'"),
        ('{"schema": "mlflow"}', "its schema is 'mlflow', this fcnship reads 'fcnship.run/1'"),
        ("{}", "'schema' is missing"),
    ],
)
def test_another_program_s_run_json_is_not_to_be_removed_lightly(
    workspace: Workspace, text: str, what: str
) -> None:
    workspace.root.mkdir()
    path = workspace.path("run.json")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError) as caught:
        workspace.records()
    assert str(caught.value) == (
        f"{path} is damaged: {what}\n"
        "  cause: another program or another version of fcnship wrote it\n"
        "  next:  name another run folder, or give another --name or --out; remove it if nobody needs it"
    )


def test_a_run_json_below_a_file(workspace: Workspace) -> None:
    """As with ``fcnship why --out FILE``."""
    workspace.root.write_text("a file", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        workspace.records()
    assert str(caught.value) == (
        f"cannot read {workspace.path('run.json')}: Not a directory\n"
        "  cause: it belongs to somebody else, or something on the way to it is no folder\n"
        "  next:  change its permissions, or name another run folder"
    )


def test_a_folder_called_run_json(workspace: Workspace) -> None:
    workspace.path("run.json").mkdir(parents=True)
    with pytest.raises(ArtifactError, match=r"run\.json is damaged: .*Is a directory"):
        workspace.records()


def test_an_artifact_inside_the_folder_is_fine() -> None:
    row = {"path": "deep/er/file..txt", "bytes": 3, "sha256": "ab"}
    assert Artifact.from_json(row) == Artifact(path="deep/er/file..txt", bytes=3, sha256="ab")
