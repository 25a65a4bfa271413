"""For every test: what must be set before anything imports TensorFlow or Keras, and who runs with whom."""

from __future__ import annotations

import pytest

from fcnship.frameworks import prepare

prepare()

# What takes long to make is made by one process: the tests that look at it stay together, the longest first.
SHARED = ("job", "small_run")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the tests out by file (and by what is shared) to the processes that pytest-xdist starts."""
    groups = {item: _group(item) for item in items}
    items.sort(key=lambda item: SHARED.index(groups[item]) if groups[item] in SHARED else len(SHARED))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item]))


def _group(item: pytest.Item) -> str:
    fixtures = getattr(item, "fixturenames", ())
    return next((name for name in SHARED if name in fixtures), item.nodeid.partition("::")[0])
