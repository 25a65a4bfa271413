"""For every test: what must be set before anything imports TensorFlow or Keras, and who runs with whom."""

from __future__ import annotations

import random
import signal
from typing import Any

import pytest

from fcnship.frameworks import prepare

prepare()
# What a shell runs in the background ignores Ctrl-C, and with nohup a lost line, and hands that on; tests
# send both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Files whose tests look at one thing that takes long to make. The longest comes first, what waits comes last.
TOGETHER = {
    "main job": ("test_main_job.py", "test_main_job_outputs.py", "test_readme.py"),
    "drop": ("test_drop.py", "test_drop_command.py", "test_drop_layouts.py"),
}
FIRST, LAST = "main job", "tests/device/test_arm64.py"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Keras draws weights that nobody has seeded from here: the same networks in every run of the tests."""
    random.seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by what they share."""
    order = {FIRST: 0, LAST: 2}
    items.sort(key=lambda item: order.get(_group(item.nodeid), 1))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """With ``-n 2``: whole files, and all files that share something, go to one process."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    config.option.loadscopereorder = False
    return ByGroup(config, log)


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    name = path.rpartition("/")[2]
    return next((group for group, files in TOGETHER.items() if name in files), path)
