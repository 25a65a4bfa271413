"""Several devices and several machines train what one trains; one that is lost ends the others, clearly."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import command, fcnship, files, read
from trainings import recipe, weights

from fcnship.runs import named_session, options_from
from fcnship.stages.fitted import aside, kept_inputs
from fcnship.stages.train import Train
from fcnship.training.cluster import Cluster
from fcnship.training.keeper import CHECKPOINT
from fcnship.training.meeting import WAIT, meet

STEPS = 400
TRAIN = ("train", "stateful.py", "--profile", "8-16")
# One that is lost is noticed by TensorFlow at once, or after some missed heartbeats.
NOTICED_WITHIN = 60.0
Worker = subprocess.Popen[str]


def test_two_devices_of_one_machine(tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("mirrored_check.py"))
    done = subprocess.run(
        [sys.executable, script, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of one process."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "stateful.py").write_text(recipe(STEPS, ""), encoding="utf-8")
    assert fcnship(*TRAIN, cwd=folder).returncode == 0
    return folder / "artifacts/stateful"


def addresses() -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return [f"127.0.0.1:{server.getsockname()[1]}" for server in (one, two)]


def started(folder: Path, at: list[str], index: int) -> Worker:
    """One of two workers, in a folder of its own."""
    own = folder / str(index)
    own.mkdir(exist_ok=True)
    (own / "stateful.py").write_text(recipe(STEPS, ""), encoding="utf-8")
    config = {"cluster": {"worker": at}, "task": {"type": "worker", "index": index}}
    return subprocess.Popen(
        command(*TRAIN),
        cwd=own,
        env={**os.environ, "TF_CONFIG": json.dumps(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(worker: Worker) -> tuple[int, str, str]:
    try:
        out, err = worker.communicate(timeout=NOTICED_WITHIN)
    finally:
        worker.kill()
    return worker.returncode, out, err


def kept_step(path: Path) -> int:
    try:
        with np.load(path) as file:
            return int(json.loads(file["about"].tobytes())["standing"]["step"])
    except FileNotFoundError:
        return 0


def kill_one(folder: Path, victim: int) -> None:
    """Kill one of two when the chief has one more checkpoint; the other ends soon and names it."""
    at, path = addresses(), folder / "0/artifacts/stateful" / CHECKPOINT
    workers = [started(folder, at, index) for index in (0, 1)]
    before, end = kept_step(path), time.monotonic() + 120
    while kept_step(path) == before and time.monotonic() < end and workers[victim].poll() is None:
        os.sched_yield()
    workers[victim].kill()
    code, out, err = ended(workers[1 - victim])
    ended(workers[victim])
    assert workers[victim].returncode == -signal.SIGKILL
    assert (code, out) == (9, ""), err
    message = err[err.index("fcnship: ") :]
    assert message.startswith(
        f"fcnship: worker {victim} ({at[victim]}) ended or cannot be reached any more, "
        "and training ended with it\n  cause: it failed, was stopped, or the network is down ("
    )
    assert message.endswith(
        "\n  next:  look at what it said, then start the same command on all machines again: "
        "training goes on from the last epoch\n"
    )


def test_two_machines_lose_each_other_and_end_as_one(alone: Path, tmp_path: Path) -> None:
    kill_one(tmp_path, victim=1)
    kill_one(tmp_path, victim=0)
    run = tmp_path / "0/artifacts/stateful"
    step = kept_step(run / CHECKPOINT)
    assert 0 < step < STEPS

    at = addresses()
    workers = [started(tmp_path, at, index) for index in (0, 1)]
    (code, out, err), (follower_code, follower_out, follower_err) = map(ended, workers)
    assert (code, follower_code) == (0, 0), err + follower_err
    assert out == "Everything is in artifacts/stateful\n"
    assert follower_out == ""
    assert follower_err.endswith(
        f"worker 1 of 2 has trained along; the chief ({at[0]}) has the run folder and goes on\n"
    )
    for said in (err, follower_err):
        assert f"goes on after step {step} of {STEPS}\n" in said
        assert f"{STEPS} steps, each shared by 2 devices\n" in said
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["stateful.py"]
    assert files(run) == {"run.json", "keras/model.keras", "keras/history.json"}
    assert_alike(run, alone)


def test_one_that_ends_before_the_first_step(tmp_path: Path) -> None:
    """They have joined, and tell each other the first weights. TensorFlow had taken SIGTERM for itself."""
    at = addresses()
    chief, other = (started(tmp_path, at, index) for index in (0, 1))
    assert chief.stderr
    assert any("training stateful" in line for line in chief.stderr)
    chief.send_signal(signal.SIGTERM)
    code, _, err = ended(other)
    assert (code, ended(chief)[0]) == (9, 143), err
    # The chief may answer for a moment still: then it has no name.
    gone = rf"fcnship: (worker 0 \({re.escape(at[0])}\)|another worker) ended or cannot be reached any more"
    assert re.search(gone, err)
    assert "Traceback" not in err


def assert_alike(run: Path, alone: Path) -> None:
    """The losses of each point of the history, and the weights, but for rounding."""
    history, expected = (read(folder / "keras/history.json") for folder in (run, alone))
    assert [row["step"] for row in history] == [row["step"] for row in expected]
    for key in ("loss", "validation_loss"):
        np.testing.assert_allclose(column(history, key), column(expected, key), rtol=1e-3)
    mine, theirs = (weights(folder / "keras/model.keras") for folder in (run, alone))
    for name in theirs:
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-2)


def column(history: list[dict[str, Any]], key: str) -> list[float]:
    return [row[key] for row in history if key in row]


def test_what_is_trained_already_is_not_waited_for(alone: Path) -> None:
    """The chief's build of a whole run trains nothing, and meets nobody."""
    config = {"cluster": {"worker": addresses()}, "task": {"type": "worker", "index": 0}}
    done = fcnship(*TRAIN, cwd=alone.parents[1], TF_CONFIG=json.dumps(config))
    assert done.returncode == 0
    assert re.search(r"^train +unchanged$", done.stderr, re.MULTILINE)


def test_one_that_fails_when_all_have_met_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow would wait for an hour, and neither Ctrl-C nor an exception could end that."""
    monkeypatch.setenv(WAIT, "6")
    at = addresses()
    chief = started(tmp_path, at, 0)
    monkeypatch.setenv(WAIT, "60")
    session = named_session(options_from(tmp_path / "0/stateful.py", {"profile": "8-16"}), None)
    meet(Cluster(addresses=tuple(at), index=1), kept_inputs(Train().inputs(session)))
    code, out, err = ended(chief)
    assert (code, out) == (9, "")
    assert err.endswith(
        f"fcnship: TensorFlow could not join {at[1]} within 6 s\n"
        "  cause: one of them failed just after all had met, or a firewall is between them\n"
        "  next:  look at what it said, then start the same command on all machines again\n"
    )


def test_who_trains_along_loads_the_data_once(tmp_path: Path) -> None:
    (tmp_path / "stateful.py").write_text(recipe(STEPS), encoding="utf-8")
    session = named_session(options_from(tmp_path / "stateful.py", {"profile": "8-16"}), None)
    other = aside(session, tmp_path / "other")
    assert other.data is session.data
    assert other.workspace.root == tmp_path / "other/stateful"


def test_a_wrong_tf_config_is_refused_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "stateful.py").write_text(recipe(STEPS), encoding="utf-8")
    done = fcnship(*TRAIN, cwd=tmp_path, TF_CONFIG="{")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fcnship: TF_CONFIG is no JSON: ")
    assert [path.name for path in tmp_path.iterdir()] == ["stateful.py"]
