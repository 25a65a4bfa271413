"""Faults put into FP16 and INT8, where a library's bug or a swapped file would put them, and their gates."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from test_int8_stage import done, session_at

from fcnship.driver import drive
from fcnship.errors import DataRefused, FcnshipError, ParityFailed
from fcnship.precision.drawing import draw
from fcnship.precision.fp16 import narrowed
from fcnship.precision.int8 import quantized, weighted_layers
from fcnship.session import Session
from fcnship.stages import fp16, int8
from fcnship.stages.int8 import FILE
from fcnship.stages.onnx import FILE as SOURCE

Graph = Any


def tensor(model: Graph, ending: str) -> Any:
    """The first stored tensor whose name ends so."""
    return next(each for each in model.graph.initializer if each.name.endswith(ending))


def change(model: Graph, ending: str, how: Callable[[Any], Any]) -> None:
    found = tensor(model, ending)
    value = numpy_helper.to_array(found)
    found.CopyFrom(numpy_helper.from_array(np.asarray(how(value), value.dtype), found.name))


def scale_doubled(made: Graph, original: Graph) -> Graph:
    change(made, "Relu:0/scale", lambda scale: 2 * scale)
    return made


def scale_halved(made: Graph, original: Graph) -> Graph:
    change(made, "Relu:0/scale", lambda scale: scale / 2)
    return made


def zero_point(made: Graph, original: Graph) -> Graph:
    change(made, "int8/zero", lambda zero: zero + 3)
    return made


def weight_scale_doubled(made: Graph, original: Graph) -> Graph:
    change(made, "input_1/scale", lambda scales: 2 * scales)
    return made


def weights_shifted(made: Graph, original: Graph) -> Graph:
    change(made, "input_1/int8", lambda weights: np.roll(weights, 1))
    return made


def float32_under_its_name(made: Graph, original: Graph) -> Graph:
    return original


def layer_skipped(made: Graph, original: Graph) -> Graph:
    """One convolution stays as it was in float32, and nobody asked for that."""
    plain = next(node for node in original.graph.node if node.op_type == "Conv")
    next(node for node in made.graph.node if node.name == plain.name).CopyFrom(plain)
    made.graph.initializer.append(
        next(each for each in original.graph.initializer if each.name == plain.input[1])
    )
    return made


FAULTS: dict[Any, str] = {
    scale_doubled: "its input has the scale",
    scale_halved: "its input has the scale",
    zero_point: "the zero point of QuantizeLinear is not 0",
    weight_scale_doubled: "its weight's scales are not those of its weight",
    weights_shifted: "a value of its weight is",
    float32_under_its_name: "its input is not quantized",
    layer_skipped: "its input is not quantized",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_quantizer_that_errs_fails_the_build(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    def erring(model: Graph, ranges: Any, *, keep: Any = ()) -> Graph:
        return fault(quantized(model, ranges, keep=keep), model)

    monkeypatch.setattr(int8, "quantized", erring)
    session = session_at(tiny_copy)
    with pytest.raises(ParityFailed) as failure:
        drive([int8.Int8()], session)
    assert failure.value.exit_code == 4
    assert failure.value.what.startswith(f"{FILE} is not the float32 network in INT8: ")
    assert FAULTS[fault] in failure.value.what
    assert session.record("int8").status == "failed"
    assert not session.workspace.path(FILE).exists(), "what is wrong is not left lying about"


def test_a_float32_file_under_the_name_of_fp16_fails_the_build(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fp16, "narrowed", lambda model, **_: model)
    with pytest.raises(FcnshipError) as failure:
        drive([fp16.Fp16()], session_at(tiny_copy, precisions=("fp32", "fp16")))
    assert failure.value.exit_code in (3, 4)


def test_one_convolution_that_stayed_float32_in_fp16_fails_the_build(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_at(tiny_copy, precisions=("fp32", "fp16"))
    layer = next(
        row
        for row in _layers(session)
        if any(n.name.startswith(row) and n.op_type == "Conv" for n in _original(session).graph.node)
    )

    def leaving_one(model: Graph, *, keep: Any = (), io: Any = "fp32") -> Graph:
        return narrowed(model, keep=[*keep, layer], io=io)

    monkeypatch.setattr(fp16, "narrowed", leaving_one)
    with pytest.raises(ParityFailed, match=r"onnx/fp16\.onnx is not fp16"):
        drive([fp16.Fp16()], session)


def _original(session: Session) -> Graph:
    return onnx.load(session.workspace.path(SOURCE))


def _layers(session: Session) -> list[str]:
    return list(weighted_layers(_original(session)))


def test_one_sample_reused_fails_the_build(tiny_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug that two well-known tools shipped: as many images as asked for, and all of them the same."""

    def reused(*arguments: Any) -> Any:
        drawn = draw(*arguments)
        same = [type(each)(pixels=drawn.images[0].pixels, size=each.size) for each in drawn.images]
        object.__setattr__(drawn, "images", same)
        return drawn

    monkeypatch.setattr(int8, "draw", reused)
    with pytest.raises(DataRefused) as refusal:
        drive([int8.Int8()], session_at(tiny_copy))
    assert refusal.value.exit_code == 3
    assert refusal.value.what.startswith("calibration was to use 24 different images, and used 1: ")


def test_a_file_that_was_swapped_afterwards_is_built_again(tiny_copy: Path) -> None:
    session = session_at(tiny_copy)
    drive([int8.Int8()], session)
    honest = session.workspace.path(FILE).read_bytes()
    session.workspace.path(FILE).write_bytes(session.workspace.path(SOURCE).read_bytes())
    drive([int8.Int8()], session)
    assert session.workspace.path(FILE).read_bytes() == honest


def test_the_check_stands_on_the_record_and_not_on_the_file(tiny_copy: Path) -> None:
    """Ranges in the record that are not those of the file are found too."""
    session = session_at(tiny_copy)
    facts = json.loads(json.dumps(done(session).facts))
    made, original = onnx.load(session.workspace.path(FILE)), _original(session)
    int8.check_quantized(made, original, facts)
    name = next(iter(facts["ranges"]))
    facts["ranges"][name] = [2 * value for value in facts["ranges"][name]]
    with pytest.raises(ParityFailed, match="its range gives"):
        int8.check_quantized(made, original, facts)
