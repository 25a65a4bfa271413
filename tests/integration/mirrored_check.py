"""Run by test_distributed.py in a process of its own: two devices of this machine against one."""

from __future__ import annotations

import sys
from pathlib import Path

from fcnship.frameworks import import_tensorflow

tf = import_tensorflow()
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

import numpy as np  # noqa: E402
from trainings import Trained, network, trained  # noqa: E402

from fcnship.training.replicas import mirrored  # noqa: E402


def losses(done: Trained) -> list[float]:
    return [row["loss"] for row in done.standing.history]


def main(folder: Path) -> None:
    replicas = mirrored(tf, ["CPU:0", "CPU:1"])
    assert (replicas.count, replicas.own) == (2, (0, 1))

    # Without random layers, and without normalisation over a share, two devices do what one does.
    one = trained(net=lambda: network(random=False))
    two = trained(net=lambda: network(random=False), replicas=replicas)
    np.testing.assert_allclose(losses(two), losses(one), atol=2e-5)
    for mine, theirs in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(mine.view(np.float32), theirs.view(np.float32), atol=1e-4)

    # With them, a training that was stopped still ends as if it had not been.
    whole = trained(replicas=replicas)
    try:
        trained(folder, replicas=replicas, stop_at=37)
    except KeyboardInterrupt:
        print("stopped")
    assert trained(folder, replicas=replicas) == whole


if __name__ == "__main__":
    main(Path(sys.argv[1]))
