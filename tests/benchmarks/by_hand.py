"""What ``fcnship build`` does, written by hand for one network, to compare the time: see build_overhead.py.

    python tests/benchmarks/by_hand.py RECIPE.py CASES.json OUT

Trains the recipe's network for three steps, writes keras/model.keras, savedmodel/, onnx/fp32.onnx, an engine
and report.json below OUT, with plain calls of the same libraries, and measures the cases of CASES.json:
parity with its noise floor in float64, accuracy, and latency in interleaved rounds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

STEPS = [(28, 128), (80, 30), (224, 3)]  # sides and images of the three training batches
PIXELS_A_BATCH = 1 << 19


def load_recipe(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("recipe", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def load_data() -> tuple[Any, ...]:
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x, y, test_size=360, random_state=0, stratify=y)
    images = [(part * (255 / 16)).reshape(-1, 8, 8, 1).astype(np.float32) for part in parts[:2]]
    return (*images, *parts[2:])


def train(model: Any, optimizer: Any, images: Any, labels: Any) -> None:
    signature = [tf.TensorSpec((None, None, None, 1)), tf.TensorSpec((None,), tf.int32)]

    @tf.function(input_signature=signature)
    def step(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            scores = model(images, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, scores))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    optimizer.build(model.trainable_variables)
    for side, count in STEPS:
        step(tf.image.resize(images[:count], (side, side)), tf.constant(labels[:count], tf.int32))
    optimizer.finalize_variable_values(model.trainable_variables)


def write_onnx(model: Any, path: Path) -> None:
    signature = [tf.TensorSpec((None, None, None, 1), tf.float32, name="image")]
    function = tf.function(lambda image: {"probabilities": model(image, training=False)})
    made, _ = tf2onnx.convert.from_function(
        function, input_signature=signature, opset=18, inputs_as_nchw=["image"]
    )
    names = ["batch", None, "height", "width"]
    for dimension, name in zip(made.graph.input[0].type.tensor_type.shape.dim, names, strict=True):
        if name:
            dimension.dim_param = name
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)


def write_engine(model: Path, path: Path) -> None:
    import tensorrt_rtx
    from polygraphy.backend.tensorrt_rtx import CreateConfigRTX
    from polygraphy.backend.trt import Profile, engine_bytes_from_network, network_from_onnx_path

    builder, network, parser = network_from_onnx_path(str(model), strongly_typed=True)
    profile = Profile().add("image", min=(1, 1, 28, 28), opt=(1, 1, 80, 80), max=(8, 1, 224, 224))
    targets = [(8, 0), (8, 6), (8, 9), (12, 0), (12, 1)]
    config = CreateConfigRTX(profiles=[profile], compute_capabilities=targets)(builder, network)
    config.clear_flag(tensorrt_rtx.BuilderFlag.TF32)
    path.write_bytes(engine_bytes_from_network((builder, network, parser), config=config))


def open_variants(out: Path) -> dict[str, tuple[Any, Any]]:
    """For each variant, what brings images into its form, and what runs it."""
    model = keras.saving.load_model(out / "keras/model.keras", compile=False)
    loaded = tf.saved_model.load(str(out / "savedmodel"))
    session = onnxruntime.InferenceSession(out / "onnx/fp32.onnx", providers=["CPUExecutionProvider"])
    signature = loaded.signatures["serving_default"]
    name = next(iter(signature.structured_input_signature[1]))
    return {
        "keras": (tf.constant, lambda x: model(x, training=False).numpy()),
        "savedmodel": (
            tf.constant,
            lambda x, _=loaded: next(iter(signature(**{name: x}).values())).numpy(),
        ),
        "onnx-fp32": (
            lambda x: np.ascontiguousarray(x.transpose(0, 3, 1, 2)),
            lambda x: session.run(None, {"image": x})[0],
        ),
    }


def pictures(images: Any, size: tuple[int, int]) -> Any:
    return tf.image.resize(images, size, antialias=True).numpy()


def parity(variants: Any, exact: Any, images: Any, cases: Any) -> list[Any]:
    rows, rng = [], np.random.default_rng(0)
    for height, width, batch in cases:
        x = pictures(images[rng.integers(len(images), size=batch)], (height, width))
        if batch > 1:
            x[-1] = rng.uniform(0, 255, x[-1].shape)
        outputs = {name: infer(prepare(x)) for name, (prepare, infer) in variants.items()}
        expected = outputs.pop("keras")
        floor = np.abs(np.asarray(exact(x.astype(np.float64), training=False)) - expected).max()
        for name, found in outputs.items():
            error = float(np.abs(found - expected).max())
            passed = bool(error <= max(64 * floor, 1e-6))
            rows.append([name, height, width, batch, error, float(floor), passed])
    return rows


def accuracy(variants: Any, images: Any, labels: Any, sizes: Any) -> list[Any]:
    rows = []
    for height, width in sizes:
        count = max(1, min(PIXELS_A_BATCH // (height * width), 512))
        right = dict.fromkeys(variants, 0)
        for start in range(0, len(images), count):
            x, y = pictures(images[start : start + count], (height, width)), labels[start : start + count]
            for name, (prepare, infer) in variants.items():
                right[name] += int((infer(prepare(x)).argmax(axis=1) == y).sum())
        rows += [[name, height, width, number / len(images)] for name, number in right.items()]
    return rows


def latency(variants: Any, images: Any, cases: Any, seconds: float) -> list[Any]:
    feeds = []
    for case in cases:
        x = pictures(images[: case[2]], tuple(case[:2]))
        feeds += [(case, name, prepare(x), infer) for name, (prepare, infer) in variants.items()]
    for _ in range(2):
        for *_, feed, infer in feeds:
            infer(feed)
    times: list[list[float]] = [[] for _ in feeds]
    rng, end = np.random.default_rng(0), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for place in rng.permutation(len(feeds)):
            start = time.perf_counter()
            feeds[place][3](feeds[place][2])
            times[place].append(time.perf_counter() - start)
    return [[*case, name, np.median(row) * 1e3] for (case, name, *_), row in zip(feeds, times, strict=True)]


def main() -> None:
    recipe, out = load_recipe(Path(sys.argv[1])), Path(sys.argv[3])
    cases = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    for folder in ("keras", "onnx", "engines"):
        (out / folder).mkdir(parents=True)
    x_train, x_test, y_train, y_test = load_data()
    model = recipe.model(1, 10)
    train(model, recipe.optimizer(len(STEPS)), x_train, y_train)
    model.save(out / "keras/model.keras")
    model.export(out / "savedmodel", verbose=False)
    write_onnx(model, out / "onnx/fp32.onnx")
    write_engine(out / "onnx/fp32.onnx", out / "engines/rtx.engine")
    variants = open_variants(out)
    keras.config.set_dtype_policy("float64")
    exact = recipe.model(1, 10)
    exact.set_weights(model.get_weights())
    report = {
        "parity": parity(variants, exact, x_test, cases["parity"]),
        "accuracy": accuracy(variants, x_test, y_test, cases["accuracy"]),
        "latency": latency(variants, x_test, cases["latency"], cases["latency_seconds"]),
    }
    assert all(row[-1] for row in report["parity"])
    (out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
