"""int8: ranges from calibration images, their audit, and the ONNX file with Q/DQ pairs made of them."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` here for this file itself; Python and mypy do not)
from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fcnship.data.collection import part_of, sha256_of
from fcnship.driver import ASKED, StageResult
from fcnship.errors import ParityFailed
from fcnship.graph.cost import cost_of
from fcnship.graph.onnx_export import INPUT, OUTPUT
from fcnship.precision.calibrate import Calibrated, calibrate
from fcnship.precision.calibration import CalibrationRecipe, find_calibration
from fcnship.precision.drawing import CalibrationSet, draw
from fcnship.precision.int8 import Ranges, calibrated_tensors, quantized, weighted_layers
from fcnship.precision.places import is_kept, known_layers
from fcnship.precision.qdq_check import faults
from fcnship.precision.sensitivity import Choice, HeldOut, Measure, choose
from fcnship.session import Session
from fcnship.sizes import Profile, Size, ladder
from fcnship.stages.onnx import FILE as SOURCE
from fcnship.verify.accuracy import images_for

FILE = "onnx/int8.onnx"
_MOST_IMAGES = 1000  # held out for the budget: one is 0.1 points
_PIXELS_A_BATCH = 1 << 19
_OBLONG = 1.4
_NAMED = 4


class Int8:
    """Writes ``onnx/int8.onnx``."""

    name = "int8"
    needs = ("onnx",)
    libraries = ("onnx", "onnxruntime")

    def inputs(self, session: Session) -> Mapping[str, str]:
        """What was asked for: the recipe, what stays FP32, the budget; and the data and the sizes."""
        if self.name not in session.options.precisions:
            return {ASKED: "no"}
        budget = session.options.int8_budget
        return {
            ASKED: "yes",
            "calibration": find_calibration(session.options.calibration).sha256,
            "keep fp32": ", ".join(session.options.keep_fp32) or "nothing",
            "budget": "none" if budget is None else f"{budget:g} points",
            **session.data_inputs,
            "profiles": " ".join(str(profile) for profile in session.profiles),
        }

    def requires(self, session: Session) -> None:
        """The recipe and the images can be read."""
        if self.name in session.options.precisions:
            _ = find_calibration(session.options.calibration), session.data

    def run(self, session: Session) -> StageResult:
        """Calibrate, choose what stays FP32 if there is a budget, quantize."""
        import onnx

        if self.name not in session.options.precisions:
            asked = ",".join(session.options.precisions)
            return StageResult(status="skipped", reason=f"not asked for: --precision {asked}")
        model = onnx.load(session.workspace.path(SOURCE))
        recipe = find_calibration(session.options.calibration)
        kept = _kept(session, recipe, model)
        drawn = draw(recipe, session.data, session.profiles)
        found = calibrate(
            model,
            recipe,
            drawn,
            session.facts.value_range,
            layout=session.options.layout,
            progress=session.events.progress,
        )
        ranges = {name: found.ranges[name] for name in calibrated_tensors(model)}
        choice = _chosen(session, model, ranges, kept, drawn)
        if choice:
            reason = f"INT8 loses more than {session.options.int8_budget:g} points with it"
            kept += [{"layer": layer, "reason": reason} for layer in choice.kept]
        made = quantized(model, ranges, keep=[row["layer"] for row in kept])
        with session.workspace.writing(FILE) as path:
            onnx.save(made, path)
        return StageResult(
            files=(FILE,),
            facts={
                "recipe": recipe.as_json(),
                "audit": _audit(found, ranges),
                "ranges": {name: list(pair) for name, pair in ranges.items()},
                "kept": kept,
                "layers": _layer_rows(model, kept, choice),
                "quantized_layers": sum(not _reason(layer, kept) for layer in weighted_layers(model)),
                "bytes_ratio": made.ByteSize() / model.ByteSize(),
                "budget": _budget(session, choice),
            },
        )

    def ensures(self, session: Session, result: StageResult) -> None:
        """The checker accepts it, its names are the contract's, and it is quantized as its record says.

        Raises:
            ParityFailed: a layer is not quantized, or one that should not be; a scale or zero point is wrong.
        """
        import onnx

        if result.status == "skipped":
            return
        path = session.workspace.path(FILE)
        onnx.checker.check_model(str(path), full_check=True)
        made, original = onnx.load(path), onnx.load(session.workspace.path(SOURCE))
        names = [value.name for value in (*made.graph.input, *made.graph.output)]
        assert names == [INPUT, OUTPUT], names
        check_quantized(made, original, result.facts)


def check_quantized(made: Any, original: Any, facts: Mapping[str, Any]) -> None:
    """Refuse an INT8 graph that is not the original quantized as the stage's ``facts`` say.

    Raises:
        ParityFailed: as ``qdq_check.faults`` finds it.
    """
    ranges = {name: (low, high) for name, (low, high) in facts["ranges"].items()}
    wrong = faults(made, original, ranges, keep=[row["layer"] for row in facts["kept"]])
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ParityFailed(
            f"{FILE} is not the float32 network in INT8: {'; '.join(wrong[:_NAMED])}{more}",
            cause="the file was replaced, or ONNX Runtime's quantizer did not do what it was asked to",
            next="build it again with --force; if it stays so, report it with the output of fcnship doctor",
        )


def _kept(session: Session, recipe: CalibrationRecipe, model: Any) -> list[dict[str, Any]]:
    """The layers that were asked to stay FP32, by the command line and by the recipe."""
    asked = known_layers(session.options.keep_fp32, model)
    others = known_layers(recipe.keep_fp32, model, f"keep_fp32 in {recipe.path}:")
    by_recipe = [layer for layer in others if not is_kept(layer, asked)]
    return [
        *({"layer": layer, "reason": "asked for by --keep-fp32"} for layer in asked),
        *({"layer": layer, "reason": f"kept by the recipe {recipe.name}"} for layer in by_recipe),
    ]


def _chosen(
    session: Session, model: Any, ranges: Ranges, kept: list[dict[str, Any]], drawn: CalibrationSet
) -> Choice | None:
    """What the budget keeps, where there is one."""
    budget = session.options.int8_budget
    if budget is None:
        return None
    held_out, steps = _held_out(session, drawn), itertools.count(1)
    measure = Measure(
        model,
        held_out,
        # How many choices will be measured is not known before: the count goes on.
        lambda text: session.events.progress(step := next(steps), step + len(held_out.sizes), text),
    )
    return choose(model, ranges, budget, measure, keep=[row["layer"] for row in kept])


def _held_out(session: Session, drawn: CalibrationSet) -> HeldOut:
    """Training images that did not calibrate. Test images choose nothing: they judge what was chosen."""
    data, network = drawn.data, session.facts.network
    used = {image.sha256 for image in drawn.images}
    order = np.random.default_rng(session.options.seed).permutation(len(data.x_train))
    left = (place for place in order if sha256_of(data.x_train, place) not in used)
    places = list(itertools.islice(left, _MOST_IMAGES))
    return HeldOut(
        images=part_of(data.x_train, places),
        labels=data.y_train[places],
        value_range=data.value_range,
        wanted_range=session.facts.value_range,
        sizes=budget_sizes(session.profiles),
        layout=session.options.layout,
        images_at=lambda size: images_for(cost_of(network, size).multiply_adds),
        batch_at=lambda size: max(1, _PIXELS_A_BATCH // size.pixels),
        most_stretch=data.most_stretch,
    )


def budget_sizes(profiles: Sequence[Profile]) -> list[Size]:
    """Where a budget must hold: the steps of each profile's ladder, and two oblong sizes."""
    oblong = [
        Size(round(p.opt.height * factor), round(p.opt.width / factor))
        for p in profiles
        for factor in (_OBLONG, 1 / _OBLONG)
    ]
    steps = {size for profile in profiles for size in ladder(profile)}
    return sorted({*steps, *(size for size in oblong if any(size.within(p.min, p.max) for p in profiles))})


