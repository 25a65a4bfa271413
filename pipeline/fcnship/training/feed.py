"""The batches, made in threads beside the training, in the order of their steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fcnship.data.batches import Batches
from fcnship.machine import cores
from fcnship.training.replicas import Replicas
from fcnship.training.update import signature_of

_WAITING_BATCHES = 4


def fed(
    tf: Any, channels: int, batches: Batches, steps: range, replicas: Replicas
) -> Iterator[tuple[Any, ...]]:
    """For each of the steps the parts of its batch (see ``signature_of``) that this process works on.

    Raises:
        FcnshipError: what ``batches`` raised.
    """
    signature = signature_of(tf, channels, replicas)
    raised: list[Exception] = []

    def made(step: Any) -> list[Any]:
        try:
            images, labels = batches(int(step))
        except Exception as error:
            raised.append(error)
            raise
        shares = [replicas.share(images, labels, place) for place in replicas.own]
        return [tf.constant(float(len(labels))), *(part for share in shares for part in share)]

    def parts_of(step: Any) -> Any:
        # Not stateful, so that several may be made at once: a batch hangs on its step alone.
        parts = tf.numpy_function(made, [step], [part.dtype for part in signature], stateful=False)
        for part, kind in zip(parts, signature, strict=True):
            part.set_shape(kind.shape)
        return tuple(parts)

    # However many threads decode, the batches come in the order of their steps.
    dataset = tf.data.Dataset.range(steps.start, steps.stop)
    dataset = dataset.map(parts_of, num_parallel_calls=cores(), deterministic=True)
    waiting = iter(dataset.prefetch(_WAITING_BATCHES))
    for _ in steps:
        try:
            parts = next(waiting)
        except tf.errors.OpError:
            # TensorFlow knows what Python raised only as a text.
            if raised:
                raise raised[0] from None
            raise
        yield parts
