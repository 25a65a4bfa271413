"""Refuses, before it is trained, a recipe's network that could not be trained, used or saved afterwards."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import FcnshipError, ModelRefused
from fcnship.graph.convert import convert
from fcnship.graph.facts import ModelFacts, check_profiles, facts_of
from fcnship.graph.loading import load_model
from fcnship.recipe import Recipe
from fcnship.session import Session
from fcnship.wording import counted

_NEARLY = 1e-2


def check_trainable(session: Session, recipe: Recipe, model: Any, facts: ModelFacts) -> None:
    """The network fits the data, has weights to train, gives probabilities, and a file holds it whole.

    Raises:
        ModelRefused: it does not.
    """
    _check_fits(session, recipe, facts)
    if not model.trainable_variables:
        raise ModelRefused(
            f"{recipe.path}: the model has nothing to train",
            cause="no layer of it has weights, or every layer is frozen",
            next="add a layer with weights, or set its trainable to True",
        )
    _check_probabilities(session, recipe, model, facts)
    _check_saves(session, recipe, model)


def check_convolutional(session: Session, model: Any) -> None:
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


def _check_fits(session: Session, recipe: Recipe, facts: ModelFacts) -> None:
    data, geometry = session.data, facts.geometry
    for noun, what, has, wants in (
        ("channel", "channels", data.channels, geometry.channels),
        ("class", "classes", data.classes, geometry.classes),
    ):
        if has != wants:
            raise ModelRefused(
                f"{recipe.path}: the model has {counted(wants, noun)}, the data set {data.name} has {has}",
                cause=f"model(channels, classes) was called with {what}={has} and does not use it",
                next=f"put {what} where the number {wants} stands",
            )


def _check_probabilities(session: Session, recipe: Recipe, model: Any, facts: ModelFacts) -> None:
    """Training takes the outputs for probabilities; with bare scores it would learn next to nothing."""
    size = facts.geometry.input_size or session.profiles[0].min
    shape = (1, size.height, size.width, facts.geometry.channels)
    image = np.random.default_rng(0).uniform(*recipe.value_range, shape).astype(np.float32)
    answer = model(image, training=False)
    if answer.dtype.name != "float32":
        raise ModelRefused(
            f"{recipe.path}: the model's outputs are {answer.dtype.name}, not float32",
            cause="the recipe sets a policy like mixed_float16, or a dtype of its last layer",
            next="leave it out, and let fcnship narrow the trained network: --precision fp16",
        )
    outputs = np.asarray(answer)
    sums = outputs.sum(axis=-1)
    if outputs.min() < 0 or np.abs(sums - 1).max() > _NEARLY:
        raise ModelRefused(
            f"{recipe.path}: the model's outputs are no probabilities: they add up to {sums.flat[0]:.3g}",
            cause="its last layer gives bare scores (logits)",
            next="end it with activation='softmax', or with layers.Softmax()",
        )


def _check_saves(session: Session, recipe: Recipe, model: Any) -> None:
    with session.workspace.scratch() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, "untrained.keras")
        try:
            model.save(path)
            load_model(path)
        except (FcnshipError, TypeError, ValueError, NotImplementedError) as error:
            raise ModelRefused(
                f"{recipe.path}: the model cannot be saved and loaded again",
                cause="a layer or function in it is the recipe's own code, like a lambda: no file holds that",
                next="use Keras's own layers, and functions by their names: activation='relu'",
            ) from error
