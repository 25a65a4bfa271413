"""fp16: the ONNX file in float16, but for the layers that FP16 cannot hold or that were asked to stay."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` here for this file itself; Python and mypy do not)
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fcnship.driver import ASKED, StageResult
from fcnship.errors import ModelRefused
from fcnship.graph.cost import cost_of
from fcnship.graph.onnx_export import INPUT, OUTPUT
from fcnship.precision.fp16 import LARGEST, narrowed
from fcnship.precision.fp16_range import Found, leaving
from fcnship.precision.places import is_kept, known_layers
from fcnship.precision.truth import check_file, counted, products_of, widths_of
from fcnship.runners import to_layout
from fcnship.session import Session
from fcnship.sizes import Size
from fcnship.stages.onnx import FILE as SOURCE

FILE = "onnx/fp16.onnx"
_LEAST_IMAGES, _MOST_IMAGES = 2, 32
_MULTIPLY_ADDS_A_SIZE = 2 * 10**10
_MOST_PIXELS_A_SIZE = 1 << 22


class Fp16:
    """Writes ``onnx/fp16.onnx``, once it is known what leaves FP16's range on real images."""

    name = "fp16"
    needs = ("onnx",)
    libraries = ("onnx", "onnxruntime")

    def inputs(self, session: Session) -> Mapping[str, str]:
        """What was asked for, and the images whose activations are looked at."""
        if self.name not in session.options.precisions:
            return {ASKED: "no"}
        return {
            ASKED: "yes",
            **session.data_inputs,
            "profiles": " ".join(str(profile) for profile in session.profiles),
            "io": session.options.io,
            "keep fp32": ", ".join(session.options.keep_fp32) or "nothing",
        }

    def requires(self, session: Session) -> None:
        """The images can be read."""
        if self.name in session.options.precisions:
            _ = session.data

    def run(self, session: Session) -> StageResult:
        """Find what must stay FP32, narrow the rest."""
        import onnx

        if self.name not in session.options.precisions:
            asked = ",".join(session.options.precisions)
            return StageResult(status="skipped", reason=f"not asked for: --precision {asked}")
        model = onnx.load(session.workspace.path(SOURCE))
        _check_ends(session)
        kept = _kept(session, model)
        names = [found.layer for found in kept]
        made = narrowed(model, keep=names, io=session.options.io)
        del model
        products = products_of(made)
        if products and not any(product.type == "fp16" for product in products):
            raise _nothing_left(kept, asked=len(session.options.keep_fp32))
        with session.workspace.writing(FILE) as path:
            onnx.save(made, path)
        return StageResult(
            files=(FILE,),
            facts={
                "io": session.options.io,
                "kept": [found._asdict() for found in kept],
                **widths_of(made),
                "types": counted(product.type for product in products),
                "sizes": [str(size) for size in _sizes(session)],
                "images": sum(_count(session, size) for size in _sizes(session)),
            },
        )

    def ensures(self, session: Session, result: StageResult) -> None:
        """The checker accepts it, its names are the contract's, and it is FP16 but for the kept layers."""
        import onnx

        if result.status == "skipped":
            return
        path = session.workspace.path(FILE)
        onnx.checker.check_model(str(path), full_check=True)
        made = onnx.load(path)
        names = [value.name for value in (*made.graph.input, *made.graph.output)]
        assert names == [INPUT, OUTPUT], names
        check_file(made, "fp16", [found["layer"] for found in result.facts["kept"]], FILE)


def _kept(session: Session, model: Any) -> list[Found]:
    """Those asked for, then those that leave FP16's range."""
    asked = known_layers(session.options.keep_fp32, model)
    leave = [found for found in leaving(model, _feeds(session)) if not is_kept(found.layer, asked)]
    return [*(Found(layer, "asked for by --keep-fp32") for layer in asked), *leave]


def _feeds(session: Session) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Training images, so that no decision rests on the images that accuracy is measured with; and noise."""
    data, value_range = session.data, session.facts.value_range
    sizes = _sizes(session)
    for step, size in enumerate(sizes):
        session.events.progress(step, len(sizes), f"the range of values at {size}")
        rng = np.random.default_rng((session.options.seed, size.height, size.width))
        count = _count(session, size)
        chosen = rng.choice(len(data.x_train), min(count - 1, len(data.x_train)), replace=False)
        for index in chosen:
            image = data.at_size(data.x_train, [index], size, value_range)
            yield str(size), {INPUT: to_layout(image, session.options.layout)}
        noise = rng.uniform(
            *value_range, (1, size.height, size.width, session.facts.geometry.channels)
        ).astype(np.float32)
        yield str(size), {INPUT: to_layout(noise, session.options.layout)}


def _sizes(session: Session) -> list[Size]:
    return sorted({size for p in session.profiles for size in (p.min, p.opt, p.max)})


def _count(session: Session, size: Size) -> int:
    """Images looked at, as many as some seconds allow; noise is one of them."""
    work = cost_of(session.facts.network, size).multiply_adds
    affordable = min(_MULTIPLY_ADDS_A_SIZE // max(work, 1), _MOST_PIXELS_A_SIZE // (size.height * size.width))
    return min(max(affordable, _LEAST_IMAGES), _MOST_IMAGES, len(session.data.x_train) + 1)


def _check_ends(session: Session) -> None:
    low, high = session.facts.value_range
    if session.options.io == "fp16" and max(abs(low), abs(high)) > LARGEST:
        raise ModelRefused(
            f"the network takes pixel values from {low:g} to {high:g}, and --io fp16 ends at {LARGEST:g}",
            cause="the brightest pixels would be infinite",
            next="leave out --io fp16: the image comes in as float32 then, and the layers behind it are FP16",
        )


def _nothing_left(kept: Sequence[Found], asked: int) -> ModelRefused:
    told = "\n    ".join(f"{found.layer}: {found.reason}" for found in kept[:8])
    return ModelRefused(
        "nothing would be left in FP16: every convolution and product has to stay FP32",
        cause=f"they leave FP16's range, or were asked to stay:\n    {told}",
        next="keep fewer layers with --keep-fp32, or build with --precision fp32"
        if asked
        else "build with --precision fp32, or scale the network's values down",
    )
