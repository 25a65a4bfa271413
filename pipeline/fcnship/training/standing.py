"""How far a training has come: what a checkpoint holds besides the variables."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

_SMOOTHING = 0.97


@dataclass
class Standing:
    """Steps done, smoothed loss and accuracy, the history so far, and the best look at held-out images.

    ``waited`` epochs have passed since the look of ``best_step``.
    """

    step: int = 0
    loss: float | None = None
    accuracy: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    best_loss: float | None = None
    best_step: int = 0
    waited: int = 0

    def add(self, loss: float, accuracy: float) -> None:
        """Count a step."""
        self.step += 1
        self.loss, self.accuracy = _smooth(self.loss, loss), _smooth(self.accuracy, accuracy)

    def note(self, **more: Any) -> None:
        """Write a row of the history; a second one of the same step adds to the first."""
        if not self.history or self.history[-1]["step"] != self.step:
            assert self.loss is not None and self.accuracy is not None
            row = {"step": self.step, "loss": round(self.loss, 5), "accuracy": round(self.accuracy, 5)}
            self.history.append(row)
        self.history[-1].update(more)

    def looked(self, loss: float, accuracy: float) -> bool:
        """Note what held-out images say; whether it is the best so far."""
        best = math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss)
        if best:
            self.best_loss, self.best_step, self.waited = loss, self.step, 0
        else:
            self.waited += 1
        self.note(validation_loss=round(loss, 5), validation_accuracy=round(accuracy, 5), best=best)
        return best

    def as_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Standing:
        """Read it again.

        Raises:
            TypeError, ValueError: it is something else.
        """
        standing = cls(**row)
        counts = (standing.step, standing.best_step, standing.waited)
        numbers = (standing.loss, standing.accuracy, standing.best_loss)
        if not all(isinstance(count, int) and count >= 0 for count in counts):
            raise ValueError("a number of steps is no number")
        if not all(number is None or isinstance(number, float) for number in numbers):
            raise ValueError("a loss is no number")
        if not all(isinstance(row, dict) and "step" in row for row in standing.history):
            raise ValueError("its history is none")
        return standing


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else _SMOOTHING * old + (1 - _SMOOTHING) * new
