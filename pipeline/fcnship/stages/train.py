"""train: a recipe becomes a trained Keras model; a saved model is taken over as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.data.batches import Batches, fixed_batches, mixed_batches
from fcnship.driver import StageResult
from fcnship.errors import DataRefused, ModelRefused
from fcnship.frameworks import import_keras
from fcnship.graph.convert import convert
from fcnship.graph.facts import ModelFacts, check_profiles, facts_of
from fcnship.graph.loading import load_model, load_model_with_notes
from fcnship.graph.surgery.values import array_of
from fcnship.recipe import ModelFile, Recipe
from fcnship.session import Session
from fcnship.sizes import Size
from fcnship.stages.trainable import check_trainable
from fcnship.stages.value_range import measured_value_range
from fcnship.training import fit

MODEL = "keras/model.keras"
HISTORY = "keras/history.json"
MEASURED = "value_range_measured"


class Train:
    """Trains the recipe on the data; writes ``keras/model.keras``, the original of all later stages."""

    name = "train"
    needs: tuple[str, ...] = ()
    libraries = ("tensorflow", "keras")

    def inputs(self, session: Session) -> Mapping[str, str]:
        """The recipe or the model, the data, the seed, and for a recipe the profiles it is trained for."""
        recipe = isinstance(session.source, Recipe)
        inputs = {"recipe" if recipe else "model": session.source.sha256, "data": session.data_fingerprint}
        if recipe:
            inputs |= {"seed": str(session.options.seed), "profiles": _profiles(session)}
        if session.options.value_range:
            inputs["value range"] = "{:g},{:g}".format(*session.options.value_range)
        return inputs

    def requires(self, session: Session) -> None:
        """Keras can be imported and the data can be read."""
        import_keras()
        _ = session.data

    def run(self, session: Session) -> StageResult:
        """Builds the network, checks the profiles against its geometry, and only then trains it."""
        if isinstance(session.source, ModelFile):
            return _take_over(session, session.source)
        return _train(session, session.source)

    def ensures(self, session: Session, result: StageResult) -> None:
        """The file is whole: it loads again."""
        load_model(session.workspace.path(MODEL))


def _profiles(session: Session) -> str:
    return " ".join(str(profile) for profile in session.profiles)


def _train(session: Session, recipe: Recipe) -> StageResult:
    keras = import_keras()
    data, training, value_range = session.data, recipe.training, recipe.value_range
    steps = training.steps_for(len(data.x_train))
    keras.utils.set_random_seed(session.options.seed)
    model = recipe.build(data.channels, data.classes)
    facts = facts_of(model).labelled(_labels(data.classes), value_range)
    _check_convolutional(session, model)
    check_trainable(session, recipe, model, facts)
    optimizer = recipe.optimizer(steps)
    batches = _batches(session, recipe)
    session.events.say(f"training {recipe.name} on {data.name}: {len(data.x_train)} images, {steps} steps")
    history = fit(model, optimizer, batches, steps, session.events.progress)
    _save(session, model)
    session.workspace.write_text(HISTORY, json.dumps(history, indent=1) + "\n")
    return StageResult(files=(MODEL, HISTORY), facts=facts.as_json())


def _batches(session: Session, recipe: Recipe) -> Batches:
    data, training, seed = session.data, recipe.training, session.options.seed
    if training.epochs:
        size = recipe.size or Size(*data.x_train.shape[1:3])
        return fixed_batches(data, size, training, recipe.augment, recipe.value_range, seed)
    return mixed_batches(data, session.profiles, training, recipe.augment, recipe.value_range, seed)


def _take_over(session: Session, source: ModelFile) -> StageResult:
    loaded = load_model_with_notes(source.path)
    model = loaded.model
    data, facts = session.data, facts_of(model)
    _check_fits(source.path, facts, session)
    _check_finite(source.path, model)
    _check_convolutional(session, model)
    value_range = session.options.value_range or measured_value_range(model, facts, data)
    facts = facts.labelled(_labels(facts.geometry.classes), value_range)
    if source.path.suffix == ".keras" and not loaded.notes:
        with session.workspace.writing(MODEL) as path:
            shutil.copyfile(source.path, path)
    else:
        _save(session, model)
    reason = "; ".join((f"{source.path.name} is trained already", *loaded.notes))
    known = {**facts.as_json(), MEASURED: session.options.value_range is None}
    return StageResult(files=(MODEL,), facts=known, status="skipped", reason=reason)


def _check_convolutional(session: Session, model: Any) -> None:
    """Before anything is trained: the network, once it is fully convolutional, serves every profile."""
    facts = facts_of(model)
    if facts.network.channels_first:
        raise ModelRefused(
            f"{model.name} takes its images channels first",
            cause="TensorFlow convolves channels last on a CPU; the ONNX file is channels first all the same",
            next="build the model with data_format='channels_last'",
        )
    if facts.geometry.input_size:
        facts = facts_of(convert(model, head=session.options.head))
    check_profiles(facts, session.profiles, training=isinstance(session.source, Recipe))


def _check_fits(path: Path, facts: ModelFacts, session: Session) -> None:
    data, geometry = session.data, facts.geometry
    for what, has, wants in (
        ("channels", data.channels, geometry.channels),
        ("classes", data.classes, geometry.classes),
    ):
        if has > wants or (what == "channels" and has != wants):
            raise DataRefused(
                f"{path} takes {wants} {what}, the data set {data.name} has {has}",
                cause="the model was trained on other data, or a label is out of range",
                next="name the data that it was trained on: --data PATH.npz",
            )


def _check_finite(path: Path, model: Any) -> None:
    for variable in model.variables:
        if not np.isfinite(array_of(variable)).all():
            raise ModelRefused(
                f"{path} has NaN or infinity in its weights, first in {variable.path}",
                cause="its training diverged, or the file was changed",
                next="train it again with a lower learning rate",
            )


def _labels(classes: int) -> tuple[str, ...]:
    return tuple(str(label) for label in range(classes))


def _save(session: Session, model: Any) -> None:
    try:
        with session.workspace.writing(MODEL) as path:
            model.save(path)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelRefused(
            f"the model {model.name!r} cannot be saved: {error}",
            cause="a layer of it has no configuration that Keras can write",
            next="use Keras's own layers in the recipe",
        ) from error
