"""The faults of the self-test: each leaves a valid file and changes the outputs as it claims."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from fcnship.sizes import Profile, Size
from fcnship.verify.selftest import faults, gates, list_of_faults, profile_faults
from fcnship.verify.selftest.faults import NoPlace, Setting
from fcnship.verify.selftest.list_of_faults import FAULTS, Undecided
from fcnship.verify.selftest.outcome import Clean, Outcome, SelfTest
from fcnship.verify.selftest.slowed import Slowed
from fcnship.verify.selftest.text import headline, print_selftest

Array = np.ndarray[Any, Any]
SETTING = Setting(channels=3, layout="nchw", stride=Size(4, 4), batch=4, middle=0.5, classes=(3, 1))
SAME, NONE = {"auto_pad": "SAME_UPPER", "kernel_shape": [3, 3]}, {"kernel_shape": [3, 3]}


def network(first: dict[str, Any] | None = None, *, map_: bool = False, bias: float = 1.0) -> Any:
    """Two 3x3 convolutions of total stride 4 in colour, a mean and a dense layer; or a map of scores."""
    rng = np.random.default_rng(0)

    def drawn(name: str, *shape: int, scale: float = 0.3) -> str:
        stored.append(numpy_helper.from_array((rng.normal(size=shape) * scale).astype(np.float32), name))
        return name

    stored: list[Any] = []
    first = SAME if first is None else first
    nodes = [
        helper.make_node(
            "Conv",
            ["image", drawn("k1", 6, 3, 3, 3), drawn("b1", 6, scale=bias)],
            ["c1"],
            **first,
            strides=[2, 2],
        ),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node(
            "Conv",
            ["r1", drawn("k2", 5, 6, 3, 3), drawn("b2", 5, scale=bias / 9)],
            ["c2"],
            **NONE,
            strides=[2, 2],
        ),
    ]
    shape: list[Any] = ["n", 5, "h", "w"] if map_ else ["n", 5]
    if map_:
        nodes.append(helper.make_node("Softmax", ["c2"], ["scores"], axis=1))
    else:
        stored.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
        nodes += [
            helper.make_node("ReduceMean", ["c2", "axes"], ["m"], keepdims=0),
            helper.make_node("Gemm", ["m", drawn("k3", 5, 5), drawn("b3", 5, scale=bias / 9)], ["g"]),
            helper.make_node("Softmax", ["g"], ["scores"], axis=-1),
        ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def images(height: int, width: int, batch: int = 1) -> Array:
    """Bright images: no pixel is below the middle."""
    rng = np.random.default_rng((height, width, batch))
    return rng.uniform(0.6, 1.0, (batch, 3, height, width)).astype(np.float32)


def answered(model: Any, batch: Array) -> Array:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": batch})[0])


def changes(inject: faults.Inject, batch: Array, model: Any = None, setting: Setting = SETTING) -> Array:
    """What a fault adds to the outputs."""
    model = model or network()
    sound = answered(model, batch)
    inject(model, setting)
    return answered(model, batch) - sound


@pytest.mark.parametrize(
    "inject",
    [faults.transposed_kernel, faults.swapped_channels, faults.dropped_bias, faults.scale_off_by_two],
    ids=lambda inject: inject.__name__,
)
@pytest.mark.parametrize("map_", [False, True], ids=["vector", "map"])
def test_faults_of_weights_and_order_show_everywhere(inject: faults.Inject, map_: bool) -> None:
    for side in (13, 16):
        found = changes(inject, images(side, side + 1, 2), network(map_=map_))
        assert (np.abs(found).max(axis=tuple(range(1, found.ndim))) > 1e-3).all()


def test_the_kernel_is_transposed_and_no_other_tensor() -> None:
    before, model = network(), network()
    faults.transposed_kernel(model, SETTING)
    new = numpy_helper.to_array(model.graph.initializer[-1])
    assert np.array_equal(new, numpy_helper.to_array(before.graph.initializer[0]).transpose(0, 1, 3, 2))
    assert model.graph.initializer[:-1] == before.graph.initializer[:]
    assert [node.input[1] for node in model.graph.node if node.op_type == "Conv"] == [
        "fault/k1/changed",
        "k2",
    ]


def test_swapped_channels_are_those_of_the_image() -> None:
    batch, model = images(16, 16), network()
    expected = answered(model, np.ascontiguousarray(batch[:, ::-1]))
    faults.swapped_channels(model, SETTING)
    assert np.allclose(answered(model, batch), expected, atol=1e-6)


def test_the_largest_bias_is_dropped() -> None:
    model = network()
    faults.dropped_bias(model, SETTING)
    assert [len(node.input) for node in model.graph.node if node.op_type in ("Conv", "Gemm")] == [2, 3, 3]


def test_a_bias_that_is_added_by_a_node_is_dropped_too() -> None:
    model = network(bias=0.0)
    stored = numpy_helper.from_array(np.full((5, 1, 1), 0.7, np.float32), "late")
    model.graph.initializer.append(stored)
    model.graph.node[2].output[0] = "before"
    model.graph.node.insert(3, helper.make_node("Add", ["before", "late"], ["c2"]))
    assert np.abs(changes(faults.dropped_bias, images(16, 16), model)).max() > 1e-3


def test_the_last_weights_are_doubled() -> None:
    model = network()
    faults.scale_off_by_two(model, SETTING)
    old, new = (numpy_helper.to_array(t) for t in model.graph.initializer if "k3" in t.name)
    assert np.array_equal(new, old * 2)


@pytest.mark.parametrize(
    ("padding", "differs_at", "same_at"),
    [
        (SAME, [16, 18], [15, 17]),  # an even side is padded by one pixel, which has two places to be
        ({"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, [15, 16], []),
        ({"kernel_shape": [3, 3], "pads": [0, 0, 1, 1]}, [15, 16], []),
    ],
    ids=["same", "pads", "pads at the end"],
)
def test_a_pad_is_moved_by_one(padding: dict[str, Any], differs_at: list[int], same_at: list[int]) -> None:
    for side in differs_at:
        found = changes(faults.pad_off_by_one, images(side, side), network(padding))
        assert np.abs(found).max() > 1e-3
    for side in same_at:
        assert not changes(faults.pad_off_by_one, images(side, side), network(padding)).any()


def test_a_pad_keeps_the_size_of_the_map() -> None:
    for padding in (SAME, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}):
        assert changes(faults.pad_off_by_one, images(15, 20), network(padding, map_=True)).shape == (
            1,
            5,
            3,
            4,
        )


def test_a_pad_of_stride_1_and_of_a_node_of_its_own() -> None:
    model = network(NONE)
    stored = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "pads")
    model.graph.initializer.append(stored)
    model.graph.node[0].input[0] = "padded"
    model.graph.node.insert(0, helper.make_node("Pad", ["image", "pads"], ["padded"]))
    assert np.abs(changes(faults.pad_off_by_one, images(15, 15), model)).max() > 1e-3
    model = network()
    model.graph.node[0].attribute[-1].ints[:] = [1, 1]
    assert np.abs(changes(faults.pad_off_by_one, images(15, 15), model)).max() > 1e-3


@pytest.mark.parametrize("map_", [False, True], ids=["vector", "map"])
def test_only_at_remainder_3(map_: bool) -> None:
    for height in range(12, 20):
        batch, model = images(height, 15, 2), network(map_=map_)
        expected = answered(model, batch) * (faults.SHARE if height % 4 == 3 else 0)
        assert np.allclose(changes(faults.at_remainder_3, batch, model), expected, atol=1e-6)


@pytest.mark.parametrize("map_", [False, True], ids=["vector", "map"])
def test_only_in_one_batch_row(map_: bool) -> None:
    for count in (1, 2, 4):
        batch, model = images(14, 15, count), network(map_=map_)
        expected = answered(model, batch) * faults.SHARE
        expected[np.arange(count) != 1] = 0
        assert np.allclose(changes(faults.in_one_batch_row, batch, model), expected, atol=1e-6)


def test_nan_at_one_pixel_only_where_it_is_dark() -> None:
    batch = images(15, 18, 3)
    assert not changes(faults.nan_at_one_pixel, batch).any()
    batch[1, 2, 7, 9] = 0.1  # the middle: rows and columns halved, rounded down
    batch[2, :, 7, 8] = 0.1
    found = changes(faults.nan_at_one_pixel, batch)
    assert not found[[0, 2]].any()
    assert not np.isclose(found[1], 0, atol=1e-4).all()  # a runtime may turn NaN into 0 in a Relu


def test_nan_is_what_goes_into_the_network() -> None:
    model, batch = network(), images(15, 18)
    batch[0, 1, 7, 9] = 0.2
    faults.nan_at_one_pixel(model, SETTING)
    model.graph.output.append(helper.make_tensor_value_info("fault/image", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    seen = session.run(["fault/image"], {"image": batch})[0]
    assert np.argwhere(np.isnan(seen)).tolist() == [[0, 1, 7, 9]]


@pytest.mark.parametrize("map_", [False, True], ids=["vector", "map"])
def test_two_classes_are_exchanged(map_: bool) -> None:
    batch, model = images(15, 15, 2), network(map_=map_)
    expected = answered(model, batch)[:, [0, 3, 2, 1, 4]]
    faults.exchanged_classes(model, SETTING)
    assert np.array_equal(answered(model, batch), expected)


@pytest.mark.parametrize(
    "inject", [fault.inject for fault in FAULTS if fault.inject], ids=lambda i: i.__name__
)
def test_images_may_come_channels_last(inject: faults.Inject) -> None:
    model = network()
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", "h", "w", 3])
    )
    model.graph.node[0].input[0] = "nchw"
    model.graph.node.insert(0, helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]))
    batch = images(15, 14, 2)
    batch[:, :, 7, 7] = 0.1
    found = changes(
        inject, np.ascontiguousarray(batch.transpose(0, 2, 3, 1)), model, replace(SETTING, layout="nhwc")
    )
    assert not np.isclose(found, 0, atol=1e-5).all()


def bare() -> Any:
    """A network that has no place for most faults: one 1x1 convolution in gray without bias or padding."""
    kernel = numpy_helper.from_array(np.ones((5, 1, 1, 1), np.float32), "k")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "k"], ["scores"], kernel_shape=[1, 1])],
        "bare",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 5, "h", "w"])],
        [kernel],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(
    ("inject", "why"),
    [
        (faults.transposed_kernel, "no convolution has a kernel that changes when it is transposed"),
        (faults.swapped_channels, "its images have one channel"),
        (faults.pad_off_by_one, "no layer pads"),
        (faults.dropped_bias, "no layer has a bias other than zero"),
        (faults.at_remainder_3, "no height leaves 3 by its total stride, 2"),
        (faults.in_one_batch_row, "no profile takes more than one image"),
    ],
)
def test_a_network_without_a_place_is_left_alone(inject: faults.Inject, why: str) -> None:
    model = bare()
    with pytest.raises(NoPlace) as told:
        inject(model, replace(SETTING, channels=1, stride=Size(2, 2), batch=1))
    assert str(told.value) == why
    assert model == bare()


def test_profiles_are_wrong_by_one_pixel() -> None:
    profile = Profile.parse("16-40@4")
    assert str(profile_faults.widened(profile)) == "16,24,41@1,1,4"
    assert str(profile_faults.narrowed(profile)) == "16,24,39@1,1,4"
    with pytest.raises(NoPlace, match="its profile has one size alone"):
        profile_faults.narrowed(Profile.parse("16"))
    kept = Profile.parse("8-16")
    assert profile_faults.with_last([kept, profile], kept) == (kept, kept)


class Waits:
    variant = "waits"

    def infer(self, prepared: Any) -> Any:
        return prepared

    prepare = finish = infer

    def close(self) -> None:
        """Nothing is open."""


def test_a_slowed_runner_waits_for_a_share_of_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.0, 1.01, 1.02, 1.04, 9.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert Slowed(Waits(), 0.03).infer("x") == "x"
    assert next(clock) == 9.0


class Machine:
    """A specimen on a machine whose latency gate sees nothing under 8 %."""

    def onnx_runner(self) -> Waits:
        return Waits()


@pytest.mark.parametrize(("effect", "undecided"), [(0.08, False), (0.026, True), (0.01, False)])
def test_a_machine_that_is_too_noisy_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, effect: float, undecided: bool
) -> None:
    seconds = []

    def noisy(specimen: Any, slowdown: float, seed: int, most: float) -> gates.Timing:
        seconds.append(most)
        told = "0.9-1.1x, limit 1.015"
        return gates.Timing(found=None, interval=told, smallest_effect=effect, undecided=undecided)

    monkeypatch.setattr(gates, "latency", noisy)
    if effect < 0.02:  # what was quiet enough to see 3 %, and did not: the gate is broken
        assert list_of_faults.slower(Machine(), tmp_path) is None  # type: ignore[arg-type]
    else:
        told = rf"0\.9-1\.1x, limit 1\.015; this machine shows no less than {effect:.0%} now"
        with pytest.raises(Undecided, match=told):
            list_of_faults.slower(Machine(), tmp_path)  # type: ignore[arg-type]
    assert seconds == [3.0, 6.0, 12.0]


def outcome(status: Any = "caught", **changed: Any) -> Outcome:
    facts: dict[str, Any] = {"fault": "dropped bias", "gate": "parity", "exit_code": 4, "network": "net"}
    return Outcome(**facts | {"status": status, "where": "28x28", "figure": "9x tolerance, 1 of 2"} | changed)


def passed(*failures: Any) -> Clean:
    return Clean(number=1, seconds=1.0, checks=1200, failures=failures)


@pytest.mark.parametrize(
    ("outcomes", "clean", "code"),
    [
        ([outcome()], [passed()], 0),
        ([outcome(), outcome("skipped")], [], 0),
        ([outcome(), outcome("missed")], [passed()], 1),
        ([outcome("undecided")], [passed()], 7),
        ([outcome("undecided")], [passed(("latency", "28x28: slow"))], 6),
        ([outcome()], [passed(), passed(("hash", "x"), ("accuracy", "y"))], 5),
        ([outcome("missed")], [passed(("parity", "x"))], 1),
    ],
)
def test_the_exit_code(outcomes: list[Outcome], clean: list[Clean], code: int) -> None:
    found = SelfTest(network="net", outcomes=tuple(outcomes), clean=tuple(clean), notes=(), seconds=1.0)
    assert found.exit_code == code
    assert found.passed is (code == 0)
    assert found.as_json()["exit_code"] == code


def test_what_a_person_reads() -> None:
    found = SelfTest(
        network="net",
        outcomes=(
            outcome(figure="3e+05x tolerance, 65 of 92", where="24x24, batch 4"),
            outcome("missed", fault="scale off by two", where="", figure="", reason="the gate let it pass"),
            outcome(fault="swapped channel order", network="built-in", reason="net: its images are gray"),
        ),
        clean=(passed(), passed(("parity", "28x28: 2x tolerance, 1 of 9"))),
        notes=("A note.",),
        seconds=1.0,
    )
    assert headline(found) == (
        "FAIL  net: 2 of 3 faults caught; missed: scale off by two. 2 clean passes, 2,400 checks, 1 failed."
    )
    file = io.StringIO()
    print_selftest(found, Console(file=file, width=80, no_color=True, markup=False))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "clean pass 1 failed, parity: 28x28: 2x tolerance, 1 of 9" in lines
    assert any(line.startswith("scale off by two") and "MISSED by parity" in line for line in lines)
    assert "scale off by two: the gate let it pass" in lines
    assert "swapped channel order (put into the built-in network): net: its images are gray" in " ".join(
        line.strip() for line in lines
    )
    assert lines[-1] == "A note."


def test_every_gate_has_a_fault() -> None:
    from typing import get_args

    from fcnship.verify.selftest.outcome import EXIT_CODES, Gate

    assert {fault.gate for fault in FAULTS} == set(get_args(Gate)) == set(EXIT_CODES)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all((fault.inject is None) != (fault.ask is None) for fault in FAULTS)
