"""Keeps a training's checkpoint in the run folder, and tells whether one there may be gone on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcnship.training.checkpoint import BROKEN, Checkpoint
from fcnship.training.replicas import Replicas
from fcnship.training.standing import Standing
from fcnship.workspace import Workspace

CHECKPOINT = "keras/checkpoint.npz"


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """The checkpoint of the training that has these inputs. Of several machines only the chief writes."""

    workspace: Workspace
    inputs: Mapping[str, str]
    say: Callable[[str], None]
    writes: bool = True

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.workspace.path(CHECKPOINT)

    def keep(self, steps: int, standing: Standing, variables: Sequence[Any], best: Sequence[Any]) -> None:
        """Write it, in place of the one before, whole or not at all."""
        if not self.writes:
            return
        kept = Checkpoint(inputs=self.inputs, steps=steps, standing=standing, variables=variables, best=best)
        with self.workspace.writing(CHECKPOINT) as path:
            kept.write(path)

    def kept(self, replicas: Replicas, steps: int, check: Callable[[Checkpoint], None]) -> Checkpoint | None:
        """The chief's checkpoint, if it is one of this training and ``check`` does not raise.

        One that cannot be used is told, and training starts anew.
        """
        content = replicas.from_chief(self.path.read_bytes() if self.writes and self.path.is_file() else b"")
        if not content:
            return None
        try:
            kept = Checkpoint.read(content)
            changed = self._changed(kept, steps)
            if changed:
                self.say(f"{CHECKPOINT} is of another training ({changed} changed): training starts anew")
                return None
            check(kept)
        except BROKEN as error:
            told = (str(error) or type(error).__name__).splitlines()[0]
            self.say(f"{CHECKPOINT} is damaged ({told}): training starts anew")
            return None
        self.say(f"goes on after step {kept.standing.step} of {steps}")
        return kept

    def _changed(self, kept: Checkpoint, steps: int) -> str:
        names = [*self.inputs, *(name for name in kept.inputs if name not in self.inputs)]
        changed = [name for name in names if kept.inputs.get(name) != self.inputs.get(name)]
        if kept.steps != steps or kept.standing.step > steps:
            changed.append("the number of steps")
        return ", ".join(changed)

    def remove(self) -> None:
        """The training is whole: nobody goes on with it."""
        self.workspace.remove([CHECKPOINT])
