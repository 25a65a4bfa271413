"""Finds and loads recipes: plain Keras files in ``models/``, loaded by path. Loading one executes it."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from fcnship.errors import ModelRefused, UsageError
from fcnship.hashing import sha256_of_file
from fcnship.sizes import Size

_PACKAGE = Path(__file__).parent
SUFFIXES_OF_MODEL_FILES = (".keras", ".h5", ".hdf5")
# Shares, and degrees. A shift of 3 was meant in pixels, and would leave nothing of any image.
_MOST = {
    "near_largest": 0.5,
    "any_shape": 1.0,
    "growth": 1.0,
    "validation_share": 0.5,
    "shift": 1.0,
    "shear": 1.0,
    "rotate": 360,
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a recipe is trained.

    With ``epochs`` and ``batch`` the images keep one size (the recipe's, or the data's own). With ``steps``
    and ``pixels`` each batch has a size of its own, drawn from the profiles, and about ``pixels`` pixels;
    the largest size is reached after the share ``growth`` of the steps. ``near_largest`` of the batches lie
    near the largest size, and as many near the smallest as make a half of both; ``any_shape`` of them have a
    height and a width that know nothing of each other.

    ``validation_share`` of each class's training images is held out, and looked at after each epoch (a
    twentieth of the steps, where they are counted in steps). With ``patience`` training ends after so many
    epochs without a lower loss there, and the weights of the best one are kept. The schedule of the learning
    rate is the optimiser's own.
    """

    epochs: int = 0
    batch: int = 0
    steps: int = 0
    steps_per_image: float = 0.0
    most_steps: int = 0
    pixels: int = 0
    most_images: int = 96
    growth: float = 0.0
    near_largest: float = 0.25
    any_shape: float = 0.0
    validation_share: float = 0.0
    patience: int = 0

    def steps_for(self, images: int) -> int:
        """Optimiser steps for a training set of so many images."""
        if self.epochs:
            return self.epochs * -(-images // self.batch)
        return min(max(self.steps, round(self.steps_per_image * images)), self.most_steps or self.steps)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes to a training image: shares of its side, a factor, and degrees. Zero is none."""

    shift: float = 0.0
    scale: float = 0.0
    rotate: float = 0.0
    shear: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A Python file that says how a network is built and trained."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file."""
        return sha256_of_file(self.path)

    @cached_property
    def module(self) -> ModuleType:
        """The executed file.

        Raises:
            ModelRefused: the file raises when it is executed.
        """
        name, path = f"fcnship_recipe_{self.name}_{self.sha256[:12]}", self.path.resolve()
        module = ModuleType(name)
        module.__file__ = str(path)
        # Registered before it is executed: dataclasses and pickle look their module up by name.
        sys.modules[name] = module
        try:
            with self._blamed():
                # Not by a loader of importlib's: it would leave a __pycache__ beside the recipe, and run an
                # old one for a recipe that was changed within the same second.
                exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def build(self, channels: int, classes: int) -> Any:
        """The recipe's untrained Keras model.

        Raises:
            ModelRefused: there is no ``model(channels, classes)``, it raises, or it returns something else.
            UsageError: there are no such images or classes.
        """
        check_counts(channels, classes)
        import keras

        function = self._attribute("model", Callable)  # type: ignore[arg-type]
        with self._blamed(f'["model"]({channels}, {classes})'):
            model = function(channels, classes)
        if not isinstance(model, keras.Model):
            raise self._wrong(
                "model(channels, classes)", f"returns {type(model).__name__}, not a keras.Model"
            )
        if not getattr(model, "inputs", None):
            raise ModelRefused(
                f"{self.path}: model(channels, classes) returns a {type(model).__name__} without inputs",
                cause="a subclassed model, or a Sequential without an Input, has no graph of layers to read",
                next="build it with keras.Input and keras.Model(image, probabilities)",
            )
        return model

    def optimizer(self, steps: int) -> Any:
        """The recipe's optimiser for so many steps.

        Raises:
            ModelRefused: there is no ``optimizer(steps)``, it raises, or it returns something else.
        """
        import keras

        function = self._attribute("optimizer", Callable)  # type: ignore[arg-type]
        with self._blamed(f'["optimizer"]({steps})'):
            optimizer = function(steps)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise self._wrong(
                "optimizer(steps)", f"returns {type(optimizer).__name__}, not a keras.optimizers.Optimizer"
            )
        return optimizer

    @property
    def value_range(self) -> tuple[float, float]:
        """The range of pixel values that the network is trained for: (low, high)."""
        value = self._attribute("VALUE_RANGE", tuple)
        numbers = [v for v in value if isinstance(v, int | float) and math.isfinite(v)]
        if len(value) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
            raise self._wrong("VALUE_RANGE", f"is {value!r}, not (low, high)")
        return float(value[0]), float(value[1])

    @property
    def size(self) -> Size | None:
        """The one size that the network is tied to or trained at, if the recipe names one."""
        if getattr(self.module, "SIZE", None) is None:
            return None
        value = self._attribute("SIZE", tuple)
        if len(value) != 2 or not all(isinstance(v, int) and v > 0 for v in value):
            raise self._wrong("SIZE", f"is {value!r}, not (height, width)")
        return Size(*value)

    @property
    def training(self) -> Training:
        """The recipe's ``TRAINING``."""
        training = Training(**self._numbers("TRAINING", Training, self._attribute("TRAINING", dict)))
        if bool(training.epochs and training.batch) == bool(training.steps and training.pixels):
            raise self._wrong("TRAINING", "needs either epochs and batch, or steps and pixels")
        if training.patience and not training.validation_share:
            raise self._wrong("TRAINING", "has patience and no validation_share of images to look at")
        if not training.most_images:
            raise self._wrong("TRAINING", "most_images is 0; a batch holds at least one image")
        return training

    @property
    def augment(self) -> Augment:
        """The recipe's ``AUGMENT``; none if it has none, and none of nearly that name."""
        if not hasattr(self.module, "AUGMENT"):
            for name, value in vars(self.module).items():
                if name.upper().startswith("AUG") and isinstance(value, dict):
                    raise self._wrong(name, "would not be used; did you mean AUGMENT?")
            return Augment()
        return Augment(**self._numbers("AUGMENT", Augment, self._attribute("AUGMENT", dict)))

    def _numbers(self, name: str, kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
        """The keys and numbers of a table, each known to ``kind``; whole where its default is whole."""
        known = {field.name: type(field.default) for field in fields(kind)}
        for key, number in value.items():
            if key not in known:
                raise self._wrong(name, f"has an unknown key {key!r}{nearest(str(key), known)}")
            if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 1e12:
                raise self._wrong(name, f"{key} is {number!r}, not a number of zero or more")
            if known[key] is int and not isinstance(number, int):
                raise self._wrong(name, f"{key} is {number!r}, not a whole number")
            if number > _MOST.get(key, number):
                raise self._wrong(name, f"{key} is {number!r}, more than {_MOST[key]}")
        return dict(value)

    def _attribute(self, name: str, kind: type) -> Any:
        value = getattr(self.module, name, None)
        if value is None:
            raise self._wrong(name, "is missing")
        if not isinstance(value, kind):
            raise self._wrong(name, f"is {type(value).__name__}, not {kind.__name__}")
        return value

    def _wrong(self, attribute: str, what: str) -> ModelRefused:
        return ModelRefused(
            f"{self.path}: {attribute} {what}",
            cause="the file is not a recipe, or not a whole one",
            next="compare it with models/multiscale.py",
        )

    @contextlib.contextmanager
    def _blamed(self, call: str = "") -> Iterator[None]:
        """The recipe's own code runs here: what it raises is the recipe's fault, ``sys.exit`` too.

        A recipe that goes to another folder would take the run folder's relative path along.
        """
        folder = Path.cwd()
        try:
            yield
        except (Exception, SystemExit) as error:
            raise self._raised(error, call) from error
        finally:
            os.chdir(folder)

    def _raised(self, error: BaseException, call: str) -> ModelRefused:
        line = _line_in(error, self.path)
        told = error.msg if isinstance(error, SyntaxError) else str(error)
        where = f"{self.path}, line {line}" if line else f"{self.path}"
        what = f"{where}: {type(error).__name__}: {told}".rstrip(": ")
        beside = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if beside and any(self.path.with_name(name).exists() for name in (f"{beside}.py", beside)):
            return ModelRefused(
                what,
                cause="a recipe is one file: what lies beside it is not imported, "
                "nor are its changes noticed",
                next=f"put what it takes from {beside} into the recipe, or install {beside} as a package",
            )
        code = f"import runpy; runpy.run_path({json.dumps(str(self.path), ensure_ascii=False)}){call}"
        return ModelRefused(
            what,
            cause="the recipe itself raised this when it was loaded or called",
            next=f"try it alone: python {f'-c {shlex.quote(code)}' if call else shlex.quote(str(self.path))}",
        )


@dataclass(frozen=True)
class ModelFile:
    """A saved Keras model."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file."""
        return sha256_of_file(self.path)


def check_counts(channels: int, classes: int) -> None:
    """Refuse what no recipe makes a network for.

    Raises:
        UsageError: there are none, or absurdly many.
    """
    if not 1 <= channels <= 1024 or not 1 <= classes <= 1_000_000:
        raise UsageError(
            f"{channels} channels and {classes} classes is no image network",
            cause="an image has 1 to 1,024 channels, and there are 1 to 1,000,000 classes",
            next="give --channels and --classes like 3 and 10",
        )


def find_model(text: str) -> Recipe | ModelFile:
    """What MODEL on the command line means: a recipe's name, a recipe's path or a saved model's path.

    Raises:
        UsageError: there is nothing of that name.
        ModelRefused: what is there is no model.
    """
    try:
        return _found(text, shipped_recipes())
    except OSError as error:
        raise UsageError(
            f"the model {text[:80]!r} cannot be looked up: {error.strerror}",
            cause="it is no path, or a folder on the way to it may not be read",
            next="name a recipe, a recipe's path or a .keras file",
        ) from None


def _found(text: str, shipped: Mapping[str, Path]) -> Recipe | ModelFile:
    path = Path(text)
    if text in shipped:
        return Recipe(shipped[text])
    if text and path.is_dir():
        raise ModelRefused(
            f"{text} is a folder, not a model",
            cause="a SavedModel holds a graph without its layers"
            if (path / "saved_model.pb").is_file()
            else "a recipe is one .py file, a saved model one .keras file",
            next="name a recipe, a recipe's path or a .keras file",
        )
    if path.suffix in (".py", *SUFFIXES_OF_MODEL_FILES):
        if not path.is_file():
            raise UsageError(
                f"there is no file {text}",
                cause="the path is misspelt, or relative to another folder",
                next=f"look at what is there: ls {shlex.quote(str(path.parent))}",
            )
        return Recipe(path) if path.suffix == ".py" else ModelFile(path)
    if path.is_file():
        raise ModelRefused(
            f"{text} is no model that fcnship reads",
            cause=f"its name ends neither in .py nor in {', '.join(SUFFIXES_OF_MODEL_FILES)}",
            next="save it from Keras with model.save('NAME.keras')",
        )
    raise UsageError(
        f"there is no model {text!r}",
        cause=f"it is neither a file nor one of the recipes {', '.join(shipped)}{nearest(text, shipped)}",
        next="name a recipe, a recipe's path or a .keras file",
    )


def shipped_recipes() -> dict[str, Path]:
    """Recipes by name: those in ``models/`` of the current folder, then those that came with fcnship."""
    folders = [_PACKAGE / "shipped" / "models", _PACKAGE.parents[1] / "models", Path("models")]
    return {
        path.stem: path
        for folder in folders
        for path in sorted(folder.glob("*.py"))
        if not path.name.startswith("_")
    }


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known word that is nearest, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _line_in(error: BaseException, path: Path) -> int:
    if isinstance(error, SyntaxError):
        return error.lineno or 0 if error.filename == str(path.resolve()) else 0
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path.resolve()):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
