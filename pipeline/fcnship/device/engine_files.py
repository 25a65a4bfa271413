"""about.json of an engine: what it was built for and from. Written whole, read strictly."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcnship.device.fields import Malformed, Record, strict_json
from fcnship.device.key import SCHEMA, Parts, key_of
from fcnship.hashing import sha256_of_file
from fcnship.version import __version__

PLAN, ABOUT = "engine.plan", "about.json"
_MAX_BYTES = 4 << 20


class UnlikeEngine(Exception):
    """A folder does not hold a whole engine; the text says what is wrong."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What an engine is. ``facts`` are the builder's: its version, targets, layers and their types."""

    key: str
    parts: Parts
    plan_sha256: str
    plan_bytes: int
    seconds: float
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, parts: Parts, folder: Path, facts: Mapping[str, Any], seconds: float) -> About:
        """Of the plan that lies in ``folder``."""
        kinds = Counter(dict(facts.get("products", {})).values())
        kept = {name: value for name, value in facts.items() if name != "products"}
        return cls(
            key=key_of(parts),
            parts=parts,
            plan_sha256=sha256_of_file(folder / PLAN),
            plan_bytes=(folder / PLAN).stat().st_size,
            seconds=round(seconds, 3),
            facts={**kept, "types": dict(sorted(kinds.items())), "fcnship": __version__},
        )


def write_about(folder: Path, about: About) -> None:
    """Write about.json, and flush it and the plan to the disk."""
    text = {
        "schema": SCHEMA,
        "key": about.key,
        "parts": about.parts,
        "plan": {"sha256": about.plan_sha256, "bytes": about.plan_bytes},
        "seconds": about.seconds,
        "facts": dict(about.facts),
    }
    (folder / ABOUT).write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    for name in (ABOUT, PLAN):
        number = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def read_about(folder: Path, *, whole: bool = True) -> About:
    """What about.json of a folder says; if ``whole``, the plan beside it has its hash.

    Raises:
        UnlikeEngine: it is missing, damaged, of another schema, or the plan is not the one that it names.
    """
    try:
        if folder.is_symlink() or (folder / PLAN).is_symlink() or (folder / ABOUT).is_symlink():
            raise UnlikeEngine("it is reached by a symbolic link")
        with (folder / ABOUT).open("rb") as file:
            about = _about(Record(strict_json(file.read(_MAX_BYTES)), ABOUT))
        if whole:
            _check_plan(folder / PLAN, about)
    except OSError as error:
        raise UnlikeEngine(f"{Path(str(error.filename)).name}: {error.strerror}") from None
    except Malformed as error:
        raise UnlikeEngine(str(error)) from None
    return about


def _about(row: Record) -> About:
    row.text("schema", SCHEMA)
    plan = row.record("plan")
    about = About(
        key=row.text("key"),
        parts=row.record("parts").values(),
        plan_sha256=plan.text("sha256"),
        plan_bytes=plan.whole("bytes", least=1),
        seconds=row.number("seconds"),
        facts=row.record("facts").values(),
    )
    if key_of(about.parts) != about.key:
        raise Malformed(f"{ABOUT}: its key is not that of its parts")
    return about


def _check_plan(plan: Path, about: About) -> None:
    size = plan.stat().st_size
    if size != about.plan_bytes:
        raise UnlikeEngine(f"{PLAN} has {size} bytes, {ABOUT} says {about.plan_bytes}")
    if sha256_of_file(plan) != about.plan_sha256:
        raise UnlikeEngine(f"{PLAN} has another SHA-256 than {ABOUT} says")
