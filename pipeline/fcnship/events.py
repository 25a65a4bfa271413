"""What a run tells while it works. The library is silent; the command line listens."""

from __future__ import annotations

from typing import Protocol

from fcnship.workspace import StageRecord


class Events(Protocol):
    """Something that listens to a run."""

    def stage_started(self, name: str) -> None:
        """A stage begins its work."""
        ...

    def stage_unchanged(self, record: StageRecord) -> None:
        """A stage is left as it was."""
        ...

    def stage_ended(self, record: StageRecord) -> None:
        """A stage has its record."""
        ...

    def progress(self, done: int, total: int, text: str) -> None:
        """``done`` of ``total`` steps of the current stage; ``text`` says how it goes."""
        ...

    def say(self, text: str) -> None:
        """A line worth a person's attention."""
        ...


class Silence:
    """Listens to nothing."""

    def stage_started(self, name: str) -> None: ...

    def stage_unchanged(self, record: StageRecord) -> None: ...

    def stage_ended(self, record: StageRecord) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...

    def say(self, text: str) -> None: ...
