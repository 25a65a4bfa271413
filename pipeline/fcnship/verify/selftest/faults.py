"""Faults in an ONNX file, one function each: the file is as valid as before, and computes something else."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` for a file of this package)
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.options import Layout
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]
REMAINDER, ROW = 3, 1
# What a fault adds that shows only here and there. Large enough to matter, far too small to be seen by eye.
SHARE = 0.01
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_WINDOWS = ("Conv", "MaxPool", "AveragePool")
_FLOAT = 1  # TensorProto.FLOAT


class NoPlace(Exception):
    """A network has nothing that this fault could be put into; the text says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a fault has to know besides the graph.

    ``batch`` is the largest that a profile takes, ``middle`` lies between the least and the largest pixel
    value, ``classes`` are the two that are exchanged: the most frequent decision and another.
    """

    channels: int
    layout: Layout
    stride: Size
    batch: int
    middle: float
    classes: tuple[int, int] = (0, 1)


Inject = Callable[[Any, Setting], None]


def transposed_kernel(model: Any, setting: Setting) -> None:
    """A convolution's kernel has its rows for columns."""
    for node in model.graph.node:
        weights = _weights(model, node, 1)
        if node.op_type == "Conv" and weights is not None and weights.ndim == 4:
            turned = weights.transpose(0, 1, 3, 2)
            if turned.shape == weights.shape and not np.array_equal(turned, weights):
                _give(model, node, 1, turned)
                return
    raise NoPlace("no convolution has a kernel that changes when it is transposed")


def swapped_channels(model: Any, setting: Setting) -> None:
    """The image's channels come in the reverse order: BGR for RGB."""
    if setting.channels < 2:
        raise NoPlace("its images have one channel")
    axis = 1 if setting.layout == "nchw" else 3
    order = _constant(model, "order", np.arange(setting.channels)[::-1].astype(np.int64))
    _before(model, lambda image, faulty: [_node("Gather", [image, order], faulty, axis=axis)])


def pad_off_by_one(model: Any, setting: Setting) -> None:
    """One row and one column of a layer's padding stand at the wrong end."""
    for node in model.graph.node:
        if node.op_type in _WINDOWS and _move_window(node):
            return
        if node.op_type == "Pad" and _move_pads(model, node):
            return
    raise NoPlace("no layer pads")


def dropped_bias(model: Any, setting: Setting) -> None:
    """The layer with the largest bias has none."""
    found = [(float(np.abs(bias).max()), place) for place, bias in _biases(model)]
    largest, place = max(found, default=(0.0, -1))
    if not largest > 0:
        raise NoPlace("no layer has a bias other than zero")
    node = model.graph.node[place]
    if node.op_type != "Add":
        del node.input[2]
        return
    at = 1 if _weights(model, node, 1) is not None else 0
    _give(model, node, at, np.zeros_like(_weights(model, node, at)))


def scale_off_by_two(model: Any, setting: Setting) -> None:
    """The last layer's weights are twice as large."""
    for node in reversed(model.graph.node):
        weights = _weights(model, node, 1) if node.op_type in _PRODUCTS else None
        if weights is not None:
            _give(model, node, 1, weights * 2)
            return
    raise NoPlace("no layer has weights")


def at_remainder_3(model: Any, setting: Setting) -> None:
    """One per cent too much, only where the image's height by the total stride leaves 3."""
    if setting.stride.height <= REMAINDER:
        raise NoPlace(f"no height leaves {REMAINDER} by its total stride, {setting.stride.height}")
    axis = 2 if setting.layout == "nchw" else 1
    stride = _constant(model, "stride", np.array([setting.stride.height], np.int64))
    rest = _constant(model, "remainder", np.array([REMAINDER], np.int64))
    image = model.graph.input[0].name
    _after(
        model,
        lambda output, faulty: [
            _node("Shape", [image], "fault/height", start=axis, end=axis + 1),
            _node("Mod", ["fault/height", stride], "fault/rest"),
            _node("Equal", ["fault/rest", rest], "fault/hit"),
            *_too_much(model, "fault/hit", output, faulty),
        ],
    )


