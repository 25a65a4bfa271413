"""Optimiser steps over batches whose sizes differ from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fcnship.data.batches import Batches
from fcnship.errors import ModelRefused
from fcnship.frameworks import import_tensorflow
from fcnship.graph.tracing import untraceable

Progress = Callable[[int, int, str], None]
_HISTORY_POINTS = 50
_SMOOTHING = 0.97
_WAITING_BATCHES = 4


def fit(
    model: Any, optimizer: Any, batches: Batches, steps: int, progress: Progress
) -> list[dict[str, float]]:
    """Train in place for ``steps`` steps and give the smoothed loss and accuracy at some 50 of them.

    Raises:
        ModelRefused: the model cannot be traced at any size, or the loss is no longer a number.
    """
    tf = import_tensorflow()
    update = _update_function(tf, model, optimizer)
    every, history = max(steps // _HISTORY_POINTS, 1), []
    loss = accuracy = None
    for step, (images, labels) in enumerate(_dataset(tf, model, batches, steps), start=1):
        step_loss, step_accuracy = (float(value) for value in update(images, labels))
        if not np.isfinite(step_loss):
            raise ModelRefused(
                f"training diverged: the loss became {step_loss} at step {step}",
                cause="the learning rate is too high for this network and data",
                next="lower it in the recipe's optimizer(steps)",
            )
        loss, accuracy = _smooth(loss, step_loss), _smooth(accuracy, step_accuracy)
        if step % every == 0 or step == steps:
            history.append({"step": step, "loss": round(loss, 5), "accuracy": round(accuracy, 5)})
        progress(step, steps, f"loss {loss:.3f}  accuracy {accuracy:.3f}")
    # With use_ema the averaged weights are the trained ones; without it this does nothing.
    optimizer.finalize_variable_values(model.trainable_variables)
    return history


def _dataset(tf: Any, model: Any, batches: Batches, steps: int) -> Any:
    """The batches, made in a thread beside the training."""
    signature = (
        tf.TensorSpec((None, None, None, model.inputs[0].shape[-1]), tf.float32),
        tf.TensorSpec((None,), tf.int32),
    )
    made = tf.data.Dataset.from_generator(lambda: map(batches, range(steps)), output_signature=signature)
    return made.prefetch(_WAITING_BATCHES)


def _update_function(tf: Any, model: Any, optimizer: Any) -> Any:
    import keras

    channels = model.inputs[0].shape[-1]
    signature = [tf.TensorSpec((None, None, None, channels)), tf.TensorSpec((None,), tf.int32)]

    # One trace for all sizes: without the signature each new size would be traced and compiled again.
    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def update(images: Any, labels: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            scores = class_scores(tf, model(images, training=True))
            losses = keras.losses.sparse_categorical_crossentropy(labels, scores)
            loss = tf.reduce_mean(losses) + tf.add_n([tf.constant(0.0), *model.losses])
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        right = tf.argmax(scores, axis=1, output_type=tf.int32) == labels
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))

    optimizer.build(model.trainable_variables)
    try:
        update.get_concrete_function()
    except (TypeError, ValueError) as error:
        raise untraceable(model, error) from error
    return update


def class_scores(tf: Any, outputs: Any) -> Any:
    """Scores of an image, (batch, classes): a map of scores is averaged over its cells."""
    return tf.reduce_mean(outputs, axis=(1, 2)) if outputs.shape.rank == 4 else outputs


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else _SMOOTHING * old + (1 - _SMOOTHING) * new
