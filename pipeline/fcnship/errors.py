"""The tree of errors. Each branch has one exit code; a message says what happened, why, and what to try."""

from __future__ import annotations

from typing import Any, ClassVar


class FcnshipError(Exception):
    """Anything fcnship raises on purpose.

    ``str(error)`` is the whole message: what happened, then, where they are known, the likely ``cause`` and
    the ``next`` command to try, each on its own line.
    """

    exit_code: ClassVar[int] = 1
    # The finished run (fcnship.runs.Run) whose verdict this error is, where it is one.
    run: Any = None

    def __init__(self, what: str, *, cause: str = "", next: str = "") -> None:
        self.what = what
        self.cause = cause
        self.next = next
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.cause:
            lines.append(f"  cause: {self.cause}")
        if self.next:
            lines.append(f"  next:  {self.next}")
        return "\n".join(lines)


class StageFailed(FcnshipError):
    """A stage broke in a way that nobody foresaw: a bug of ours, or of a library that the stage drives."""


class UsageError(FcnshipError):
    """The command line, a recipe's name or a configuration file is wrong."""

    exit_code = 2


class InputRefused(FcnshipError):
    """What was given is understood and cannot be accepted."""

    exit_code = 3


class ModelRefused(InputRefused):
    """A model, or a recipe for one, cannot be used."""


class DataRefused(InputRefused):
    """A data set cannot be used."""


class ProfileRefused(InputRefused):
    """A profile asks for sizes that the model or the machine cannot serve."""


class ParityFailed(FcnshipError):
    """A variant disagrees with the original by more than its tolerance."""

    exit_code = 4


class AccuracyBelowFloor(FcnshipError):
    """A variant is less accurate than was asked for."""

    exit_code = 5


class LatencyExceeded(FcnshipError):
    """A variant is slower than was allowed."""

    exit_code = 6


class EnvironmentLacks(FcnshipError):
    """Something that was asked for is not installed or cannot run here."""

    exit_code = 7


class ArtifactError(FcnshipError):
    """An artifact is damaged, was tampered with, or is in use."""

    exit_code = 8


class DeviceError(FcnshipError):
    """A device could not be reached, or refused."""

    exit_code = 9