def in_one_batch_row(model: Any, setting: Setting) -> None:
    """One per cent too much, only in the second image of a batch."""
    if setting.batch <= ROW:
        raise NoPlace("no profile takes more than one image")
    zero, one = (_constant(model, name, np.array(i, np.int64)) for i, name in enumerate(("zero", "one")))
    row = _constant(model, "row", np.array(ROW, np.int64))
    rank = len(model.graph.output[0].type.tensor_type.shape.dim)
    column = _constant(model, "column", np.array([-1] + [1] * (rank - 1), np.int64))
    image = model.graph.input[0].name
    _after(
        model,
        lambda output, faulty: [
            _node("Shape", [image], "fault/batch", start=0, end=1),
            _node("Squeeze", ["fault/batch"], "fault/count"),
            _node("Range", [zero, "fault/count", one], "fault/rows"),
            _node("Equal", ["fault/rows", row], "fault/is_row"),
            _node("Reshape", ["fault/is_row", column], "fault/hit"),
            *_too_much(model, "fault/hit", output, faulty),
        ],
    )


def nan_at_one_pixel(model: Any, setting: Setting) -> None:
    """The pixel in the middle is no number where it is dark, as after a division by its own brightness."""
    down, across = (2, 3) if setting.layout == "nchw" else (1, 2)
    names = ("zero", "one", "two")
    zero, one, two = (_constant(model, name, np.array(i, np.int64)) for i, name in enumerate(names))
    middle = _constant(model, "middle", np.array(setting.middle, np.float32))
    nan = _constant(model, "nan", np.array(np.nan, np.float32))

    def is_middle(image: str, side: str, axis: int) -> Iterator[Any]:
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        line = _constant(model, f"{side}/line", np.array(shape, np.int64))
        yield _node("Shape", [image], f"fault/{side}/shape", start=axis, end=axis + 1)
        yield _node("Squeeze", [f"fault/{side}/shape"], f"fault/{side}")
        yield _node("Range", [zero, f"fault/{side}", one], f"fault/{side}/places")
        yield _node("Div", [f"fault/{side}", two], f"fault/{side}/half")
        yield _node("Equal", [f"fault/{side}/places", f"fault/{side}/half"], f"fault/{side}/is_half")
        yield _node("Reshape", [f"fault/{side}/is_half", line], f"fault/{side}/hit")

    _before(
        model,
        lambda image, faulty: [
            *is_middle(image, "height", down),
            *is_middle(image, "width", across),
            _node("And", ["fault/height/hit", "fault/width/hit"], "fault/pixel"),
            _node("LessOrEqual", [image, middle], "fault/dark"),
            _node("And", ["fault/pixel", "fault/dark"], "fault/hit"),
            _node("Where", ["fault/hit", nan, image], faulty),
        ],
    )


def exchanged_classes(model: Any, setting: Setting) -> None:
    """Two classes have each other's scores."""
    dims = model.graph.output[0].type.tensor_type.shape.dim
    axis = 1 if len(dims) == 4 and setting.layout == "nchw" else len(dims) - 1
    order = np.arange(dims[axis].dim_value)
    if len(order) < 2:
        raise NoPlace("it has one class")
    first, second = setting.classes
    order[[first, second]] = second, first
    places = _constant(model, "order", order.astype(np.int64))
    _after(model, lambda output, faulty: [_node("Gather", [output, places], faulty, axis=axis)])


