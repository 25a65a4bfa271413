"""train: a recipe becomes a trained Keras model; a saved model is taken over as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.driver import StageResult
from fcnship.errors import DataRefused, ModelRefused
from fcnship.frameworks import import_keras
from fcnship.graph.facts import ModelFacts, facts_of
from fcnship.graph.loading import load_model, load_model_with_notes
from fcnship.graph.surgery.values import array_of
from fcnship.precision.calibration import find_calibration
from fcnship.precision.drawing import check_enough
from fcnship.recipe import ModelFile, Recipe
from fcnship.session import Session
from fcnship.stages.fitted import fitted, keeper_of
from fcnship.stages.trainable import check_convolutional
from fcnship.stages.value_range import measured_value_range
from fcnship.training.checkpoint import steps_kept
from fcnship.wording import counted

MODEL = "keras/model.keras"
HISTORY = "keras/history.json"
MEASURED = "value_range_measured"
_COLOURS = {1: "grey", 3: "colour"}
_TRAINED_ON = "name the data that it was trained on: --data, a folder or PATH.npz"


class Train:
    """Trains the recipe on the data; writes ``keras/model.keras``, the original of all later stages."""

    name = "train"
    needs: tuple[str, ...] = ()
    libraries = ("tensorflow", "keras")

    def inputs(self, session: Session) -> Mapping[str, str]:
        """The recipe or the model, the data, the seed, and for a recipe the profiles it is trained for."""
        recipe = isinstance(session.source, Recipe)
        inputs = {"recipe" if recipe else "model": session.source.sha256, **session.data_inputs}
        if recipe:
            inputs |= {"seed": str(session.options.seed), "profiles": _profiles(session)}
        if session.options.value_range:
            inputs["value range"] = "{:g},{:g}".format(*session.options.value_range)
        return inputs

    def requires(self, session: Session) -> None:
        """Keras can be imported and the data can be read, and what calibrates afterwards is there."""
        import_keras()
        data = session.data
        if "int8" in session.options.precisions:
            check_enough(find_calibration(session.options.calibration), data)

    def run(self, session: Session) -> StageResult:
        """Builds the network, checks the profiles against its geometry, and only then trains it."""
        if isinstance(session.source, ModelFile):
            return _take_over(session, session.source)
        return _train(session, session.source, self.inputs(session))

    def ensures(self, session: Session, result: StageResult) -> None:
        """The file is whole: it loads again. Only now is there nothing to go on with."""
        load_model(session.workspace.path(MODEL))
        keeper_of(session, {}).remove()

    def goes_on(self, session: Session) -> str:
        """What is kept of a training that was stopped."""
        keeper = keeper_of(session, self.inputs(session))
        kept = steps_kept(keeper.path, keeper.inputs)
        return f"training goes on after step {kept[0]} of {kept[1]}" if kept else ""


def _profiles(session: Session) -> str:
    return " ".join(str(profile) for profile in session.profiles)


def _train(session: Session, recipe: Recipe, inputs: Mapping[str, str]) -> StageResult:
    trained = fitted(session, recipe, inputs)
    _save(session, trained.model)
    session.workspace.write_text(HISTORY, json.dumps(trained.history, indent=1) + "\n")
    return StageResult(files=(MODEL, HISTORY), facts=trained.facts.as_json())


def _take_over(session: Session, source: ModelFile) -> StageResult:
    loaded = load_model_with_notes(source.path)
    model = loaded.model
    data, facts = session.data, facts_of(model)
    _check_fits(source.path, facts, session)
    _check_finite(source.path, model)
    check_convolutional(session, model)
    value_range = session.options.value_range or measured_value_range(model, facts, data)
    facts = facts.labelled(data.labels_for(facts.geometry.classes), value_range)
    if source.path.suffix == ".keras" and not loaded.notes:
        with session.workspace.writing(MODEL) as path:
            shutil.copyfile(source.path, path)
    else:
        _save(session, model)
    reason = "; ".join((f"{source.path.name} is trained already", *loaded.notes))
    known = {**facts.as_json(), MEASURED: session.options.value_range is None}
    return StageResult(files=(MODEL,), facts=known, status="skipped", reason=reason)


def _check_fits(path: Path, facts: ModelFacts, session: Session) -> None:
    data, geometry = session.data, facts.geometry
    if data.channels != geometry.channels:
        raise DataRefused(
            f"{path} takes images of {counted(geometry.channels, 'channel')}, "
            f"those of {data.name} have {data.channels}",
            cause=f"the model was trained on {_COLOURS.get(geometry.channels, 'other')} images",
            next=_TRAINED_ON,
        )
    if geometry.classes == 1:
        raise DataRefused(
            f"{path} has one output, the data set {data.name} has {counted(data.classes, 'class')}",
            cause="one output (sigmoid) says how likely one class is; fcnship takes the largest of several",
            next="give the model an output for each class: Dense(2, activation='softmax')",
        )
    if data.classes > geometry.classes:
        raise DataRefused(
            f"{path} has {counted(geometry.classes, 'class')}, the data set {data.name} has {data.classes}",
            cause="the model was trained on other data, or a label is out of range",
            next=_TRAINED_ON,
        )


def _check_finite(path: Path, model: Any) -> None:
    for variable in model.variables:
        if not np.isfinite(array_of(variable)).all():
            raise ModelRefused(
                f"{path} has NaN or infinity in its weights, first in {variable.path}",
                cause="its training diverged, or the file was changed",
                next="train it again with a lower learning rate",
            )


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
