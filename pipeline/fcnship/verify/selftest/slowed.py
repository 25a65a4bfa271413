"""A runner that takes a share longer than it has to."""

from __future__ import annotations

import time
from typing import Any

from fcnship.runners import Runner


class Slowed:
    """Waits, busily, after each call, for a share of the time that the call took."""

    def __init__(self, runner: Runner, share: float) -> None:
        self.variant, self._runner, self._share = runner.variant, runner, share
        self.prepare, self.finish, self.close = runner.prepare, runner.finish, runner.close

    def infer(self, prepared: Any) -> Any:
        """One call and the wait."""
        start = time.perf_counter()
        outputs = self._runner.infer(prepared)
        took = time.perf_counter() - start
        end = time.perf_counter() + took * self._share
        while time.perf_counter() < end:
            pass
        return outputs