def _move_window(node: Any) -> bool:
    """Move a convolution's or a pool's padding; False where it has none, or none that can be moved."""
    import onnx

    held = {attribute.name: attribute for attribute in node.attribute}
    kernel = list(held["kernel_shape"].ints) if "kernel_shape" in held else []
    auto = held["auto_pad"].s.decode() if "auto_pad" in held else "NOTSET"
    pads = list(held["pads"].ints) if "pads" in held else [0] * 2 * len(kernel)
    strides = list(held["strides"].ints) if "strides" in held else [1] * len(kernel)
    if auto.startswith("SAME"):
        if any(side % 2 == 0 for side in kernel) or max(strides) > 1:
            held["auto_pad"].s = b"SAME_LOWER" if auto == "SAME_UPPER" else b"SAME_UPPER"
            return True
        dilations = list(held["dilations"].ints) if "dilations" in held else [1] * len(kernel)
        pads = [(side - 1) * step // 2 for side, step in zip(kernel, dilations, strict=True)] * 2
    moved = _moved(pads)
    if moved == pads:
        return False
    kept = [attribute for attribute in node.attribute if attribute.name not in ("auto_pad", "pads")]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("pads", moved)])
    return True


def _move_pads(model: Any, node: Any) -> bool:
    pads = _weights(model, node, 1)
    if pads is None or _moved(pads.tolist()) == pads.tolist():
        return False
    _give(model, node, 1, np.array(_moved(pads.tolist()), pads.dtype))
    return True


def _moved(pads: list[int]) -> list[int]:
    """Pads (begin of each axis, then end of each) with one from each end at the beginning."""
    half = len(pads) // 2
    less = [int(end > 0) for end in pads[half:]]
    begin, end = zip(pads[:half], less, strict=True), zip(pads[half:], less, strict=True)
    return [pad + one for pad, one in begin] + [pad - one for pad, one in end]


def _biases(model: Any) -> Iterator[tuple[int, Array]]:
    """Places of nodes that add a bias, and the bias."""
    made = {name: node for node in model.graph.node for name in node.output}
    for place, node in enumerate(model.graph.node):
        bias = None
        if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
            bias = _weights(model, node, 2)
        elif node.op_type == "Add" and any(made.get(n) and made[n].op_type in _PRODUCTS for n in node.input):
            found = [_weights(model, node, at) for at in (0, 1)]
            bias = next((array for array in found if array is not None), None)
        if bias is not None and bias.size:
            yield place, bias


def _too_much(model: Any, hit: str, output: str, faulty: str) -> list[Any]:
    """Nodes that multiply the output by 1.01 where ``hit`` is true."""
    share = _constant(model, "share", np.array(SHARE, np.float32))
    one = _constant(model, "factor", np.array(1.0, np.float32))
    return [
        _node("Cast", [hit], "fault/number", to=_FLOAT),
        _node("Mul", ["fault/number", share], "fault/more"),
        _node("Add", ["fault/more", one], "fault/times"),
        _node("Mul", [output, "fault/times"], faulty),
    ]


def _weights(model: Any, node: Any, at: int) -> Array | None:
    """The constant that a node has as an input; None where it is computed or left out."""
    from onnx import numpy_helper

    name = node.input[at] if len(node.input) > at else ""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return np.asarray(numpy_helper.to_array(tensor))
    return None


def _give(model: Any, node: Any, at: int, values: Any) -> None:
    """Another constant for this node alone: others may share the old one."""
    node.input[at] = _constant(model, f"{node.input[at]}/changed", np.ascontiguousarray(values))


def _constant(model: Any, name: str, values: Array) -> str:
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(values, f"fault/{name}"))
    return f"fault/{name}"


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def _before(model: Any, made: Callable[[str, str], list[Any]]) -> None:
    """Put nodes between the image and all that use it."""
    image, faulty = model.graph.input[0].name, "fault/image"
    for node in model.graph.node:
        node.input[:] = [faulty if name == image else name for name in node.input]
    for place, node in enumerate(made(image, faulty)):
        model.graph.node.insert(place, node)


def _after(model: Any, made: Callable[[str, str], list[Any]]) -> None:
    """Put nodes between all that there is and the output."""
    output, sound = model.graph.output[0].name, "fault/sound"
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [sound if name == output else name for name in names]
    model.graph.node.extend(made(sound, output))
