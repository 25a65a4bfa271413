"""Golden data are what an ONNX file takes and gives, in any layout, with any head and type of its ends."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from keras import layers

from fcnship.driver import drive
from fcnship.options import Io, Layout, Options
from fcnship.session import Session
from fcnship.ship.golden import golden_of
from fcnship.sizes import Profile
from fcnship.stages.convert import Convert
from fcnship.stages.engine import sources_of
from fcnship.stages.fp16 import Fp16
from fcnship.stages.onnx import Onnx
from fcnship.stages.train import Train

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
STEPS = (Train(), Convert(), Onnx(), Fp16())


def network(head: str) -> Any:
    """Two convolutions; a map of ten classes, or its average."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(10, 3, padding="same")(x)
    x = layers.Softmax()(x if head == "map" else layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x, name=head)


@pytest.mark.parametrize(
    ("head", "layout", "kind"),
    [("map", "nchw", "fp32"), ("map", "nhwc", "fp32"), ("average", "nhwc", "fp16")],
)
def test_an_onnx_file_answers_them_as_they_are(tmp_path: Path, head: str, layout: Layout, kind: Io) -> None:
    network(head).save(tmp_path / "net.keras")
    session = Session(
        Options(
            model=str(tmp_path / "net.keras"),
            out=tmp_path,
            name="run",
            profiles=(Profile.parse("8-16"),),
            precisions=("fp32", "fp16"),
            layout=layout,
            io=kind,
            value_range=(0.0, 1.0),
        )
    )
    drive(STEPS, session)
    made = golden_of(session, sources_of(session))
    for precision in ("fp32", "fp16"):
        path = session.workspace.path(f"onnx/{precision}.onnx")
        opened: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        taken = np.float16 if precision == kind == "fp16" else np.float32
        for each in made:
            with np.load(io.BytesIO(each.content), allow_pickle=False) as held:
                answer = opened.run(None, {"image": held["image"].astype(taken)})[0]
                assert answer.shape == held["expected"].shape
                assert np.abs(answer - held["expected"]).max() <= each.tolerance[precision]
