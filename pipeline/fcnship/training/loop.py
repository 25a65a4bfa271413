"""Optimiser steps over batches whose sizes differ; they can be left off at any, and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fcnship.data.batches import Batches
from fcnship.frameworks import import_tensorflow
from fcnship.training.checkpoint import Checkpoint, arrays_from, bytes_of
from fcnship.training.course import Course, Validation
from fcnship.training.failures import check_loss, check_weights
from fcnship.training.feed import fed
from fcnship.training.keeper import Keeper
from fcnship.training.replicas import Replicas, one_device
from fcnship.training.standing import Standing
from fcnship.training.stopping import Stopping, stopping
from fcnship.training.update import evaluation_function, update_function

Progress = Callable[[int, int, str], None]
_HISTORY_POINTS = 50


def fit(
    model: Any,
    optimizer: Any,
    batches: Batches,
    course: Course,
    progress: Progress,
    *,
    keeper: Keeper | None = None,
    replicas: Replicas | None = None,
) -> Standing:
    """Train in place, from where ``keeper`` has a checkpoint of, and give how it went.

    The history has the smoothed loss and accuracy at some 50 steps, and each look at held-out images.

    Raises:
        ModelRefused: the model cannot be traced at any size, or the loss or a weight is no longer a number.
    """
    tf = import_tensorflow()
    fitting = _Fitting(tf, model, optimizer, course, replicas or one_device(tf), keeper)
    fitting.restore()
    with stopping() as stop:
        fitting.train(batches, progress, stop)
    fitting.finish()
    return fitting.standing


class _Fitting:
    """A model, its optimiser and its standing while they are trained."""

    def __init__(
        self,
        tf: Any,
        model: Any,
        optimizer: Any,
        course: Course,
        replicas: Replicas,
        keeper: Keeper | None,
    ) -> None:
        self.tf, self.model, self.optimizer = tf, model, optimizer
        self.course, self.replicas, self.keeper = course, replicas, keeper
        self.standing, self.best = Standing(), list[Any]()
        self.update = update_function(tf, model, optimizer, replicas)
        self.evaluate = evaluation_function(tf, model, replicas) if course.validation else None
        # Seeds of layers like Dropout are among the model's, averaged weights among the optimiser's.
        self.variables = [*model.variables, *optimizer.variables]
        self.every = max(course.steps // _HISTORY_POINTS, 1)

    @property
    def over(self) -> bool:
        """Whether all steps are done, or it has not got better for too long."""
        validation, standing = self.course.validation, self.standing
        patience = validation.patience if validation else 0
        return standing.step >= self.course.steps or bool(patience and standing.waited >= patience)

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one; on all machines from the chief's."""
        kept = self.keeper.kept(self.replicas, self.course.steps, self._check) if self.keeper else None
        if kept is None:
            return
        for variable, array in zip(self.variables, arrays_from(kept.variables, self.variables), strict=True):
            variable.assign(array)
        self.standing, self.best = kept.standing, list(kept.best)

    def _check(self, kept: Checkpoint) -> None:
        arrays_from(kept.variables, self.variables)
        if kept.best:
            arrays_from(kept.best, self.model.variables)

    def train(self, batches: Batches, progress: Progress, stop: Stopping) -> None:
        """The steps that are left, each epoch with its look at held-out images and its checkpoint."""
        if self.over:
            return
        course, standing = self.course, self.standing
        channels = self.model.inputs[0].shape[-1]
        for parts in fed(self.tf, channels, batches, range(standing.step, course.steps), self.replicas):
            self._step(parts)
            if standing.step % self.every == 0 or standing.step == course.steps:
                standing.note()
            progress(standing.step, course.steps, self._told())
            if course.ends_epoch(standing.step):
                if course.validation:
                    self._look(course.validation)
                self._keep()
            if stop.asked:
                self._keep()
                if self.keeper and self.keeper.writes:
                    self.keeper.say(f"stopped after step {standing.step} of {course.steps}, which is kept")
                stop.heed()
            if self.over:
                break

    def finish(self) -> None:
        """Put in the weights that are kept: the best, or the averaged ones, or those of the last step."""
        if self.best and self.course.validation and self.course.validation.patience:
            self._put(self.model.variables, arrays_from(self.best, self.model.variables))
        else:
            # With use_ema the averaged weights are the trained ones; without it this does nothing.
            self.optimizer.finalize_variable_values(self.model.trainable_variables)
        check_weights(self.model)

    def _step(self, parts: tuple[Any, ...]) -> None:
        loss, accuracy = (float(value) for value in self.update(*parts))
        check_loss(loss, self.standing.step + 1)
        self.standing.add(loss, accuracy)

    def _look(self, validation: Validation) -> None:
        """Ask the weights that would be kept about the held-out images, and put the others back."""
        trainable = self.model.trainable_variables
        before = arrays_from(bytes_of(trainable), trainable)
        self.optimizer.finalize_variable_values(trainable)
        if self.standing.looked(*self._looked(validation)) and validation.patience:
            self.best = bytes_of(self.model.variables)
        self._put(trainable, before)

    def _looked(self, validation: Validation) -> tuple[float, float]:
        """Mean loss and accuracy over the held-out batches."""
        assert self.evaluate
        channels = self.model.inputs[0].shape[-1]
        images = loss = right = 0.0
        for parts in fed(self.tf, channels, validation.batches, range(validation.count), self.replicas):
            losses, rights = self.evaluate(*parts)
            images, loss, right = images + float(parts[0]), loss + float(losses), right + float(rights)
        return loss / images, right / images

    def _keep(self) -> None:
        if self.keeper:
            self.keeper.keep(self.course.steps, self.standing, bytes_of(self.variables), self.best)

    def _put(self, variables: Any, arrays: Any) -> None:
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    def _told(self) -> str:
        return f"loss {self.standing.loss:.3f}  accuracy {self.standing.accuracy:.3f}"