def _audit(found: Calibrated, ranges: Ranges) -> dict[str, Any]:
    """The audit, of the tensors that are quantized."""
    audit = found.audit.as_json()
    return {**audit, "tensors": [row for row in audit["tensors"] if row["tensor"] in ranges]}


def _layer_rows(model: Any, kept: list[dict[str, Any]], choice: Choice | None) -> list[dict[str, Any]]:
    """For each layer with weights: its precision, why, and, where measured, what its 8 bits alone cost."""
    rows = []
    for layer in weighted_layers(model):
        reason = _reason(layer, kept)
        alone = choice.alone.get(layer) if choice else None
        rows.append(
            {
                "layer": layer,
                "precision": "fp32" if reason else "int8",
                "reason": reason,
                "alone": alone.as_json() if alone else None,
            }
        )
    return rows


def _reason(layer: str, kept: list[dict[str, Any]]) -> str:
    """Why a layer stays FP32; '' if it does not."""
    return next((row["reason"] for row in kept if is_kept(layer, [row["layer"]])), "")


def _budget(session: Session, choice: Choice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    return {
        "points": session.options.int8_budget,
        "measured": choice.measured,
        "sizes": [
            {"height": size.height, "width": size.width, "loss": loss}
            for size, loss in sorted(choice.final.points.items())
        ],
    }
