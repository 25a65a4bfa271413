"""What it means when a training fails."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fcnship.errors import FcnshipError, ModelRefused
from fcnship.graph.surgery.values import array_of
from fcnship.training.cluster import Cluster
from fcnship.training.joining import lost

_LOWER = "lower it in the recipe's optimizer(steps), or let its gradients be clipped (global_clipnorm=1.0)"


@contextlib.contextmanager
def told(tf: Any, network: str, cluster: Cluster | None) -> Iterator[None]:
    """TensorFlow's errors come out in words; those that the driver knows better come out unchanged.

    Raises:
        DeviceError: another machine was lost.
        ModelRefused: the network cannot be trained on this GPU.
    """
    try:
        yield
    except Exception as error:
        # Machines tell each other the first weights while a recipe's own code makes them.
        source = error.__cause__ if isinstance(error, ModelRefused) else error
        failure = failure_of(tf, source, network, cluster)
        if failure is None:
            raise
        raise failure from source


def failure_of(tf: Any, error: Any, network: str, cluster: Cluster | None) -> FcnshipError | None:
    """What an error of TensorFlow's says; None where it is this machine's own, and the driver's to tell."""
    if not isinstance(error, tf.errors.OpError):
        return None
    kinds = ("ResourceExhaustedError", "InvalidArgumentError", "UnimplementedError", "NotFoundError")
    own = isinstance(error, tuple(getattr(tf.errors, kind) for kind in kinds))
    if own and "Collective ops is aborted" not in str(error):
        return _not_repeatable(network, error) if "determinis" in str(error).lower() else None
    return lost(cluster, error) if cluster else None


def _not_repeatable(network: str, error: BaseException) -> ModelRefused:
    why = next(line for line in str(error).splitlines() if "determinis" in line.lower())
    return ModelRefused(
        f"{network} cannot be trained on this GPU so that one seed gives the same weights: {why[:200]}",
        cause="a layer of it (RandomContrast, or Resizing among others) has no such implementation there",
        next="train it on the processors, by CUDA_VISIBLE_DEVICES= before the command, or replace the layer",
    )


def check_loss(loss: float, step: int) -> None:
    """Refuse a loss that is no number.

    Raises:
        ModelRefused: it is not.
    """
    if math.isfinite(loss):
        return
    if step == 1:
        raise ModelRefused(
            f"the network gives no numbers: the loss is {loss} before it has learnt anything",
            cause="it takes a root or logarithm of what may be negative, divides by zero or begins with NaN",
            next="look at what the recipe's model(channels, classes) gives for one image of its VALUE_RANGE",
        )
    raise ModelRefused(
        f"training diverged: the loss became {loss} at step {step}",
        cause="the learning rate is too high for this network and data",
        next=_LOWER,
    )


def check_weights(model: Any) -> None:
    """Refuse a network with NaN or infinity in its weights.

    Raises:
        ModelRefused: the first variable that has it.
    """
    for variable in model.variables:
        if not np.isfinite(array_of(variable)).all():
            raise ModelRefused(
                f"training diverged: {variable.path} has NaN or infinity in it after the last step",
                cause="the learning rate is too high for this network and data",
                next=_LOWER,
            )
