"""Commands that are stopped from outside, and a data set that cannot be fetched: each in its own process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builds import TINY, command, fcnship, files, outcomes, records

# Trains for hours, until there is a file called ``quick``: the recipe itself stays the same. With the
# first step there is a file called ``training``.
SLOW = (
    TINY.replace("import keras\n", "import os\n\nimport keras\nimport tensorflow as tf\n")
    .replace('{"steps": 3,', '{"steps": 3 if os.path.exists("quick") else 10**9,')
    .replace("Adam(1e-3)", "Adam(Rate())")
    + """

class Rate(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        if not tf.executing_eagerly():
            tf.py_function(lambda: open("training", "w").close(), [], [])
        return 1e-3
"""
)
TRAIN = ("train", "slow.py", "--profile", "8-16")
# A job in the background inherits that Ctrl-C is ignored; these tests may run in one.
LISTENING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
# Nobody listens on port 9: with this proxy there is no network, wherever the test runs.
NOBODY = "http://127.0.0.1:9"
GOES_ON = (
    "  next:  run the same command again: it goes on from the last finished stage,\n"
    "         a training from its last checkpoint\n"
)


def started(folder: Path) -> subprocess.Popen[str]:
    """A command that has just begun to train."""
    (folder / "slow.py").write_text(SLOW, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENING, *command(*TRAIN)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "training slow on digits" in line:
            break
    while process.poll() is None and not (folder / "training").exists():
        time.sleep(0.01)
    return process


@pytest.mark.parametrize(
    ("sent", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_stopped_training_leaves_a_checkpoint_alone(
    sent: signal.Signals, code: int, name: str, tmp_path: Path
) -> None:
    with started(tmp_path) as process:
        process.send_signal(sent)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()  # or a training that does not stop would be waited for
    assert process.returncode == code
    assert out == ""
    told = [line for line in err.splitlines(keepends=True) if not re.match(r"train +\d+ of ", line)]
    kept, message = told[0].rstrip("\n"), "".join(told[1:])
    assert re.fullmatch(r"train      stopped after step \d+ of 1000000000, which is kept", kept)
    assert message == f"fcnship: stopped by {name}\n{GOES_ON}"
    run = tmp_path / "artifacts" / "slow"
    assert files(run) == {"keras/checkpoint.npz"}

    # Of three steps it is another training: test_resume.py goes on with the same one.
    (tmp_path / "quick").touch()
    done = fcnship(*TRAIN, cwd=tmp_path)
    assert (done.returncode, outcomes(done)) == (0, {"train": "done"})
    assert "keras/checkpoint.npz is of another training (the number of steps changed)" in done.stderr
    assert files(run) == {"run.json", "keras/model.keras", "keras/history.json"}
    assert records(run)["train"]["status"] == "done"


def test_a_killed_training_leaves_what_the_next_one_clears(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        process.kill()
    run = tmp_path / "artifacts" / "slow"
    assert "run.json" not in files(run)
    (tmp_path / "quick").touch()
    assert fcnship(*TRAIN, cwd=tmp_path).returncode == 0
    assert files(run) == {"run.json", "keras/model.keras", "keras/history.json"}


def test_mnist_without_a_network_names_the_file_to_put_there(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    home = tmp_path / "keras home"
    start = time.monotonic()
    done = fcnship(
        *("build", "tiny.py", "--profile", "8-16", "--data", "mnist", "--json"),
        cwd=tmp_path,
        http_proxy=NOBODY,
        https_proxy=NOBODY,
        KERAS_HOME=str(home),
    )
    assert time.monotonic() - start < 60
    assert (done.returncode, done.stdout) == (3, "")
    message = done.stderr[done.stderr.index("fcnship: ") :].splitlines()
    assert message[0].startswith("fcnship: the data set mnist could not be fetched: ")
    assert message[1:] == [
        "  cause: there is no network here, or the server does not answer",
        f"  next:  put {home}/datasets/mnist.npz there by hand, or use --data digits",
    ]
    assert "Traceback" not in done.stderr
    assert [path.name for path in home.rglob("*") if path.is_file()] in ([], ["keras.json"])
