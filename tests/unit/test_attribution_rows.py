"""Which layer: an ONNX graph against another, cut at the tensors of the same name. No TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fcnship.errors import UsageError
from fcnship.graph.onnx_layers import KEY, Layer
from fcnship.sizes import Size
from fcnship.verify.attribution.ask import Ask, why_not
from fcnship.verify.attribution.attributed import Candidate, Place
from fcnship.verify.attribution.attribution import Attribution, NotCut
from fcnship.verify.attribution.cut_graph import CutGraph, reads
from fcnship.verify.attribution.cuts import cuts_of_onnx
from fcnship.verify.attribution.layer_errors import LayerError, ranked
from fcnship.verify.attribution.suggestion import flags, next_suggested, stands_out, suggested, suggestion
from fcnship.verify.attribution.trial import kept_already, ranges_of, remade
from fcnship.verify.checks import Checks
from fcnship.verify.image_batches import ImageBatches

SIZE = Size(9, 12)
LAYERS = ("first", "second", "third", "join", "pool", "scores")


def network(seed: int = 0) -> Any:
    """Three convolutions, the second and third beside each other, a sum, a mean, a matrix; labelled."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(size=(6, 3, 3, 3)),
        "b1": rng.normal(size=6),
        "w2": rng.normal(size=(6, 6, 3, 3)),
        "b2": rng.normal(size=6),
        "w3": rng.normal(size=(6, 6, 1, 1)),
        "b3": rng.normal(size=6),
        "w4": rng.normal(size=(6, 4)),
        "b4": rng.normal(size=4),
    }
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], "first/conv", **pads),
        helper.make_node("Relu", ["c1"], ["r1"], "first/relu"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "second/conv", **pads),
        helper.make_node("Conv", ["r1", "w3", "b3"], ["c3"], "third/conv"),
        helper.make_node("Add", ["c2", "c3"], ["sum"], "join/add"),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"], "pool/mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], "pool/flatten"),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["probabilities"], "scores/gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.metadata_props.add(key=KEY, value=json.dumps({name: [name, 1] for name in LAYERS}))
    return model


