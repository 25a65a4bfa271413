"""A training that is stopped or killed goes on from its checkpoint and ends as if nobody had disturbed it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import command, fcnship, files, read
from trainings import Trained, batches, course, network, recipe, same_weights, trained

from fcnship.training.keeper import CHECKPOINT

STEPS = 300
TRAIN = ("train", "stateful.py", "--profile", "8-16")
PATIENCE = 120.0


@pytest.fixture(scope="module")
def undisturbed() -> Trained:
    return trained()


@pytest.mark.parametrize("step", [1, 37, 60])
def test_ctrl_c_leaves_a_checkpoint_of_its_step(step: int, undisturbed: Trained, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_at=step)
    gone_on = trained(tmp_path)
    assert gone_on == undisturbed
    assert gone_on.said == [f"goes on after step {step} of 60"]


def test_between_two_of_an_optimiser_s_own_steps(tmp_path: Path) -> None:
    """It adds up the gradients of several batches, and has some of them when it is stopped."""

    def net() -> tuple[Any, Any]:
        import keras

        return network()[0], keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=4)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_at=34, net=net)
    assert trained(tmp_path, net=net) == trained(net=net)


def test_stopped_again_and_again(undisturbed: Trained, tmp_path: Path) -> None:
    for step in (7, 8, 50):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, stop_at=step)
    assert trained(tmp_path) == undisturbed


def test_a_handler_that_only_looks_lets_training_go_on(undisturbed: Trained, tmp_path: Path) -> None:
    looked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: looked.append(number))
    try:
        done = trained(tmp_path, stop_at=23, number=signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (done, looked) == (undisturbed, [signal.SIGTERM])


def test_a_signal_that_is_ignored_stays_so(undisturbed: Trained, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert trained(tmp_path, stop_at=23) == undisturbed
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_inputs_begin_anew(undisturbed: Trained, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_at=23, inputs={"recipe": "r", "data": "other", "seed": "1"})
    done = trained(tmp_path, inputs={"recipe": "r", "data": "d"})
    assert done == undisturbed
    assert done.said == [f"{CHECKPOINT} is of another training (data, seed changed): training starts anew"]


def test_another_number_of_steps_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_at=23)
    done = trained(tmp_path, plan=course(steps=20))
    assert done == trained(plan=course(steps=20))
    assert done.said == [
        f"{CHECKPOINT} is of another training (the number of steps changed): training starts anew"
    ]


def test_a_damaged_checkpoint_is_told_and_not_used(undisturbed: Trained, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_at=23)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-1000])
    done = trained(tmp_path)
    assert done == undisturbed
    assert done.said == [f"{CHECKPOINT} is damaged (File is not a zip file): training starts anew"]


def test_a_checkpoint_of_another_network_is_not_used(undisturbed: Trained, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_at=23)
    path = tmp_path / CHECKPOINT
    with np.load(path) as file:
        arrays = dict(file)
    arrays["v0"] = arrays["v0"][:-4]
    np.savez(path, **arrays)
    done = trained(tmp_path)
    assert done == undisturbed
    assert "is damaged (cannot reshape" in done.said[0]


def test_it_ends_early_and_keeps_the_best_weights(tmp_path: Path) -> None:
    plan = course(steps=200, patience=2)
    done = trained(plan=plan)
    looks = [row for row in done.standing.history if "validation_loss" in row]
    assert done.standing.step == looks[-1]["step"] < 200
    assert [row["best"] for row in looks[-3:]] == [True, False, False]
    assert done.standing.best_step == looks[-3]["step"]
    # The very weights of a training that came no further.
    shorter = trained(plan=course(steps=done.standing.best_step, patience=2))
    assert all(np.array_equal(a, b) for a, b in zip(done.weights, shorter.weights, strict=True))
    for step in (done.standing.best_step, done.standing.step):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, plan=plan, stop_at=step)
        assert trained(tmp_path, plan=plan) == done
        (tmp_path / CHECKPOINT).unlink()


def checkpointed(folder: Path) -> None:
    """Train, and kill it at any moment after its first checkpoint."""
    process = subprocess.Popen(
        command(*TRAIN), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    path, end = folder / "artifacts/stateful" / CHECKPOINT, time.monotonic() + PATIENCE
    with process:
        while not path.exists() and process.poll() is None and time.monotonic() < end:
            os.sched_yield()
        time.sleep(random.uniform(0, 0.5))
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_killed_in_another_process(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stateful.py").write_text(recipe(STEPS), encoding="utf-8")
    assert fcnship(*TRAIN, cwd=tmp_path / "whole").returncode == 0
    checkpointed(tmp_path / "killed")

    run, whole = (tmp_path / name / "artifacts/stateful" for name in ("killed", "whole"))
    why = fcnship("why", *TRAIN[1:], "--json", cwd=tmp_path / "killed")
    first, kept = json.loads(why.stdout)["stages"]["train"]
    assert first["now"] == "never built"
    assert kept["input"] == "checkpoint"
    assert kept["now"].startswith("training goes on after step ")
    step = int(kept["now"].split()[5])
    assert 0 < step < STEPS
    assert step % (STEPS // 20) == 0

    done = fcnship(*TRAIN, cwd=tmp_path / "killed")
    assert done.returncode == 0
    assert f"train      goes on after step {step} of {STEPS}" in done.stderr
    assert same_weights(run / "keras/model.keras", whole / "keras/model.keras")
    assert read(run / "keras/history.json") == read(whole / "keras/history.json")
    assert files(run) == {"run.json", "keras/model.keras", "keras/history.json"}


def test_the_data_of_these_tests_can_be_learnt(undisturbed: Trained) -> None:
    """Else the same weights would prove nothing."""
    first, last = undisturbed.standing.history[0], undisturbed.standing.history[-1]
    assert last["loss"] < first["loss"] - 0.1
    assert not np.array_equal(batches(1)[0], batches(2)[0])
