"""What the main job made, held against Keras itself and not against what its own report says."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import numpy as np
import pytest
from builds import Job, sha256

SIZES = [(28, 28), (29, 29), (37, 53), (64, 64), (101, 157), (224, 224), (225, 225)]
FLOOR, OBLONG_FLOOR = 0.95, 0.93


@pytest.fixture(scope="module")
def original(job: Job) -> Any:
    """The trained network, loaded with Keras alone."""
    import keras

    return keras.saving.load_model(job.run / "keras/model.keras", compile=False)


@pytest.fixture(scope="module")
def session(job: Job) -> Any:
    """The ONNX file, opened with ONNX Runtime alone."""
    import onnxruntime

    return onnxruntime.InferenceSession(job.run / "onnx/fp32.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    """The held-out fifth of scikit-learn's digits: images (360, 8, 8, 1) in 0..1, and labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    _, held_out, _, truth = train_test_split(images, labels, test_size=360, random_state=0, stratify=labels)
    return (held_out / 16).reshape(-1, 8, 8, 1).astype(np.float32), truth


def pictures(digits: tuple[Any, Any], size: tuple[int, int], count: int) -> Any:
    """Test images in 0..255 at a size, as TensorFlow resizes; black beside what is twice as long as wide."""
    import tensorflow as tf

    inner = min(size[0], 2 * size[1]), min(size[1], 2 * size[0])
    resized = tf.image.resize(digits[0][:count] * 255, inner, antialias=True)
    place = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    return tf.image.pad_to_bounding_box(resized, *place, *size).numpy()


def by_onnx(session: Any, images: Any) -> Any:
    return session.run(["probabilities"], {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})[0]


def test_accuracy_is_what_keras_has(job: Job, original: Any, digits: tuple[Any, Any]) -> None:
    rows = job.rows("accuracy", "keras")
    sizes = [(row["height"], row["width"]) for row in rows]
    assert {(28, 28), (79, 79), (224, 224), (28, 224), (224, 133)} <= set(sizes)
    assert len([size for size in sizes if size[0] == size[1]]) >= 8
    for row, size in zip(rows, sizes, strict=True):
        images = pictures(digits, size, 360)
        scores = np.concatenate(
            [np.asarray(original(images[i : i + 60], training=False)) for i in range(0, 360, 60)]
        )
        right = int((scores.argmax(axis=1) == digits[1]).sum())
        # One image may lie so near the border of two classes that another way to resize decides it.
        assert abs(row["accuracy"] * 360 - right) < 1.01, size
        assert row["images"] == 360
        assert right / 360 >= (FLOOR if size[0] == size[1] else OBLONG_FLOOR), size


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_computes_what_keras_computes(
    original: Any, session: Any, digits: tuple[Any, Any], size: tuple[int, int], batch: int
) -> None:
    images = pictures(digits, size, batch)
    expected = np.asarray(original(images, training=False))
    assert np.abs(by_onnx(session, images) - expected).max() < 1e-5
    assert expected.shape == (batch, 10)
    assert np.ptp(expected, axis=1).min() > 0.1  # a decision, not ten equal numbers


def test_the_savedmodel_computes_what_keras_computes(
    job: Job, original: Any, digits: tuple[Any, Any]
) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(job.run / "savedmodel"))
    for size in SIZES:
        images = pictures(digits, size, 3)
        outputs = loaded.signatures["serve"](image=tf.constant(images))["probabilities"].numpy()
        assert np.abs(outputs - np.asarray(original(images, training=False))).max() < 1e-5, size


@pytest.mark.parametrize("size", [(28, 28), (64, 64), (224, 224)], ids=lambda size: str(size[0]))
def test_pixels_in_0_to_1_and_in_0_to_255_decide_alike(
    session: Any, digits: tuple[Any, Any], size: tuple[int, int]
) -> None:
    images = pictures(digits, size, 90)
    wide, narrow = by_onnx(session, images), by_onnx(session, images / np.float32(255))
    assert (wide.argmax(axis=1) == narrow.argmax(axis=1)).all()
    assert np.abs(wide - narrow).max() < 1e-4


def test_the_onnx_file_is_clean(job: Job) -> None:
    import onnx

    path = job.run / "onnx/fp32.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.shape_inference.infer_shapes(
        onnx.load(path), check_type=True, strict_mode=True, data_prop=True
    )
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert {node.domain for node in model.graph.node} == {""}
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Shape", "Cast", "Identity"}
    assert _dimensions(model.graph.input) == {"image": ["batch", 1, "height", "width"]}
    assert _dimensions(model.graph.output) == {"probabilities": ["batch", 10]}
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def _dimensions(values: Any) -> dict[str, list[str | int]]:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def test_the_onnx_file_says_what_it_is(job: Job) -> None:
    import onnx

    said = {entry.key: entry.value for entry in onnx.load(job.run / "onnx/fp32.onnx").metadata_props}
    assert said["fcnship.version"] == metadata.version("fcnship")
    assert said["fcnship.model_sha256"] == sha256(job.run / "keras/model.keras")
    assert said["fcnship.minimum_size"] == "4x4"
    assert json.loads(said["fcnship.total_stride"]) == 32
    assert json.loads(said["fcnship.labels"]) == [str(label) for label in range(10)]
    assert json.loads(said["fcnship.value_range"]) == [0, 255]
