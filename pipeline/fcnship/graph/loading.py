"""Loads Keras models from files, old ones too, and refuses what cannot be loaded safely."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcnship.errors import ModelRefused
from fcnship.frameworks import import_keras
from fcnship.graph.keras1 import MODELS
from fcnship.graph.legacy import MIRRORED_BACKEND, kernels_stand_first, modern_config
from fcnship.graph.misfit import weights_do_not_fit
from fcnship.graph.model_file import ModelFile, cut_off, objects_in, read_model_file
from fcnship.graph.surgery.values import array_of


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model, and what was mended so that it loads as the same function."""

    model: Any
    notes: tuple[str, ...] = ()


def load_model(path: Path | str, *, trust: bool = False) -> Any:
    """Load a ``.keras``, ``.h5`` or ``.hdf5`` file, not compiled. Nothing is printed.

    ``trust`` allows the file's own code (Lambda layers, custom objects) to run.

    Raises:
        UsageError: there is no such file.
        ModelRefused: it is no model, is damaged, holds code that is not trusted, or its weights do not fit.
    """
    return load_model_with_notes(path, trust=trust).model


def load_model_with_notes(path: Path | str, *, trust: bool = False) -> LoadedModel:
    """The same as ``load_model``, with what was mended in a file of an older Keras."""
    file = read_model_file(path)
    if not trust:
        _refuse_code(file)
    if file.kind == "keras" and not file.keras_version.startswith("2."):
        return LoadedModel(model=_load(file.path, file, file.config, trust))
    config, notes = modern_config(file.config)
    if not trust:
        _refuse_unknown(file, config)
    model = _load_mended(file, config, trust)
    if file.backend == MIRRORED_BACKEND:
        count = _mirror_kernels(model)
        notes = (*notes, f"written by the theano backend: {count} convolution kernels were flipped")
    return LoadedModel(model=_of_one_tensor(model), notes=notes)


def _load_mended(file: ModelFile, config: Any, trust: bool) -> Any:
    """Load a copy of the file whose configuration (and, for Keras 1, kernels) are as Keras 3 wants them."""
    first = kernels_stand_first(file.config)
    if config == file.config and not first:
        return _load(file.path, file, config, trust)
    with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
        mended = Path(folder) / f"model.{file.kind}"
        if file.kind == "keras":
            _write_archive(file, config, mended)
        else:
            try:
                _write_hdf5(file, config, first, mended)
            except (RuntimeError, OSError, KeyError) as error:  # h5py's, where a block cannot be read
                raise cut_off(file.path, error) from error
        return _load(mended, file, config, trust)


def _write_archive(file: ModelFile, config: Any, mended: Path) -> None:
    with zipfile.ZipFile(file.path) as old, zipfile.ZipFile(mended, "w") as new:
        for name in old.namelist():
            if name != "config.json":
                with old.open(name) as source, new.open(name, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target)
        new.writestr("config.json", json.dumps(config))


def _write_hdf5(file: ModelFile, config: Any, first: frozenset[str], mended: Path) -> None:
    import h5py

    with h5py.File(file.path, "r") as old, h5py.File(mended, "w") as new:
        old.copy("model_weights", new)
        for name in ("keras_version", "backend"):
            if name in old.attrs:
                new.attrs[name] = old.attrs[name]
        new.attrs["model_config"] = json.dumps(config).encode("utf-8")
        weights: Any = new["model_weights"]
        for layer in first & set(weights):
            _move_kernel(weights[layer])


def _move_kernel(group: Any) -> None:
    """From (filters, channels, rows, columns), Keras 1's ``th``, to (rows, columns, channels, filters)."""
    for name in group.attrs["weight_names"]:
        label = name.decode("utf-8") if isinstance(name, bytes) else name
        kernel = group[label][()]
        if kernel.ndim == 4:
            del group[label]
            group[label] = kernel.transpose(2, 3, 1, 0)


