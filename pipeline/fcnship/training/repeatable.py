"""The same seed gives the same weights on a GPU, too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def repeatable(*, gpus: bool) -> Iterator[None]:
    """While it lasts, GPUs sum in one order, whichever thread comes first; processors do so anyway.

    No longer than that: it is slower, and what is timed afterwards is to be as fast as it is for others.
    """
    if not gpus:
        yield
        return
    from tensorflow.python.framework import config

    determinism: Any = config
    determinism.enable_op_determinism()
    try:
        yield
    finally:
        determinism.disable_op_determinism()
