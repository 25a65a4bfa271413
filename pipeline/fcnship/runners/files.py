"""Opens model files of any origin, by what they are: Keras, SavedModel, ONNX, engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcnship.errors import ArtifactError, ModelRefused, UsageError
from fcnship.options import Layout
from fcnship.recipe import SUFFIXES_OF_MODEL_FILES
from fcnship.runners import Runner

Dimensions = Sequence[int | None]


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What a network takes and gives; None where the file leaves it open."""

    channels: int | None
    classes: int | None
    height: int | None = None
    width: int | None = None
    batch: int | None = None
    output: str = "vector"
    parameters: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelFileOpened:
    """A file, its runner and its interface; ``about`` is what the file says of itself."""

    path: Path
    runner: Runner
    interface: Interface
    layout: Layout
    about: dict[str, Any]


def kind_of(path: Path) -> str:
    """``keras``, ``savedmodel``, ``onnx`` or ``engine``.

    Raises:
        UsageError: there is nothing at the path.
        ModelRefused: it is no model.
    """
    if not path.exists():
        raise UsageError(
            f"{path}: no such file or folder",
            cause="the path is misspelt, or relative to another folder",
            next="name a .keras, .onnx or .engine file or a SavedModel that is there",
        )
    if path.is_dir() and (path / "saved_model.pb").is_file():
        return "savedmodel"
    suffix = path.suffix.lower()
    if path.is_file() and suffix in SUFFIXES_OF_MODEL_FILES:
        return "keras"
    if path.is_file() and suffix in (".onnx", ".engine"):
        return suffix[1:]
    ending = f"a file that ends in {suffix or 'nothing'}"
    what = "a folder without saved_model.pb" if path.is_dir() else ending
    raise ModelRefused(
        f"{path} is no model that fcnship opens",
        cause=f"it is {what}",
        next="give .keras, .h5, .onnx or .engine files, or SavedModel folders",
    )


def open_file(path: Path, channels: int | None = None) -> ModelFileOpened:
    """Open a file; ``channels`` decides the order of an ONNX input that could be either.

    Raises:
        UsageError, ModelRefused, ArtifactError: it is not there, no model, or damaged.
        Unrunnable: it is an engine, and nothing here can run it.
    """
    match kind_of(path):
        case "keras":
            return _keras(path)
        case "savedmodel":
            return _savedmodel(path)
        case "onnx":
            return _onnx(path, channels)
        case _:
            return _engine(path)


def layout_from(path: Path, shape: Dimensions, channels: int | None = None) -> Layout:
    """The order of a declared input shape (batch, ?, ?, ?): where the fixed, or the expected, channels stand.

    Raises:
        ModelRefused: it is no shape of images, or could be either.
    """
    if len(shape) == 4:
        first, last = shape[1], shape[3]
        if channels is not None and (first == channels) != (last == channels):
            return "nchw" if first == channels else "nhwc"
        if (first is None) != (last is None):
            return "nhwc" if first is None else "nchw"
        if first is not None and last is not None and (first <= 4) != (last <= 4):
            return "nchw" if first <= 4 else "nhwc"
    told = ", ".join("?" if side is None else str(side) for side in shape)
    raise ModelRefused(
        f"the input of {path} has the shape ({told})",
        cause="that is no batch of images whose channels could be told from their sides",
        next="export it with a fixed number of channels: (batch, channels, height, width)",
    )


def _keras(path: Path) -> ModelFileOpened:
    from fcnship.runners.keras import KerasRunner

    runner = KerasRunner("keras", path)
    model = runner.model
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.inputs[0].shape) != 4:
        raise ModelRefused(
            f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs",
            cause="fcnship compares networks that take one image and give one set of class scores",
            next="make a model of one input and one output from it: keras.Model(image, scores)",
        )
    interface = _interface(model.inputs[0].shape, model.outputs[0].shape, "nhwc", model.count_params())
    return ModelFileOpened(path=path, runner=runner, interface=interface, layout="nhwc", about={})


def _savedmodel(path: Path) -> ModelFileOpened:
    from fcnship.runners.savedmodel import SavedModelRunner

    try:
        runner = SavedModelRunner("savedmodel", path)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"TensorFlow does not open {path}: {str(error).splitlines()[0]}",
            cause="the folder is damaged or incomplete",
            next="copy it again, with its variables/ folder",
        ) from error
    images, outputs = runner.shapes
    interface = _interface(images, outputs, "nhwc", runner.parameters)
    return ModelFileOpened(path=path, runner=runner, interface=interface, layout="nhwc", about={})


def _onnx(path: Path, channels: int | None) -> ModelFileOpened:
    import onnx

    from fcnship.runners.onnxruntime import open_onnx

    try:
        model = onnx.load(path)
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be read as ONNX: {str(error).splitlines()[0]}",
            cause="the file is cut off, is no ONNX, or its external data is missing",
            next="copy it again, with its external data beside it",
        ) from error
    about = {entry.key: entry.value for entry in model.metadata_props}
    inputs = [_dimensions(value) for value in model.graph.input if value.name not in _weights(model)]
    shape = inputs[0] if len(inputs) == 1 else []
    layout = layout_from(path, shape, channels) if len(inputs) == 1 else "nchw"
    runner = open_onnx(f"onnx-{_precision(model)}", path, layout)
    interface = _interface(shape, _dimensions(model.graph.output[0]), layout, _numbers(model))
    return ModelFileOpened(path=path, runner=runner, interface=interface, layout=layout, about=about)


def _engine(path: Path) -> ModelFileOpened:
    from fcnship.runners.tensorrt import EngineRunner

    about = engine_about(path)
    runner = EngineRunner(f"engine-{about['precision']}", path, about["layout"])
    interface = Interface(channels=None, classes=None)
    return ModelFileOpened(path=path, runner=runner, interface=interface, layout=about["layout"], about=about)


def engine_about(path: Path) -> dict[str, Any]:
    """The JSON beside an engine.

    Raises:
        ArtifactError: it is missing, or is none.
    """
    try:
        about: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        _ = about["flavour"], about["precision"], about["layout"], about["profiles"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path.with_suffix('.json')} does not say what the engine beside it is: {error}",
            cause="an engine is of no use without it: flavour, precision, layout and profiles stand there",
            next="copy both files from the run folder's engines/",
        ) from None
    return about


def _interface(images: Dimensions, outputs: Dimensions, layout: Layout, parameters: int) -> Interface:
    batch, *sides = images if len(images) == 4 else (None, None, None, None)
    channels, height, width = sides if layout == "nchw" else (sides[2], sides[0], sides[1])
    is_map = len(outputs) == 4
    classes = (outputs[1] if is_map and layout == "nchw" else outputs[-1]) if outputs else None
    return Interface(
        batch=batch,
        channels=channels,
        height=height,
        width=width,
        classes=classes,
        output="map" if is_map else "vector",
        parameters=parameters,
    )


def _dimensions(value: Any) -> list[int | None]:
    return [side.dim_value or None for side in value.type.tensor_type.shape.dim]


def _weights(model: Any) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


def _numbers(model: Any) -> int:
    import math

    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer)


def _precision(model: Any) -> str:
    """By what the graph holds, not by a name: Q/DQ is INT8, weights in float16 are FP16."""
    import onnx

    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    held = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1}
    return "fp16" if onnx.TensorProto.FLOAT16 in held else "fp32"
