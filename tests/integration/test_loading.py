"""Loading: what is whole loads, what is not is refused by its reason, and no code runs untrusted."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from convert_models import conv, head, image, with_weights
from keras import layers

from fcnship.errors import FcnshipError, ModelRefused, UsageError
from fcnship.graph.convert import convert
from fcnship.graph.loading import load_model, load_model_with_notes

# Keras 3.15 saves by a call that numpy 2 deprecates, and calls .h5 a legacy format.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
]


@keras.saving.register_keras_serializable(package="mine")
class Doubled(layers.Layer):
    """A custom layer."""

    def call(self, x: Any) -> Any:
        return x * 2


def _model(*extra: Any) -> Any:
    start = image(8)
    x = conv()(start)
    for layer in extra:
        x = layer(x)
    return with_weights(keras.Model(start, head(x), name="net"))


@pytest.fixture(params=["model.keras", "model.h5", "model.hdf5"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Path]:
    """A model, and the file that holds it."""
    model, path = _model(), tmp_path / request.param
    model.save(path)
    return model, path


def _refusal(path: Path, **how: Any) -> FcnshipError:
    with pytest.raises(ModelRefused) as caught:
        load_model(path, **how)
    assert caught.value.exit_code == 3
    assert str(path) in caught.value.what
    return caught.value


def test_a_whole_file_loads_as_the_same_function(saved, capfd):
    model, path = saved
    loaded = load_model_with_notes(str(path))
    batch = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype("float32")
    assert np.array_equal(np.asarray(model(batch)), np.asarray(loaded.model(batch)))
    assert loaded.notes == ()
    assert not loaded.model.compiled
    assert np.asarray(convert(loaded.model)(batch)).shape == (2, 1, 1, 3)
    assert capfd.readouterr() == ("", "")


def test_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(UsageError) as caught:
        load_model(tmp_path / "no.keras")
    assert str(caught.value) == (
        f"{tmp_path / 'no.keras'}: no such file\n"
        "  cause: the path is misspelt, or relative to another folder\n"
        "  next:  name a .keras or .h5 file that is there"
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_off(saved, share):
    _, path = saved
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert _refusal(path).what == f"{path} is damaged or cut off"


def test_a_changed_byte_in_an_archive(tmp_path):
    path = tmp_path / "model.keras"
    _model().save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert "damaged or cut off" in _refusal(path).what


def test_empty(saved):
    _, path = saved
    path.write_bytes(b"")
    assert _refusal(path).what == f"{path} is empty"


def test_not_what_its_name_says(saved):
    _, path = saved
    path.write_bytes(b"just some text, nothing like a model")
    assert _refusal(path).what == f"{path} is not what its name says"


def test_an_unknown_kind(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"x")
    assert str(_refusal(path)) == (
        f"{path} is no kind of model file that is known\n"
        "  cause: its name ends in .pt; a model file ends in .keras, .h5 or .hdf5\n"
        "  next:  save the model again with model.save('model.keras')"
    )


def test_a_folder(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    assert _refusal(tmp_path).cause == "a SavedModel holds a graph without its layers"


def test_an_archive_of_something_else(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert _refusal(path).cause == "the archive lacks its config.json"


def test_weights_alone(tmp_path):
    path = tmp_path / "model.weights.h5"
    _model().save_weights(path)
    assert _refusal(path).what == f"{path} holds no model"


def test_weights_that_do_not_fit(saved):
    _, path = saved
    if path.suffix == ".keras":
        _edit_archive(path, lambda text: text.replace('"units": 3', '"units": 4'))
    else:
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = file.attrs["model_config"].replace('"units": 3', '"units": 4')
    error = _refusal(path)
    assert error.what == f"the weights in {path} do not fit its layers"
    assert error.cause


def _used_inside_another_and_outside() -> Any:
    start = keras.Input((None, None, 4))
    block = keras.Model(start, conv(padding="same", name="kernel")(start), name="block")
    around = keras.Model(start, layers.ReLU()(block(start)), name="around")
    whole = image(8)
    return with_weights(keras.Model(whole, head(block(around(conv()(whole)))), name="net"))


def test_a_model_used_inside_another_and_outside_is_told_by_name(tmp_path):
    _used_inside_another_and_outside().save(tmp_path / "model.keras")
    error = _refusal(tmp_path / "model.keras")
    assert error.what == f"{tmp_path / 'model.keras'} has no weights for layer 'kernel' at one of its places"
    assert error.cause is not None
    assert error.cause.startswith("Functional 'block' is used in two models")
    assert "model.save('model.h5')" in error.next


def test_the_way_out_of_that_is_one(tmp_path):
    model, path = _used_inside_another_and_outside(), tmp_path / "model.h5"
    model.save(path)
    batch = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype("float32")
    assert np.array_equal(np.asarray(model(batch)), np.asarray(load_model(path)(batch)))


def test_a_trained_size_that_pools_to_zero(tmp_path):
    path = tmp_path / "model.keras"
    _model().save(path)
    _edit_archive(path, lambda text: text.replace("[null, 8, 8, 2]", "[null, 2, 2, 2]"))
    error = _refusal(path)
    assert error.what == f"{path} cannot be loaded: its layers cannot be built"
    assert "zero or negative" in error.cause


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_code_is_refused_by_name_and_never_run(tmp_path, name):
    ran = tmp_path / "ran"
    path = tmp_path / name
    source = f"lambda x: x if __import__('pathlib').Path({str(ran)!r}).touch() is None else x"
    _model(layers.Lambda(eval(source), name="scale", output_shape=(6, 6, 4))).save(path)
    ran.unlink(missing_ok=True)
    error = _refusal(path)
    assert error.what == f"{path} holds Lambda layer 'scale', which is code"
    assert "--trust" in error.next
    assert not ran.exists()
    load_model(path, trust=True)(np.zeros((1, 8, 8, 2), "float32"))
    assert ran.exists()


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_custom_objects_are_refused_by_name(tmp_path, name):
    path = tmp_path / name
    _model(Doubled(name="mine")).save(path)
    error = _refusal(path)
    assert "custom object" in error.what
    assert "Doubled ('mine')" in error.what
    assert type(load_model(path, trust=True).get_layer("mine")) is Doubled


def test_a_class_of_the_script_itself_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(Doubled, "__module__", "__main__")  # Keras writes no module then
    _model(Doubled(name="mine")).save(tmp_path / "model.keras")
    error = _refusal(tmp_path / "model.keras")
    assert error.what == f"{tmp_path / 'model.keras'} holds custom object Doubled ('mine'), which is code"


def test_a_file_is_checked_before_tensorflow_is_imported(tmp_path):
    path = tmp_path / "model.keras"
    _model(layers.Lambda(lambda x: x, name="scale")).save(path)
    program = (
        "import sys; from fcnship.graph.loading import load_model\n"
        f"try: load_model({str(path)!r})\n"
        "except Exception as error: print(type(error).__name__, *{'tensorflow', 'keras'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "ModelRefused\n"


def _edit_archive(path: Path, change: Any) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = change(json.dumps(json.loads(parts["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
