"""A recipe's network, built, checked and trained: on this machine, or on all machines of ``TF_CONFIG``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fcnship.data import Dataset
from fcnship.data.batches import training_batches
from fcnship.events import Events
from fcnship.frameworks import import_keras, import_tensorflow
from fcnship.graph.facts import ModelFacts, facts_of
from fcnship.machine import version_of
from fcnship.recipe import Recipe
from fcnship.session import Session
from fcnship.stages.trainable import check_convolutional, check_trainable
from fcnship.training import Course, Validation, fit
from fcnship.training.cluster import Cluster, cluster_of
from fcnship.training.course import Unaugmented, epoch_of, split, validation_batches
from fcnship.training.failures import told
from fcnship.training.keeper import Keeper
from fcnship.training.meeting import meet
from fcnship.training.repeatable import repeatable
from fcnship.training.replicas import Replicas, check_unused, replicas_here

_LIBRARIES = ("fcnship", "tensorflow", "keras", "numpy")


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained network, what is known of it, and the rows of its history."""

    model: Any
    facts: ModelFacts
    history: list[dict[str, Any]]


def fitted(session: Session, recipe: Recipe, inputs: Mapping[str, str]) -> Fitted:
    """Train a recipe; ``inputs`` are what the outcome depends on.

    Raises:
        ModelRefused: the recipe's network cannot be trained, used or saved.
        DeviceError: another machine did not come, or was lost.
    """
    tf = import_tensorflow()
    cluster = cluster_of(os.environ)
    if cluster:
        check_unused()
        session.events.say(f"worker {cluster.index} of {len(cluster.addresses)} waits for {cluster.told}")
        meet(cluster, kept_inputs(inputs), session.events.say)
    # Before anything else: TensorFlow cannot be told of other machines once it has computed something.
    replicas = replicas_here(tf, cluster)
    gpus = bool(tf.config.list_physical_devices("GPU"))
    with told(tf, recipe.name, cluster), repeatable(gpus=gpus):
        return _fitted(session, recipe, inputs, replicas)


def _fitted(session: Session, recipe: Recipe, inputs: Mapping[str, str], replicas: Replicas) -> Fitted:
    keras, seed = import_keras(), session.options.seed
    keras.utils.set_random_seed(seed)  # a recipe may draw numbers when it is loaded, too
    data, course = _course(session, recipe)
    keras.utils.set_random_seed(seed)
    with replicas.strategy.scope():
        model = recipe.build(data.channels, data.classes)
    facts = facts_of(model).labelled(data.labels_for(data.classes), recipe.value_range)
    check_convolutional(session, model)
    check_trainable(session, recipe, model, facts)
    with replicas.strategy.scope():
        optimizer = recipe.optimizer(course.steps)
    batches = training_batches(data, recipe, session.profiles, seed)
    _say_what(session, recipe, data, course, replicas)
    keeper = keeper_of(session, inputs, writes=replicas.cluster is None or replicas.cluster.chief)
    standing = fit(
        model, optimizer, batches, course, session.events.progress, keeper=keeper, replicas=replicas
    )
    if standing.step < course.steps and course.validation:
        session.events.say(
            f"ends after step {standing.step}: held-out images have not got better for "
            f"{course.validation.patience} epochs, the weights of step {standing.best_step} are kept"
        )
    return Fitted(model=model, facts=facts, history=standing.history)


def kept_inputs(inputs: Mapping[str, str]) -> dict[str, str]:
    """The inputs of a training, with the versions that decide how it rounds: those of its checkpoint."""
    return {**inputs, **{library: version_of(library) or "unknown" for library in _LIBRARIES}}


def keeper_of(session: Session, inputs: Mapping[str, str], *, writes: bool = True) -> Keeper:
    """The keeper of the checkpoint in the run folder."""
    return Keeper(
        workspace=session.workspace, inputs=kept_inputs(inputs), say=session.events.say, writes=writes
    )


def _course(session: Session, recipe: Recipe) -> tuple[Dataset, Course]:
    """What is trained on, and for how long."""
    data, training, seed = session.data, recipe.training, session.options.seed
    validation = None
    if training.validation_share:
        data, held = split(data, training.validation_share, seed)
        unaugmented = Unaugmented(path=recipe.path, of=recipe)
        validation = Validation(
            batches=training_batches(held, unaugmented, session.profiles, seed),
            count=validation_batches(training, len(held.x_train)),
            patience=training.patience,
        )
    images = len(data.x_train)
    steps, epoch = training.steps_for(images), epoch_of(training, images)
    return data, Course(steps=steps, epoch=epoch, validation=validation)


def _say_what(session: Session, recipe: Recipe, data: Dataset, course: Course, replicas: Replicas) -> None:
    shared = f", each shared by {replicas.count} devices" if replicas.count > 1 else ""
    images = len(data.x_train)
    session.events.say(
        f"training {recipe.name} on {data.name}: {images} images, {course.steps} steps{shared}"
    )
    if callable(getattr(recipe.module, "loss", None)):
        session.events.say(
            f"{recipe.path}: its loss is not used: training is by the cross-entropy of classes"
        )


def follow(session: Session, recipe: Recipe, inputs: Mapping[str, str], cluster: Cluster) -> None:
    """Train along with the chief. What must be written for it lies in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
        own = aside(session, Path(folder))
        own.workspace.root.mkdir(parents=True)
        fitted(own, recipe, inputs)
    _say_whose(session.events, cluster)


def aside(session: Session, folder: Path) -> Session:
    """A session that works in another folder. The data are the same: they may fill half of the memory."""
    other = Session(replace(session.options, out=folder), session.events)
    other.data = session.data
    return other


def _say_whose(events: Events, cluster: Cluster) -> None:
    events.say(
        f"worker {cluster.index} of {len(cluster.addresses)} has trained along; "
        f"the chief ({cluster.addresses[0]}) has the run folder and goes on"
    )
