"""Recipes with habits of their own: what must not change the outcome, and what a failed training says."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import TINY
from trainings import network, same_weights, trained

import fcnship
from fcnship.errors import DeviceError, ModelRefused
from fcnship.events import Silence
from fcnship.training import Course
from fcnship.training.cluster import Cluster
from fcnship.training.failures import told
from fcnship.training.repeatable import repeatable

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
FEW = Course(steps=3)
LOWER = "lower it in the recipe's optimizer(steps), or let its gradients be clipped (global_clipnorm=1.0)"


def with_sgd(rate: float, **more: Any) -> tuple[Any, Any]:
    import keras

    return network(random=False)[0], keras.optimizers.SGD(rate, **more)


def refusal(net: Any) -> str:
    with pytest.raises(ModelRefused) as caught:
        trained(plan=FEW, net=net)
    return str(caught.value)


def test_a_scaled_loss_is_scaled_back() -> None:
    import keras

    plain = trained(plan=FEW, net=lambda: with_sgd(0.1))
    for scaled in (
        lambda: with_sgd(0.1, loss_scale_factor=1024.0),
        lambda: (network(random=False)[0], keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))),
    ):
        done = trained(plan=FEW, net=scaled)
        for mine, theirs in zip(done.weights, plain.weights, strict=True):
            np.testing.assert_allclose(mine.view(np.float32), theirs.view(np.float32), atol=1e-6)
        assert done.standing == plain.standing


def test_a_loss_that_becomes_nan(tmp_path: Path) -> None:
    assert refusal(lambda: with_sgd(1e30)) == (
        "training diverged: the loss became nan at step 2\n"
        f"  cause: the learning rate is too high for this network and data\n  next:  {LOWER}"
    )


def test_a_network_that_gives_nan_before_it_learns() -> None:
    def net() -> tuple[Any, Any]:
        model, optimizer = network(random=False)
        model.layers[-1].kernel.assign(model.layers[-1].kernel * float("nan"))
        return model, optimizer

    assert refusal(net).startswith(
        "the network gives no numbers: the loss is nan before it has learnt anything\n  cause: it takes"
    )


def test_weights_that_the_last_step_spoils() -> None:
    """No loss tells: it was taken before that step."""
    with pytest.raises(ModelRefused) as caught:
        trained(plan=Course(steps=1), net=lambda: with_sgd(float("inf")))
    assert re.fullmatch(
        r"training diverged: conv2d\w*/kernel has NaN or infinity in it after the last step",
        caught.value.what,
    )
    assert caught.value.next == LOWER


TWO = Cluster(addresses=("127.0.0.1:1", "127.0.0.1:2"), index=0)
AWAY = "worker 1 (127.0.0.1:2) ended or cannot be reached any more, and training ended with it"


def test_what_cannot_be_repeated_on_a_gpu_is_the_network_s_fault() -> None:
    import tensorflow as tf

    op = "A deterministic GPU implementation of AdjustContrastv2 is not currently available."
    for cluster in (None, TWO):
        with pytest.raises(ModelRefused) as caught, told(tf, "net", cluster):
            raise tf.errors.UnimplementedError(None, None, f"Graph execution error:\n\n{op}\n\t [[x]]")
        assert caught.value.what == (
            f"net cannot be trained on this GPU so that one seed gives the same weights: {op}"
        )
        assert "CUDA_VISIBLE_DEVICES= before the command" in caught.value.next


def test_an_error_of_this_machine_s_own_is_not_laid_on_others() -> None:
    import tensorflow as tf

    for cluster in (None, TWO):
        with pytest.raises(tf.errors.ResourceExhaustedError), told(tf, "net", cluster):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        with pytest.raises(ModelRefused, match="recipe"), told(tf, "net", cluster):
            raise ModelRefused("recipe") from tf.errors.InvalidArgumentError(None, None, "no such axis")


def test_a_machine_that_is_lost_is_told_wherever_the_others_are() -> None:
    import tensorflow as tf

    with pytest.raises(DeviceError) as caught, told(tf, "net", TWO):
        # What one machine met comes to the others under its own name.
        raise tf.errors.ResourceExhaustedError(None, None, "Collective ops is aborted by: OOM")
    assert caught.value.what == AWAY
    gone = tf.errors.UnavailableError(None, None, "Collective ops is aborted by: Socket closed")
    with pytest.raises(DeviceError) as caught, told(tf, "net", TWO):
        raise gone
    assert caught.value.what == AWAY
    with pytest.raises(DeviceError) as caught, told(tf, "net", TWO):
        raise ModelRefused("recipe") from gone  # while the recipe makes its first weights
    assert caught.value.what == AWAY
    with pytest.raises(tf.errors.UnavailableError), told(tf, "net", None):
        raise gone


def test_what_a_recipe_draws_when_it_is_loaded_has_the_seed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = "import keras\nfrom keras import layers\n"
    text = TINY.replace(first, first + "\nINITIALIZER = keras.initializers.HeNormal()\n")
    text = text.replace('activation="relu")(x)', 'activation="relu", kernel_initializer=INITIALIZER)(x)')
    Path("own.py").write_text(text, encoding="utf-8")
    files = [
        fcnship.train("own.py", profile="8-16", name=name, seed=seed).folder / "keras/model.keras"
        for name, seed in (("one", 4), ("other", 4), ("third", 5))
    ]
    assert same_weights(files[0], files[1])
    assert not same_weights(files[0], files[2])


def test_a_gpu_is_told_to_repeat_itself_while_it_trains_and_no_longer() -> None:
    from tensorflow.python.framework import config

    enabled: Any = config.is_op_determinism_enabled
    with repeatable(gpus=False):
        assert not enabled()
    with contextlib.suppress(KeyboardInterrupt), repeatable(gpus=True):
        assert enabled()
        raise KeyboardInterrupt
    assert not enabled()


class Heard(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_loss_of_its_own_is_told_to_be_left_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(TINY + "\n\ndef loss(labels, scores):\n    1 / 0\n", encoding="utf-8")
    heard = Heard()
    fcnship.train("own.py", profile="8-16", events=heard)
    assert heard.said[-1] == "own.py: its loss is not used: training is by the cross-entropy of classes"


def test_outputs_of_another_type_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = TINY.replace('activation="softmax"', 'activation="softmax", dtype="float16"')
    Path("half.py").write_text(text, encoding="utf-8")
    with pytest.raises(ModelRefused) as caught:
        fcnship.train("half.py", profile="8-16")
    assert str(caught.value) == (
        "half.py: the model's outputs are float16, not float32\n"
        "  cause: the recipe sets a policy like mixed_float16, or a dtype of its last layer\n"
        "  next:  leave it out, and let fcnship narrow the trained network: --precision fp16"
    )
