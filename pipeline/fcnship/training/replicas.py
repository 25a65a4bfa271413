"""The devices that share each batch: one, several of this machine, or those of several machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.errors import EnvironmentLacks
from fcnship.training.cluster import Cluster
from fcnship.training.joining import joined

_CHUNK = 1 << 24
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """Copies of a network that train together. ``own`` are the places of this process's among all of them."""

    strategy: Any
    count: int = 1
    own: tuple[int, ...] = (0,)
    cluster: Cluster | None = None

    def share(self, images: Array, labels: Array, place: int) -> tuple[Array, Array, Array]:
        """A replica's images, labels and weights of 1; where there are too few, one image that weighs 0."""
        mine = np.array_split(np.arange(len(labels)), self.count)[place]
        weights = np.ones(len(mine), np.float32)
        if not len(mine):
            mine, weights = np.zeros(1, np.int64), np.zeros(1, np.float32)
        if self.count == 1:
            return images, labels, weights
        return images[mine], labels[mine], weights

    def from_chief(self, content: bytes) -> bytes:
        """The chief's ``content``, for every process. All must call it at the same place."""
        if self.cluster is None:
            return content
        mine = content if self.cluster.chief else b""
        size = int(self._sum(np.array([len(mine) >> 16, len(mine) & 0xFFFF], np.float32)) @ [1 << 16, 1])
        parts = []
        for start in range(0, size, _CHUNK):
            part = np.zeros(min(_CHUNK, size - start), np.float32)
            if self.cluster.chief:
                part[:] = np.frombuffer(mine, np.uint8, len(part), start)
            parts.append(self._sum(part).astype(np.uint8).tobytes())
        return b"".join(parts)

    def _sum(self, values: Array) -> Array:
        """The sum over all processes. Zeros from all but the chief: the chief's numbers, to the bit."""
        tf, first = _tensorflow(), self.own[0]

        # Collective operations are numbered as they are traced: every process traces this one each time.
        @tf.function  # type: ignore[untyped-decorator]
        def summed(own: Any) -> Any:
            def one() -> Any:
                context = tf.distribute.get_replica_context()
                # An operation of its own: the argument itself lies on no device that could be asked for.
                mine = tf.identity(own) if _place(tf, context) == first else tf.zeros_like(own)
                return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

            return self.strategy.experimental_local_results(self.strategy.run(one))[0]

        return np.asarray(summed(tf.constant(values)))

    def place_here(self, tf: Any) -> int:
        """Inside of a replica: its place among this process's."""
        if len(self.own) == 1:
            return 0
        return self.own.index(_place(tf, tf.distribute.get_replica_context()))


def replicas_here(tf: Any, cluster: Cluster | None) -> Replicas:
    """The machines of ``TF_CONFIG``; else all GPUs of this one if it has several; else its one device.

    Raises:
        DeviceError: another machine was lost.
    """
    if cluster is not None:
        return _replicas_of(tf, joined(tf, cluster), cluster)
    gpus = tf.config.list_logical_devices("GPU") if len(tf.config.list_physical_devices("GPU")) > 1 else []
    return mirrored(tf, [gpu.name for gpu in gpus]) if gpus else one_device(tf)


def one_device(tf: Any) -> Replicas:
    """The whole batch on one device."""
    return Replicas(strategy=tf.distribute.get_strategy())


def mirrored(tf: Any, devices: Sequence[str]) -> Replicas:
    """Several devices of this machine."""
    return _replicas_of(tf, tf.distribute.MirroredStrategy(list(devices)), None)


def _replicas_of(tf: Any, strategy: Any, cluster: Cluster | None) -> Replicas:
    own: list[int] = []

    def noted(context: Any) -> Any:
        own.append(int(context.replica_id_in_sync_group))
        return tf.zeros([])

    strategy.experimental_distribute_values_from_function(noted)
    return Replicas(strategy=strategy, count=strategy.num_replicas_in_sync, own=tuple(own), cluster=cluster)


def check_unused() -> None:
    """Refuse a process that cannot join others, while the others can still be spared the wait.

    Raises:
        EnvironmentLacks: TensorFlow has computed something in it.
    """
    from tensorflow.python.eager import context

    process: Any = context.context()
    if process._context_handle is not None:
        raise EnvironmentLacks(
            "TensorFlow cannot be told of other machines any more",
            cause="it has computed something in this process before",
            next="start the training in a new process: fcnship train",
        )


def _place(tf: Any, context: Any) -> int:
    return int(tf.get_static_value(context.replica_id_in_sync_group))


def _tensorflow() -> Any:
    import tensorflow as tf

    return tf