def _load(path: Path, file: ModelFile, config: Any, trust: bool) -> Any:
    keras = import_keras()

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        if _builds(config, trust):
            raise weights_do_not_fit(file.path, config, error) from error
        raise ModelRefused(
            f"{file.path} cannot be loaded: its layers cannot be built",
            cause=_first_line(error),
            next="save it again with Keras 3, or import the module that registers its custom objects",
        ) from error


def _builds(config: Any, trust: bool) -> bool:
    """Whether the layers can be built without their weights: tells which half of a load failed."""
    keras = import_keras()

    try:
        with warnings.catch_warnings(), keras.src.saving.serialization_lib.SafeModeScope(not trust):
            warnings.simplefilter("ignore")
            kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
            kind.from_config(copy.deepcopy(config["config"]))
    except Exception:  # noqa: BLE001 - any failure means the same here
        return False
    return True


def _refuse_code(file: ModelFile) -> None:
    """Refuse Lambda layers and custom objects by name, before anything of the file can run."""
    for item in objects_in(file.config):
        kind, name = item["class_name"], _name_of(item)
        if kind in ("Lambda", "__lambda__"):
            raise _untrusted(file, f"Lambda layer {name}" if kind == "Lambda" else "a Python lambda")
        if "module" not in item:
            continue
        # Of a class that was defined in the script itself, ``__main__``, Keras writes no module.
        if str(item["module"]).split(".")[0] not in _own_modules(kind):
            custom = item["config"] if kind == "function" else f"{kind} ({name})"
            raise _untrusted(file, f"custom object {custom}")


def _own_modules(kind: str) -> tuple[str, ...]:
    return ("keras", "tf_keras") if kind in MODELS else ("keras",)


def _refuse_unknown(file: ModelFile, config: Any) -> None:
    """Refuse classes of an h5 file, which names no modules, that Keras does not have."""
    keras = import_keras()

    known = {*dir(keras.layers), "Functional", "Model", "Sequential"}
    for item in objects_in(config):
        if item.get("module"):
            continue
        if "name" in _config_of(item) and item["class_name"] not in known:
            raise _untrusted(file, f"custom object {item['class_name']} ({_name_of(item)})")
        activation = _config_of(item).get("activation")
        if isinstance(activation, str) and activation not in dir(keras.activations):
            raise _untrusted(file, f"custom object {activation} ({_name_of(item)})")


def _untrusted(file: ModelFile, what: str) -> ModelRefused:
    return ModelRefused(
        f"{file.path} holds {what}, which is code",
        cause="loading it would run that code",
        next="replace it by layers of Keras; or, if you trust whoever wrote the file, give --trust",
    )


def _name_of(item: dict[str, Any]) -> str:
    return repr(_config_of(item).get("name", item.get("registered_name", "")))


def _config_of(item: dict[str, Any]) -> dict[str, Any]:
    config = item.get("config")
    return config if isinstance(config, dict) else {}


def _mirror_kernels(model: Any) -> int:
    """Turn each convolution's kernel by half a turn: Theano convolves, every other backend correlates.

    Depthwise kernels are left alone: Keras turned those itself before it gave them to Theano
    (``_preprocess_conv2d_depthwise_kernel`` in its theano_backend.py).
    """
    keras = import_keras()

    convolutions = (
        keras.layers.Conv1D,
        keras.layers.Conv2D,
        keras.layers.Conv3D,
        keras.layers.Conv2DTranspose,
    )
    turned = 0
    for layer in model._flatten_layers():
        # SeparableConv2D and DepthwiseConv2D are no subclasses of these.
        if isinstance(layer, convolutions):
            kernel = array_of(layer.kernel)
            layer.kernel.assign(kernel[tuple(slice(None, None, -1) for _ in kernel.shape[:-2])])
            turned += 1
    return turned


def _of_one_tensor(model: Any) -> Any:
    """A model that h5 brings back with ``[input]`` takes the tensor alone, as it did before it was saved."""
    keras = import_keras()

    if isinstance(model, keras.Sequential) or not isinstance(getattr(model, "_inputs_struct", None), list):
        return model
    if len(model.inputs) != 1:
        return model
    outputs = model.outputs[0] if len(model.outputs) == 1 else model.outputs
    return keras.Model(model.inputs[0], outputs, name=model.name)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
