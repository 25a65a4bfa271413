"""What reaches the disk in what order: a power cut loses whatever was not flushed before it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drops import Made
from test_device_install import installed


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Each flush and each rename done from now on, in order: ('flushed', path), ('named', new path)."""
    seen: list[tuple[str, Path]] = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def flushed(number: int) -> None:
        fsync(number)
        seen.append(("flushed", Path(f"/proc/self/fd/{number}").readlink()))

    def renamed(path: Path, target: Path) -> Path:
        before = [("had", file.relative_to(path)) for file in sorted(path.rglob("*")) if path.is_dir()]
        seen.extend([*before, ("named", target)])
        return rename(path, target)

    def replaced(path: Path, target: Path) -> Path:
        seen.append(("named", target))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(Path, "replace", replaced)
    return seen


def test_nothing_is_named_before_it_is_on_the_disk(
    drop: Made, newer: Made, root: Path, told: list[tuple[str, Path]]
) -> None:
    root = root.resolve()
    installed(drop, root)
    told.clear()
    installed(newer, root)
    release = root / "releases" / newer.release
    published = told.index(("named", release))
    flushed = {path for word, path in told[:published] if word == "flushed"}
    staged = next(path.parent for path in flushed if path.name == "manifest.json")
    held = [name for word, name in told[:published] if word == "had"]
    assert len(held) == 9  # six files, the manifest, two folders
    assert {staged / name for name in held} | {staged} <= flushed
    after = [step for step in told[published + 1 :] if step[0] != "had"]
    assert after[0] == ("flushed", root / "releases")
    assert [path for word, path in after if word == "named"] == [
        release / "install.json",
        root / "previous",
        root / "current",
    ]
    # Each of these is flushed, and its folder, before the next is begun.
    at = [after.index(("named", root / name)) for name in ("previous", "current")]
    written = after.index(("named", release / "install.json"))
    assert after[written - 1][0] == "flushed"
    assert after[written + 1] == ("flushed", release)
    assert [after[index + 1] for index in at] == [("flushed", root), ("flushed", root)]
