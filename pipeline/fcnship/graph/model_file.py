"""What a model file says of itself: its kind, whether it is whole, its configuration. No TensorFlow here."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fcnship.errors import ModelRefused, UsageError

KERAS, HDF5 = ".keras", (".h5", ".hdf5")
_ZIP_MAGIC, _HDF5_MAGIC = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_SAVE_AGAIN = "save the model again with model.save('model.keras')"


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model file that is whole. ``backend`` and ``keras_version`` are empty where the file does not say."""

    path: Path
    kind: Literal["keras", "h5"]
    config: Any
    keras_version: str = ""
    backend: str = ""


def read_model_file(path: Path | str) -> ModelFile:
    """Check a ``.keras`` or ``.h5`` file from end to end, and read its configuration.

    Raises:
        UsageError: there is no such file.
        ModelRefused: it is no model file, is cut off or damaged, or holds weights alone.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(
            f"{path}: no such file",
            cause="the path is misspelt, or relative to another folder",
            next="name a .keras or .h5 file that is there",
        )
    if path.is_dir():
        raise ModelRefused(
            f"{path} is a folder, not a model file",
            cause="a SavedModel holds a graph without its layers" if _is_saved_model(path) else "",
            next=_SAVE_AGAIN,
        )
    if path.suffix.lower() not in (KERAS, *HDF5):
        raise ModelRefused(
            f"{path} is no kind of model file that is known",
            cause=f"its name ends in {path.suffix or 'nothing'}; a model file ends in .keras, .h5 or .hdf5",
            next=_SAVE_AGAIN,
        )
    if not path.stat().st_size:
        raise ModelRefused(f"{path} is empty", cause="saving or copying it broke off", next="copy it again")
    return _read_zip(path) if path.suffix.lower() == KERAS else _read_hdf5(path)


def objects_in(config: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object of a configuration, from the outside in; how it was compiled is left out."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config
        for key, part in config.items():
            if key not in ("compile_config", "build_config"):
                yield from objects_in(part)
    elif isinstance(config, list):
        for part in config:
            yield from objects_in(part)


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").exists()


def _read_zip(path: Path) -> ModelFile:
    with path.open("rb") as file:
        if file.read(4) != _ZIP_MAGIC:
            raise _of_another_kind(path, "a .keras file is a zip archive, and this is none")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json"))
            weighted = any("weights" in name for name in archive.namelist())
    except KeyError as error:
        raise ModelRefused(
            f"{path} is no Keras model", cause=f"the archive lacks {_missing(error)}", next=_SAVE_AGAIN
        ) from error
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise cut_off(path, error) from error
    if damaged:
        raise cut_off(path, f"the checksum of {damaged} in it is wrong")
    if not (weighted and isinstance(config, dict) and isinstance(metadata, dict)):
        raise ModelRefused(f"{path} is no Keras model", cause="its parts are not Keras's", next=_SAVE_AGAIN)
    return ModelFile(
        path=path, kind="keras", config=config, keras_version=str(metadata.get("keras_version", ""))
    )


def _read_hdf5(path: Path) -> ModelFile:
    import h5py

    with path.open("rb") as file:
        if file.read(8) != _HDF5_MAGIC:
            raise _of_another_kind(path, "the file does not start as HDF5 does")
    try:
        with h5py.File(path, "r") as file:
            text = {
                name: _text(file.attrs.get(name)) for name in ("model_config", "keras_version", "backend")
            }
            weights: Any = file.get("model_weights")
            version = text["keras_version"] or _text(weights.attrs.get("keras_version") if weights else None)
            # The last numbers of every weight: what a short copy lost shows before Keras builds the model.
            if weights:
                weights.visititems(lambda _, item: item[-1:] if getattr(item, "shape", ()) else None)
            config = json.loads(text["model_config"]) if text["model_config"] else None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise cut_off(path, error) from error
    if config is None or weights is None:
        raise ModelRefused(
            f"{path} holds no model",
            cause="it holds weights without the layers they belong to"
            if config is None
            else "it holds no weights",
            next="save the whole model with model.save, not with save_weights",
        )
    return ModelFile(path=path, kind="h5", config=config, keras_version=version, backend=text["backend"])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _missing(error: KeyError) -> str:
    name = next((part for part in ("config.json", "metadata.json") if part in str(error)), "a part")
    return f"its {name}"


def _of_another_kind(path: Path, cause: str) -> ModelRefused:
    return ModelRefused(f"{path} is not what its name says", cause=cause, next=_SAVE_AGAIN)


def cut_off(path: Path, error: object) -> ModelRefused:
    first_line = str(error).strip().split("\n", 1)[0]
    return ModelRefused(
        f"{path} is damaged or cut off", cause=first_line, next="copy or download it again, or save it again"
    )