def changed(model: Any, name: str, change: Any) -> Any:
    """A copy with one weight changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    tensor = next(tensor for tensor in copy.graph.initializer if tensor.name == name)
    value = np.ascontiguousarray(change(numpy_helper.to_array(tensor)), np.float32)
    tensor.CopyFrom(numpy_helper.from_array(value, name))
    return copy


@pytest.fixture
def fp32(tmp_path: Path) -> Path:
    onnx.save(network(), tmp_path / "fp32.onnx")
    return tmp_path / "fp32.onnx"


def images() -> ImageBatches:
    return ImageBatches(channels=3, value_range=(0.0, 1.0))


def attributed(reference: Path, model: Any, variant: str = "onnx-fp32", batch: int = 2) -> Any:
    path = reference.with_name("candidate.onnx")
    onnx.save(model, path)
    attribution = Attribution("onnx-fp32", reference, "nchw", images())
    candidate = Candidate(variant=variant, path=path, layout="nchw")
    return attribution.of(candidate, Place(size=SIZE, batch=batch))


def test_every_layer_is_cut_and_a_sound_graph_has_no_error(fp32: Path) -> None:
    found = attributed(fp32, network()).as_json()
    assert {row["layer"] for row in found["rows"]} == set(LAYERS)
    assert all(row["local"] == row["total"] == 0 for row in found["rows"])
    assert found["finding"].startswith("no layer adds more than rounding does")
    assert "suggestion" not in found


@pytest.mark.parametrize(
    ("weight", "layer", "told"),
    [
        ("w2", "second", "its kernel is transposed: rows and columns are swapped"),
        ("w4", "scores", "its kernel is 2 times the reference's"),
        ("b3", "third", "its bias is zero"),
    ],
)
def test_the_faulty_layer_is_first_and_its_fault_is_told(
    fp32: Path, weight: str, layer: str, told: str
) -> None:
    changes = {"w2": lambda w: w.swapaxes(2, 3), "w4": lambda w: 2 * w, "b3": lambda b: 0 * b}
    found = attributed(fp32, changed(network(), weight, changes[weight])).as_json()
    first, *others = found["rows"]
    assert (first["layer"], first["fault"]) == (layer, told)
    assert found["finding"] == f"{layer} computes something else: {told}"
    assert all(row["local"] == 0 for row in others)
    behind = {"second": {"join", "pool", "scores"}, "third": {"join", "pool", "scores"}, "scores": set()}
    assert {row["layer"] for row in others if row["total"] > 0} == behind[layer]


def test_another_pad_is_told_and_what_does_not_run_is_a_finding(fp32: Path) -> None:
    model = network()
    pads = next(a for a in model.graph.node[2].attribute if a.name == "pads")
    pads.ints[:] = [2, 2, 0, 0]
    first = attributed(fp32, model).as_json()["rows"][0]
    assert first["layer"] == "second"
    assert first["fault"] == "it has pads 2, 2, 0, 0, the reference 1, 1, 1, 1"
    pads.ints[:] = [0, 0, 0, 0]  # now the sum's inputs do not fit together
    found = attributed(fp32, model)
    told = "second + join computes something else: it has pads 0, 0, 0, 0, the reference 1, 1, 1, 1"
    assert found.as_json()["finding"].startswith(f"{told}; it does not run: ")
    assert ranked(found.errors)[1].local == 0


def test_names_of_nodes_stand_for_layers_in_a_stranger_s_file(fp32: Path) -> None:
    model = network()
    del model.metadata_props[:]
    found = attributed(fp32, changed(model, "w2", lambda w: -w)).as_json()
    assert found["rows"][0]["layer"] == "second/conv"


def test_a_graph_without_labels_is_not_cut_against_keras(fp32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fcnship.verify.attribution import attribution as module

    class Fake(module.KerasReference):
        def __init__(self) -> None:
            pass

    model = network()
    del model.metadata_props[:]
    onnx.save(model, fp32)
    attribution = Attribution("keras", Path("model.keras"), "nhwc", images())
    attribution._opened = Fake()
    with pytest.raises(NotCut, match="does not say which layers its nodes belong to"):
        attribution.of(Candidate(variant="onnx-fp32", path=fp32, layout="nchw"), Place(size=SIZE, batch=1))


def test_large_weights_are_handed_over_and_give_the_same(fp32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fcnship.verify.attribution import cut_graph

    monkeypatch.setattr(cut_graph, "_LARGE", 1)
    found = attributed(fp32, network())
    assert all(error.local == 0 for error in found.errors)


def test_few_tensors_are_held_at_a_time(fp32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fcnship.verify.attribution import layer_errors as module

    held: list[int] = []
    drop = module._Flow.drop

    def counting(flow: Any, last: dict[str, int], index: int) -> None:
        drop(flow, last, index)
        held.append(len(flow.given))

    monkeypatch.setattr(module._Flow, "drop", counting)
    attributed(fp32, network())
    assert held == [1, 2, 2, 1, 1, 0]


def test_a_tensor_of_a_branch_is_read_from_outside() -> None:
    inner = helper.make_graph(
        [helper.make_node("Add", ["outer", "own"], ["sum"])],
        "inner",
        [],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(1, np.float32), "own")],
    )
    node = helper.make_node("If", ["condition"], ["y"], then_branch=inner, else_branch=inner)
    assert set(reads(node)) == {"condition", "outer"}


def test_fp16_overflow_is_found_kept_and_measured(fp32: Path) -> None:
    from fcnship.precision.fp16 import narrowed

    wide = changed(changed(network(), "w2", lambda w: 1e4 * w), "w4", lambda w: 1e-5 * w)
    onnx.save(wide, fp32)
    found = attributed(fp32, narrowed(wide), "onnx-fp16")
    rows = found.as_json()["rows"]
    assert rows[0]["layer"] == "second"
    assert rows[0]["local"] == float("inf")
    assert rows[0]["fault"].startswith("its output reaches ")
    assert rows[0]["fault"].endswith(", float16 ends at 65504")
    assert all(row["local"] < 0.01 for row in rows if row["layer"] in ("first", "third", "scores"))
    trials = found.tried([(SIZE, 2)], fp32)
    # The outputs of these do not fit, nor does what the matrix reads; it makes them small.
    kept = ["second", "join", "pool", "scores"]
    (trial,) = trials
    assert trial["layers"] == kept
    assert found.as_json(trials)["suggestion"]["flags"] == flags(kept)
    assert trial["rows"][0]["before_max_abs"] == float("inf")
    assert trial["rows"][0]["after_max_abs"] < 1


def test_int8_is_made_again_with_its_own_ranges(fp32: Path) -> None:
    from fcnship.precision.int8 import quantized

    # One channel is 300 times the others, and they all share the scale of the next layers' inputs.
    wide = changed(network(), "w1", lambda w: w * np.array([300, 1, 1, 1, 1, 1])[:, None, None, None])
    wide = changed(wide, "w2", lambda w: w * np.array([1 / 300, 1, 1, 1, 1, 1])[:, None, None])
    onnx.save(wide, fp32)
    ranges = {"image": (0.0, 1.0), "r1": (0.0, 900.0), "flat": (-20.0, 20.0)}
    model = quantized(wide, ranges)
    found = attributed(fp32, model, "onnx-int8")
    graph = CutGraph(model)
    read = ranges_of(graph)
    assert set(read) == set(ranges)
    assert read["r1"] == pytest.approx((-900.0, 900.0), rel=1e-5)
    assert kept_already(graph, "int8") == set()
    again = remade(found.candidate.path, fp32, "int8", [])
    assert again.graph == model.graph
    assert found.layers[0] in ("second", "third")
    trials = found.tried([(SIZE, 2)], fp32)
    kept = CutGraph(remade(found.candidate.path, fp32, "int8", trials[0]["layers"]))
    assert kept_already(kept, "int8") == set(trials[0]["layers"])
    assert trials[-1]["rows"][0]["after_max_abs"] < trials[-1]["rows"][0]["before_max_abs"]


def error(place: int, local: float) -> LayerError:
    return LayerError(
        place=place,
        layers=(Layer(f"layer{place}", 1),),
        local=local,
        local_max=local,
        total=local,
        total_max=local,
        scale=1.0,
        largest=1.0,
        cuts=(),
    )


def test_the_layers_that_dominate_are_suggested() -> None:
    paths = {place: (f"layer{place}",) for place in range(6)}
    errors = [error(0, 0.01), error(1, 0.2), error(2, 0.15), error(3, 0.02)]
    assert suggested(errors, paths) == ["layer1", "layer2"]
    assert next_suggested(errors, paths, ["layer1", "layer2"]) == ["layer1", "layer2", "layer3"]
    assert stands_out(errors)
    alike = [error(place, 0.1) for place in range(6)]
    assert suggested(alike, paths) == ["layer0"]
    told = suggestion("onnx-fp16", "fp16", ["layer0"], alike)
    assert told and told["text"].startswith(
        "onnx-fp16: no layer stands out; it is more exact if built again with"
    )
    assert suggestion("onnx-fp32", "fp32", ["layer0"], alike) is None
    assert suggested([error(0, 0.0)], paths) == []
    assert flags(["a", "b c"]) == "--keep-fp32 a --keep-fp32 'b c'"


def test_where_it_is_worst_is_looked_at(fp32: Path) -> None:
    onnx.save(changed(network(), "w2", lambda w: -w), fp32.with_name("bad.onnx"))
    bad = {"variant": "onnx-fp32", "reference": "ref", "tolerance": 1e-6, "passed": False}
    parity = [
        {**bad, "height": 9, "width": 9, "batch": 1, "max_abs": 0.1},
        {**bad, "height": 10, "width": 12, "batch": 4, "max_abs": 0.3},
        {**bad, "height": 10, "width": 12, "batch": 3, "max_abs": 0.2},
    ]

    def answers(**checks: Any) -> Any:
        return Ask(
            attribution=Attribution("ref", fp32, "nchw", images()),
            candidates=[Candidate(variant="onnx-fp32", path=fp32.with_name("bad.onnx"), layout="nchw")],
            others={"engine-fp32": why_not("engine-fp32"), "savedmodel": why_not("savedmodel")},
            parity=parity,
            checks=Checks(attribute=True, **checks),
            optimum=SIZE,
            cases=(SIZE,),
            affordable=lambda size, batch: batch,
        ).answers()

    done, *left_out = answers()
    assert (done["height"], done["width"], done["batch"]) == (10, 12, 3)
    assert [row["status"] for row in left_out] == ["skipped", "skipped"]
    assert left_out[0]["reason"].startswith("TensorRT has merged an engine's layers")
    (at,) = answers(attribute_size=SIZE, attribute_variants=("onnx-fp32",))
    assert (at["height"], at["width"], at["batch"]) == (9, 12, 4)
    with pytest.raises(UsageError, match="there is no variant 'onnx-fp16' to look into"):
        answers(attribute_variants=("onnx-fp16",))


def test_what_belongs_to_attribute_needs_it() -> None:
    for flag, value in (("try_fix", True), ("attribute_size", SIZE), ("attribute_variants", ("a",))):
        with pytest.raises(UsageError, match="goes with --attribute"):
            Checks(**{flag: value})  # type: ignore[arg-type]


def test_cuts_follow_the_graph_s_order(fp32: Path) -> None:
    graph = CutGraph.read(fp32)
    cuts = cuts_of_onnx(graph, graph)
    assert [cut.tensor for cut in cuts] == ["r1", "c2", "c3", "sum", "flat", "probabilities"]
    assert [cut.edges for cut in cuts] == [("image",), ("r1",), ("r1",), ("c2", "c3"), ("sum",), ("flat",)]
