"""How far narrow files may move the outputs, predicted from the float32 network among the files compared."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` for a file of this package)
from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.errors import FcnshipError
from fcnship.options import Layout
from fcnship.runners import Runner, precision_of
from fcnship.runners.files import ModelFileOpened
from fcnship.runners.onnxruntime import OnnxRunner
from fcnship.sizes import Size
from fcnship.verify.bounds import Prediction
from fcnship.verify.int8_noise import TYPICAL_IMAGES, Int8Noise
from fcnship.verify.steps import StepNoise

Array = np.ndarray[Any, Any]
_IMAGES_A_SIZE = 8
_NARROW = frozenset({"fp16", "int8"})


def predictions(
    files: Sequence[ModelFileOpened],
    candidates: Sequence[Runner],
    images: Callable[[Size, int], Array],
    sizes: Sequence[Size],
    multiply_adds: Callable[[Size], int],
) -> dict[str, Prediction]:
    """By precision, for those that some candidate has; none where no float32 ONNX can be had.

    For INT8 the ranges are those of usual images at ``sizes``, in the float32 network: nothing of an INT8
    file goes into its own bound.
    """
    wanted = {precision_of(candidate.variant) for candidate in candidates} & _NARROW
    if not wanted:
        return {}
    try:
        model, layout = _float32_onnx(files)
        found: dict[str, Prediction] = {}
        if "fp16" in wanted:
            found["fp16"] = StepNoise(model, layout, multiply_adds)
        if "int8" in wanted:
            ranges = _ranges(model, layout, [_pictures(images, size, _IMAGES_A_SIZE) for size in sizes])
            typical = _pictures(images, sizes[0], TYPICAL_IMAGES)
            found["int8"] = Int8Noise(model, ranges, (), layout, multiply_adds, typical)
        return found
    except _NoSource:
        return {}


class _NoSource(Exception):
    """There is no float32 ONNX file of any batch, and none can be made."""


def _float32_onnx(files: Sequence[ModelFileOpened]) -> tuple[Any, Layout]:
    """The first float32 ONNX file that takes any batch, else the Keras reference as one."""
    import onnx

    from fcnship.precision.element_types import is_flat

    for file in files:
        if isinstance(file.runner, OnnxRunner) and precision_of(file.runner.variant) == "fp32":
            model = _with_names(onnx.load(file.path))
            if file.interface.batch is None and is_flat(model):
                return model, file.layout
    model = getattr(files[0].runner, "model", None)
    if model is None:
        raise _NoSource
    from fcnship.graph.onnx_export import export

    with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
        path = Path(folder) / "fp32.onnx"
        try:
            export(model, path, "nhwc", {})
        except FcnshipError as error:  # of one size, or with an operation that ONNX has not
            raise _NoSource from error
        return onnx.load(path), "nhwc"


def _with_names(model: Any) -> Any:
    """Nodes need names of their own: the prediction's tensors are named after them."""
    seen: set[str] = set()
    for place, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"fcnship/node/{place}"
        seen.add(node.name)
    return model


def _pictures(images: Callable[[Size, int], Array], size: Size, count: int) -> Array:
    """The last of a batch is noise, which nobody calibrates on."""
    return images(size, count + 1)[:-1]


def _ranges(model: Any, layout: Layout, batches: Sequence[Array]) -> dict[str, tuple[float, float]]:
    """For each tensor that INT8 would round, the mean over images of an image's lowest and highest number.

    Which images set the ranges of a file is not known. Those of the mean leave some numbers outside, as any
    calibration does on images that it has not seen: what they lose is predicted too.
    """
    from fcnship.precision.activations import Activations

    found: dict[str, list[tuple[float, float]]] = {}
    reader = Activations(model, layout=layout)
    for image in (image for batch in batches for image in batch):
        for name, values in reader.of(image[None]):
            found.setdefault(name, []).append((float(values.min()), float(values.max())))
    means = {name: np.mean(pairs, axis=0) for name, pairs in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in means.items()}
