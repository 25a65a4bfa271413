"""FP16's rounding on the CPU: ONNX Runtime leaves it out, and the rounded graph puts it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx_graphs import conv, flat, model_of, node, run, single, types_of

from fcnship.precision.fp16 import narrowed
from fcnship.precision.rounding import rounded
from fcnship.runners import open_runner, timed
from fcnship.runners import run as run_variant


def there_and_back() -> Any:
    """Times 300, then by 300: 250 becomes 75,000 on the way."""
    nodes = [
        conv("a/Conv", "image", "x", "w0"),
        node("Relu", "a/Relu", ["x"], "y"),
        conv("b/Conv", "y", "probabilities", "w1"),
    ]
    return model_of(nodes, {"w0": single(300), "w1": single(1 / 300)}, layers=["a", "b"])


def test_an_overflow_shows_that_onnx_runtime_hides() -> None:
    """If the second line fails, ONNX Runtime has begun to round by itself, and rounding.py may go."""
    made = narrowed(there_and_back())
    assert np.isinf(run(rounded(made), flat(250.0))).all()
    assert np.isfinite(run(made, flat(250.0))).all()


def test_every_result_is_rounded_as_numpy_rounds() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 1, 5, 7)).astype(np.float32)
    half = np.float16(image)
    x = np.float16(half.astype(np.float32) * np.float32(np.float16(300)))
    expected = np.float16(np.maximum(x, 0).astype(np.float32) * np.float32(np.float16(1 / 300)))
    made = rounded(narrowed(there_and_back()))
    np.testing.assert_array_equal(run(made, image), expected.astype(np.float32))
    assert (run(made, image) != run(there_and_back(), image)).any()


def test_its_ends_are_float32_and_nothing_is_float16_but_the_casts() -> None:
    for io in ("fp32", "fp16"):
        made = rounded(narrowed(there_and_back(), io=io))
        onnx.checker.check_model(made, full_check=True)
        types = types_of(made)
        assert types["image"] == types["probabilities"] == types["w0"] == onnx.TensorProto.FLOAT
        halves = {name for name, kind in types.items() if kind == onnx.TensorProto.FLOAT16}
        assert halves == {name for n in made.graph.node if n.op_type == "Cast" for name in n.output} & halves


def test_layers_that_stay_float32_are_not_rounded() -> None:
    made = rounded(narrowed(there_and_back(), keep=["a", "b"]))
    np.testing.assert_array_equal(run(made, flat(250.1)), run(there_and_back(), flat(250.1)))


def test_the_runner_rounds_and_what_is_timed_is_the_file(tmp_path: Path) -> None:
    onnx.save(narrowed(there_and_back()), tmp_path / "fp16.onnx")
    images = np.full((1, 4, 4, 1), 250, np.float32)
    runner = open_runner("onnx-fp16", tmp_path / "fp16.onnx", "nchw")
    assert np.isinf(run_variant(runner, images)).all()
    as_it_is = timed(runner)
    assert as_it_is.variant == "onnx-fp16"
    assert np.isfinite(run_variant(as_it_is, images)).all()
    onnx.save(there_and_back(), tmp_path / "fp32.onnx")
    plain = open_runner("onnx-fp32", tmp_path / "fp32.onnx", "nchw")
    assert timed(plain) is plain


def test_float16_ends_take_and_give_float32_images(tmp_path: Path) -> None:
    onnx.save(narrowed(there_and_back(), io="fp16"), tmp_path / "fp16.onnx")
    runner = open_runner("onnx-fp16", tmp_path / "fp16.onnx", "nchw")
    for each in (runner, timed(runner)):
        outputs = run_variant(each, np.full((1, 4, 4, 1), 1.0, np.float32))
        assert outputs.dtype == np.float32
        np.testing.assert_allclose(outputs, 1.0, rtol=2**-10)
