"""Small ONNX graphs for the lint, each with what is right or wrong in it. No Keras takes part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

IMAGE = ("batch", 1, "height", "width")
FLOAT = TensorProto.FLOAT
WEIGHT = np.random.default_rng(0).normal(size=(4, 1, 3, 3)).astype(np.float32)
_SCALE, _ZERO = np.float32(0.05), np.int8(0)
_SCALES, _ZEROS = np.full(4, 0.02, np.float32), np.zeros(4, np.int8)
WEIGHT_8 = np.clip(np.round(WEIGHT / 0.02), -127, 127).astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A graph, what the lint says of it for ``rtx`` ("error rule node"), and whether TensorRT-RTX builds it.

    ``why`` says why an error is one although TensorRT-RTX builds it.
    """

    model: Any
    findings: tuple[str, ...] = ()
    builds: bool = True
    why: str = ""


def value(name: str, kind: int = FLOAT, shape: Sequence[Any] | None = IMAGE) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def stored(**arrays: Any) -> list[Any]:
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def node(operator: str, inputs: str, output: str = "y", name: str = "n", **attributes: Any) -> Any:
    """Names of inputs are separated by spaces; - is one left out."""
    names = ["" if word == "-" else word for word in inputs.split()]
    return helper.make_node(operator, names, output.split(), name=name, **attributes)


def model(
    nodes: Sequence[Any],
    constants: Sequence[Any] = (),
    *,
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
    opset: int = 18,
    ir: int = 8,
    domains: Sequence[str] = (),
) -> Any:
    given = list(outputs) or [value("y", shape=None)]
    graph = helper.make_graph(list(nodes), "g", list(inputs) or [value("image")], given, list(constants))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def conv(
    image: str = "image", weight: str = "w", output: str = "y", name: str = "conv", **attributes: Any
) -> Any:
    return node("Conv", f"{image} {weight}", output, name, **attributes)


def conv_model(**options: Any) -> Any:
    return model([conv()], stored(w=WEIGHT), **options)


def cast(to: int, image: str = "image", output: str = "y", name: str = "cast") -> Any:
    return node("Cast", image, output, name, to=to)


def pool(operator: str, **attributes: Any) -> Any:
    attributes = {"kernel_shape": [3, 3], **attributes}
    return model([node(operator, "image", name="pool", **attributes)], opset=19)


def quantized(
    *,
    scale: Any = _SCALE,
    zero: Any = _ZERO,
    weight_scale: Any = _SCALES,
    weight_zero: Any = _ZEROS,
    axis: int = 0,
    bias: Any = None,
    **options: Any,
) -> Any:
    """An image and a weight, quantized as TensorRT wants it, and their convolution."""
    constants = stored(s=scale, z=zero, ws=weight_scale, wz=weight_zero, w8=WEIGHT_8)
    nodes = [
        node("QuantizeLinear", "image s z", "q", "Q"),
        node("DequantizeLinear", "q s z", "d", "DQ"),
        node("DequantizeLinear", "w8 ws wz", "w", "DW", axis=axis),
    ]
    if bias is None:
        return model([*nodes, conv("d")], constants, **options)
    nodes.append(node("DequantizeLinear", "b8 ws bz", "b", "DB", axis=0))
    constants += stored(b8=bias, bz=np.zeros(4, bias.dtype))
    return model([*nodes, node("Conv", "d w b", "y", "conv")], constants, **options)


def reshape(*shape: int, then: Sequence[Any] = (), **constants: Any) -> Any:
    made = "f" if then else "y"
    return model(
        [node("Reshape", "image shape", made, "reshape"), *then], stored(shape=np.array(shape), **constants)
    )


def resize(**attributes: Any) -> Any:
    attributes = {"mode": "linear", **attributes}
    scales = stored(s=np.array([1, 1, 2, 2], np.float32))
    return model([node("Resize", "image - s", name="resize", **attributes)], scales, opset=19)


def branch(operator: str) -> Any:
    return helper.make_graph([node(operator, "image", "t", operator)], "b", [], [value("t", shape=None)])


OF_OPSETS: dict[str, Callable[[], Case]] = {
    "opset 18": lambda: Case(model=conv_model()),
    "opset 9": lambda: Case(model=conv_model(opset=9)),
    "opset 8": lambda: Case(model=conv_model(opset=8), findings=("error opset",), why="documented from 9 on"),
    "opset 26, Conv as in 25": lambda: Case(model=conv_model(opset=26), findings=("warning opset",)),
    "IR version 14": lambda: Case(model=conv_model(ir=14), findings=("warning ir-version",)),
}
OF_INPUTS: dict[str, Callable[[], Case]] = {
    "open sides without names": lambda: Case(
        model=conv_model(inputs=[value("image", shape=(None, 1, None, None))]),
        findings=("warning unnamed-dimension",),
    ),
    "one name for height and width": lambda: Case(
        model=conv_model(inputs=[value("image", shape=("batch", 1, "side", "side"))]),
        findings=("error shared-dimension",),
        builds=False,
    ),
    "no rank": lambda: Case(
        model=model([node("Relu", "image")], inputs=[value("image", shape=None)]),
        findings=("error rank",),
        builds=False,
    ),
    "a fixed size": lambda: Case(
        model=conv_model(inputs=[value("image", shape=("batch", 1, 16, 16))]),
        findings=("warning static-size",),
    ),
    "open channels": lambda: Case(
        model=conv_model(inputs=[value("image", shape=("batch", "c", "height", "width"))]),
        findings=("warning channels",),
    ),
    "no name": lambda: Case(
        model=model([node("Conv", "- w", "y", "conv")], stored(w=WEIGHT), inputs=[value("")]),
        findings=("error input",),
        builds=False,
    ),
    "a weight listed as an input too": lambda: Case(
        model=conv_model(inputs=[value("image"), value("w", shape=(4, 1, 3, 3))])
    ),
    "an input that nothing makes": lambda: Case(
        model=model([conv("nowhere")], stored(w=WEIGHT)), findings=("error wiring conv",), builds=False
    ),
    "an output that nothing makes": lambda: Case(
        model=model([node("Relu", "image", "x")]), findings=("error wiring",), builds=False
    ),
    "two nodes of one name": lambda: Case(
        model=model([node("Relu", "image", "x", "a"), node("Neg", "x", "y", "a")]),
        findings=("warning wiring a",),
    ),
    "weights that are computed": lambda: Case(
        model=model(
            [
                node("Shape", "image", "n", "s", start=0, end=1),
                node("Expand", "w n", "v", "e"),
                conv(weight="v"),
            ],
            stored(w=WEIGHT),
        ),
        findings=("error fixed-size e", "warning weights conv"),
        builds=False,
    ),
}
OF_OPERATORS: dict[str, Callable[[], Case]] = {
    "no operator of ONNX": lambda: Case(
        model=model([node("Unheard", "image")]), findings=("error operator n",), builds=False
    ),
    "sequences": lambda: Case(
        model=model(
            [node("SplitToSequence", "image", "s", "a"), node("ConcatFromSequence", "s", "y", "b", axis=0)]
        ),
        findings=("error operator a", "error operator b"),
        builds=False,
    ),
    "a plugin": lambda: Case(
        model=model([node("NonZero", "image")], outputs=[value("y", TensorProto.INT64, None)]),
        findings=("error operator n",),
        builds=False,
    ),
    "com.microsoft, a fusion": lambda: Case(
        model=model(
            [node("FusedConv", "image w", activation="Relu", domain="com.microsoft")],
            stored(w=WEIGHT),
            domains=["com.microsoft"],
        ),
        findings=("error operator n",),
        builds=False,
    ),
    "com.microsoft, an operator of ONNX's name": lambda: Case(
        model=model([node("Gelu", "image", domain="com.microsoft")], domains=["com.microsoft"]),
        findings=("warning operator n",),
    ),
    "com.microsoft.nchwc": lambda: Case(
        model=model(
            [node("Conv", "image w", domain="com.microsoft.nchwc")],
            stored(w=WEIGHT),
            domains=["com.microsoft.nchwc"],
        ),
        findings=("error operator n",),
        why="the weights lie in another order in memory",
    ),
    "a stranger's domain": lambda: Case(
        model=model([node("Warp", "image", domain="stranger")], domains=["stranger"]),
        findings=("error operator n",),
        builds=False,
    ),
    "ONNX's other name for its domain": lambda: Case(model=model([node("Relu", "image", domain="ai.onnx")])),
    "a branch": lambda: Case(
        model=model(
            [node("If", "c", name="if", then_branch=branch("Relu"), else_branch=branch("Neg"))],
            stored(c=np.array(True)),
        ),
        findings=("warning control-flow if",),
    ),
    "an unknown operator in a branch": lambda: Case(
        model=model(
            [node("If", "c", name="if", then_branch=branch("Bernoulli"), else_branch=branch("Neg"))],
            stored(c=np.array(True)),
        ),
        findings=("error operator Bernoulli", "warning control-flow if"),
        builds=False,
    ),
    "BatchNormalization in training": lambda: Case(
        model=model(
            [node("BatchNormalization", "image s s s s", "y a b", "bn", training_mode=1)],
            stored(s=np.ones(1, np.float32)),
        ),
        findings=("error operator-form bn", "error operator-form bn"),
        builds=False,
    ),
    "Dropout in training": lambda: Case(
        model=model([node("Dropout", "image r t")], stored(r=np.float32(0.5), t=np.array(True))),
        findings=("error operator-form n",),
        builds=False,
    ),
    "resize with antialiasing": lambda: Case(
        model=resize(antialias=1), findings=("error operator-form resize",), builds=False
    ),
    "resize in another coordinate mode": lambda: Case(
        model=resize(coordinate_transformation_mode="half_pixel_symmetric"),
        findings=("error operator-form resize",),
        builds=False,
    ),
    "resize": lambda: Case(model=resize()),
    "axes that are computed": lambda: Case(
        model=model(
            [
                node("Shape", "image", "n", "s", start=0, end=1),
                node("Min", "n two", "a", "min"),
                node("ReduceMean", "image a", "y", "mean"),
            ],
            stored(two=np.array([2])),
        ),
        findings=("error operator-form mean",),
        builds=False,
    ),
    "Einsum in capital letters": lambda: Case(
        model=model([node("Einsum", "image image", equation="bchw,bcHw->bchH")]),
        findings=("error operator-form n",),
        builds=False,
    ),
}
OF_TYPES: dict[str, Callable[[], Case]] = {
    "float16": lambda: Case(
        model=model(
            [conv()],
            stored(w=WEIGHT.astype(np.float16)),
            inputs=[value("image", TensorProto.FLOAT16)],
            outputs=[value("y", TensorProto.FLOAT16, None)],
        )
    ),
    "bfloat16": lambda: Case(
        model=model(
            [
                cast(TensorProto.BFLOAT16, output="i", name="a"),
                cast(TensorProto.BFLOAT16, "w", "v", name="b"),
                conv("i", "v", "o"),
                cast(FLOAT, "o", name="c"),
            ],
            stored(w=WEIGHT),
            opset=22,
        )
    ),
    "float64": lambda: Case(
        model=model(
            [
                cast(TensorProto.DOUBLE, output="d"),
                node("Mul", "d k", "e", "mul"),
                cast(FLOAT, "e", name="back"),
            ],
            stored(k=np.array([2.0])),
        ),
        findings=("warning type cast",),
    ),
    "a float64 input": lambda: Case(
        model=model(
            [conv()],
            stored(w=WEIGHT.astype(np.float64)),
            inputs=[value("image", TensorProto.DOUBLE)],
            outputs=[value("y", TensorProto.DOUBLE, None)],
        ),
        findings=("warning type",),
    ),
    "uint8 in, cast at once": lambda: Case(
        model=model(
            [cast(FLOAT, output="f"), conv("f")], stored(w=WEIGHT), inputs=[value("image", TensorProto.UINT8)]
        )
    ),
    "uint8 in, pooled": lambda: Case(
        model=model(
            [node("MaxPool", "image", "p", kernel_shape=[2, 2]), cast(FLOAT, "p")],
            inputs=[value("image", TensorProto.UINT8)],
        ),
        findings=("error type",),
        builds=False,
    ),
    "uint8 on the way": lambda: Case(
        model=model([cast(TensorProto.UINT8, output="u"), cast(FLOAT, "u", name="back")]),
        findings=("error type cast",),
        builds=False,
    ),
    "uint8 out": lambda: Case(
        model=model([cast(TensorProto.UINT8)], outputs=[value("y", TensorProto.UINT8, None)])
    ),
    "uint16": lambda: Case(
        model=model([cast(TensorProto.UINT16, output="u"), cast(FLOAT, "u", name="back")]),
        findings=("error type cast",),
        builds=False,
    ),
    "text": lambda: Case(
        model=model([cast(FLOAT)], inputs=[value("image", TensorProto.STRING)]),
        findings=("error type",),
        builds=False,
    ),
    "a convolution of integers": lambda: Case(
        model=model(
            [conv()],
            stored(w=WEIGHT.astype(np.int32)),
            inputs=[value("image", TensorProto.INT32)],
            outputs=[value("y", TensorProto.INT32, None)],
        ),
        findings=("error type conv",),
        builds=False,
    ),
    "int8 without quantization": lambda: Case(
        model=model(
            [
                cast(TensorProto.INT8, output="i"),
                node("Relu", "i", "r", "relu"),
                cast(FLOAT, "r", name="back"),
            ]
        ),
        findings=("warning type relu",),
    ),
    "float16 weights for a float32 image": lambda: Case(
        model=model([conv()], stored(w=WEIGHT.astype(np.float16))),
        findings=("error mixed-types conv",),
        builds=False,
    ),
    "a float16 bias": lambda: Case(
        model=model([node("Conv", "image w b", name="conv")], stored(w=WEIGHT, b=np.ones(4, np.float16))),
        findings=("error mixed-types conv",),
        builds=False,
    ),
    "integers in a Relu before opset 14": lambda: Case(
        model=model(
            [node("Relu", "image", name="relu")],
            inputs=[value("image", TensorProto.INT32)],
            outputs=[value("y", TensorProto.INT32, None)],
            opset=13,
        ),
        findings=("error type relu",),
        builds=False,
    ),
    "a sum of two types": lambda: Case(
        model=model([node("Add", "image k", name="add")], stored(k=np.ones(1, np.float16))),
        findings=("error mixed-types add",),
        builds=False,
    ),
    "a limit of another type": lambda: Case(
        model=model([node("Clip", "image k", name="clip")], stored(k=np.float16(0))),
        findings=("error mixed-types clip",),
        why="no valid ONNX: other TensorRTs and ONNX Runtime refuse it",
    ),
    "an output that is declared wrong": lambda: Case(
        model=model(
            [conv()], stored(w=WEIGHT.astype(np.float16)), inputs=[value("image", TensorProto.FLOAT16)]
        ),
        findings=("error type conv",),
        why="who reads the file allocates the wrong type",
    ),
}
OF_PADDING: dict[str, Callable[[], Case]] = {
    "SAME_UPPER, strides and dilation": lambda: Case(
        model=model([conv(auto_pad="SAME_UPPER", strides=[2, 2], dilations=[2, 2])], stored(w=WEIGHT))
    ),
    "pool SAME_UPPER": lambda: Case(model=pool("MaxPool", auto_pad="SAME_UPPER", strides=[2, 2])),
    "pool with unequal pads": lambda: Case(model=pool("AveragePool", pads=[0, 0, 1, 1], strides=[2, 2])),
    "pool with ceil_mode that fits": lambda: Case(model=pool("MaxPool", ceil_mode=1, strides=[2, 2])),
    "pool with ceil_mode and a window in the padding": lambda: Case(
        model=pool("MaxPool", ceil_mode=1, strides=[3, 3], pads=[0, 0, 1, 1]),
        findings=("error padding pool",),
        why="its map is one larger than ONNX's at some sizes",
    ),
    "pool with dilation": lambda: Case(
        model=pool("MaxPool", dilations=[2, 2]), findings=("error operator-form pool",), builds=False
    ),
    "pool that pads its window": lambda: Case(
        model=pool("AveragePool", pads=[3, 3, 3, 3]), findings=("error padding pool",), builds=False
    ),
    "pool with indices": lambda: Case(
        model=model(
            [node("MaxPool", "image", "y i", "pool", kernel_shape=[2, 2])],
            outputs=[value("y", shape=None), value("i", TensorProto.INT64, None)],
        ),
        findings=("error operator-form pool",),
        builds=False,
    ),
    "pool SAME_UPPER with a stride above the window": lambda: Case(
        model=pool("MaxPool", auto_pad="SAME_UPPER", kernel_shape=[1, 1], strides=[2, 2]),
        findings=("warning padding pool",),
    ),
    "transposed convolution that pads by itself": lambda: Case(
        model=model(
            [node("ConvTranspose", "image w", name="up", auto_pad="SAME_UPPER", strides=[2, 2])],
            stored(w=WEIGHT.transpose(1, 0, 2, 3).copy()),
        ),
        findings=("warning padding up",),
    ),
    "reflection": lambda: Case(
        model=model([node("Pad", "image p", mode="reflect")], stored(p=np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    ),
    "pad of two axes": lambda: Case(
        model=model(
            [node("Pad", "image p - a", name="pad")], stored(p=np.array([1, 1, 1, 1]), a=np.array([2, 3]))
        )
    ),
}
_BUILT = "built, and an engine for one size alone"
OF_SIZES: dict[str, Callable[[], Case]] = {
    "reshape of what varies": lambda: Case(model=reshape(0, -1)),
    "reshape in groups": lambda: Case(model=reshape(0, 1, -1)),
    "reshape to a constant": lambda: Case(
        model=reshape(0, 256), findings=("error fixed-size reshape",), builds=False
    ),
    "reshape that holds the width": lambda: Case(
        model=reshape(0, 1, -1, 16), findings=("error fixed-size reshape",), why=_BUILT
    ),
    "reshape that fixes the batch": lambda: Case(
        model=reshape(1, -1), findings=("error fixed-size reshape",), why=_BUILT
    ),
    "a dense head on a flattened map": lambda: Case(
        model=reshape(0, -1, then=[node("Gemm", "f k", "y", "gemm")], k=np.ones((256, 3), np.float32)),
        findings=("error fixed-size gemm",),
        builds=False,
    ),
    "a sum with a constant map": lambda: Case(
        model=model([node("Add", "image k", name="add")], stored(k=np.ones((1, 1, 16, 16), np.float32))),
        findings=("error fixed-size add",),
        builds=False,
    ),
    "resize to a constant": lambda: Case(
        model=model(
            [node("Resize", "image - - s", name="resize", mode="linear")], stored(s=np.array([1, 1, 16, 16]))
        ),
        findings=("error fixed-size resize",),
        why=_BUILT,
    ),
    "resize to a computed size": lambda: Case(
        model=model(
            [
                node("Shape", "image", "s", "shape"),
                node("Mul", "s two", "z", "mul"),
                node("Resize", "image - - z", "y", "resize", mode="nearest"),
            ],
            stored(two=np.array([1, 1, 2, 2])),
        )
    ),
    "expand to a constant": lambda: Case(
        model=model([node("Expand", "image s", name="expand")], stored(s=np.array([1, 1, 16, 16]))),
        findings=("error fixed-size expand",),
        why=_BUILT,
    ),
    "an average that is tiled to a constant": lambda: Case(
        model=model(
            [
                node("GlobalAveragePool", "image", "g", "gap"),
                node("Tile", "g r", "t", "tile"),
                node("Concat", "image t", "y", "concat", axis=1),
            ],
            stored(r=np.array([1, 1, 16, 16])),
        ),
        findings=("error fixed-size concat",),
        builds=False,
    ),
    "a slice of a constant size": lambda: Case(
        model=model(
            [node("Slice", "image a b c", "x", "slice"), node("GlobalAveragePool", "x", "y", "gap")],
            stored(a=np.array([0, 0]), b=np.array([16, 16]), c=np.array([2, 3])),
        ),
        findings=("warning fixed-size slice",),
    ),
    "a slice to the end": lambda: Case(
        model=model(
            [node("Slice", "image a b c", name="slice")],
            stored(a=np.array([1, 1]), b=np.array([2**31 - 1, -1]), c=np.array([2, 3])),
        )
    ),
    "an output of one size": lambda: Case(
        model=model(
            [node("GlobalAveragePool", "image", "g", "gap"), node("Tile", "g r", "y", "tile")],
            stored(r=np.array([1, 1, 16, 16])),
        ),
        findings=("error fixed-size",),
        why="the output does not vary with the image",
    ),
    "a transposed convolution of one size": lambda: Case(
        model=model(
            [node("ConvTranspose", "image w", name="up", output_shape=[32, 32], strides=[2, 2])],
            stored(w=WEIGHT.transpose(1, 0, 2, 3).copy()),
        ),
        findings=("error fixed-size up",),
        builds=False,
    ),
}
_SCALES_OF_CHANNELS = "TensorRT documents scales of channels for weights alone"
_UNSIGNED = "TensorRT-RTX warns and computes with int8: other values"
OF_QDQ: dict[str, Callable[[], Case]] = {
    "as it should be": lambda: Case(model=quantized()),
    "a zero point": lambda: Case(
        model=quantized(zero=np.int8(3)),
        findings=("error qdq-zero-point Q", "error qdq-zero-point DQ"),
        builds=False,
    ),
    "a zero point of a weight": lambda: Case(
        model=quantized(weight_zero=np.array([0, 1, 0, 0], np.int8)),
        findings=("error qdq-zero-point DW",),
        builds=False,
    ),
    "unsigned": lambda: Case(
        model=quantized(zero=np.uint8(0)), findings=("error qdq-type Q", "error qdq-type DQ"), why=_UNSIGNED
    ),
    "without a zero point": lambda: Case(
        model=model(
            [node("QuantizeLinear", "image s", "q", "Q"), node("DequantizeLinear", "q s", "y", "DQ")],
            stored(s=np.float32(0.1)),
        ),
        findings=("error qdq-type Q", "error qdq-type DQ"),
        why=_UNSIGNED,
    ),
    "16 bits": lambda: Case(
        model=model(
            [node("QuantizeLinear", "image s z", "q", "Q"), node("DequantizeLinear", "q s z", "y", "DQ")],
            stored(s=np.float32(0.1), z=np.int16(0)),
            opset=21,
        ),
        findings=("error qdq-type Q", "error qdq-type DQ"),
        builds=False,
    ),
    "a scale of 0": lambda: Case(
        model=quantized(scale=np.float32(0)),
        findings=("error qdq-scale Q", "error qdq-scale DQ"),
        builds=False,
    ),
    "a scale that is no number": lambda: Case(
        model=quantized(scale=np.float32(np.nan)),
        findings=("error qdq-scale Q", "error qdq-scale DQ"),
        builds=False,
    ),
    "a scale that is computed": lambda: Case(
        model=model(
            [
                node("ReduceMax", "image", "s", "max", keepdims=0),
                node("QuantizeLinear", "image s z", "q", "Q"),
                node("DequantizeLinear", "q s z", "d", "DQ"),
                node("DequantizeLinear", "w8 ws wz", "w", "DW", axis=0),
                conv("d"),
            ],
            stored(z=np.int8(0), w8=WEIGHT_8, ws=np.full(4, 0.02, np.float32), wz=np.zeros(4, np.int8)),
        ),
        findings=("error qdq-scale Q", "error qdq-scale DQ"),
        builds=False,
    ),
    "a float16 scale before opset 19": lambda: Case(
        model=quantized(scale=np.float16(0.05)),
        findings=("error qdq-scale Q", "error qdq-scale DQ"),
        builds=False,
    ),
    "a float16 activation before opset 19": lambda: Case(
        model=model(
            [
                cast(TensorProto.FLOAT16, output="h"),
                node("QuantizeLinear", "h s z", "q", "Q"),
                node("DequantizeLinear", "q s z", "y", "DQ"),
            ],
            stored(s=np.float32(0.1), z=np.int8(0)),
        ),
        findings=("error type Q",),
        why="no valid ONNX: ONNX Runtime refuses it",
    ),
    "too few scales": lambda: Case(
        model=quantized(weight_scale=np.full(3, 0.02, np.float32), weight_zero=np.zeros(3, np.int8)),
        findings=("error qdq-axis DW",),
        builds=False,
    ),
    "scales and zero points of different number": lambda: Case(
        model=quantized(weight_zero=np.zeros(1, np.int8)), findings=("error qdq-zero-point DW",), builds=False
    ),
    "an activation with a scale a channel": lambda: Case(
        model=model(
            [
                node("QuantizeLinear", "image s z", "q", "Q", axis=1),
                node("DequantizeLinear", "q s z", "y", "DQ", axis=1),
            ],
            stored(s=np.full(3, 0.1, np.float32), z=np.zeros(3, np.int8)),
            inputs=[value("image", shape=("batch", 3, "height", "width"))],
        ),
        findings=("error qdq-axis Q", "error qdq-axis DQ"),
        why=_SCALES_OF_CHANNELS,
    ),
    "an int32 bias": lambda: Case(
        model=quantized(bias=np.ones(4, np.int32)), findings=("error qdq-bias DB",), builds=False
    ),
    "an int8 bias": lambda: Case(
        model=quantized(bias=np.ones(4, np.int8)), findings=("warning qdq-bias conv",)
    ),
    "a pair for two readers": lambda: Case(
        model=model(
            [
                node("QuantizeLinear", "image s z", "q", "Q"),
                node("DequantizeLinear", "q s z", "d", "DQ"),
                node("Relu", "d", "r", "relu"),
                node("Sub", "r d", "y", "sub"),
            ],
            stored(s=np.float32(0.1), z=np.int8(0)),
        ),
        findings=("warning qdq-shared DQ",),
    ),
    "weights that are quantized at run time": lambda: Case(
        model=model(
            [
                node("QuantizeLinear", "image s z", "q", "Q"),
                node("DequantizeLinear", "q s z", "d", "DQ"),
                node("QuantizeLinear", "w ws wz", "wq", "QW", axis=0),
                node("DequantizeLinear", "wq ws wz", "wd", "DW", axis=0),
                conv("d", "wd"),
            ],
            stored(
                s=np.float32(0.1),
                z=np.int8(0),
                w=WEIGHT,
                ws=np.full(4, 0.02, np.float32),
                wz=np.zeros(4, np.int8),
            ),
        ),
        findings=("warning qdq-weights conv",),
    ),
    "a weight alone": lambda: Case(
        model=model(
            [node("DequantizeLinear", "w8 s z", "w", "DW"), conv()],
            stored(w8=WEIGHT_8, s=np.float32(0.1), z=np.int8(0)),
        ),
        findings=("warning qdq-missing conv",),
    ),
    "a convolution left out": lambda: Case(
        model=model(
            [
                conv(output="c", name="first"),
                node("QuantizeLinear", "c s z", "q", "Q"),
                node("DequantizeLinear", "q s z", "d", "DQ"),
                node("Relu", "d", "y", "relu"),
            ],
            stored(w=WEIGHT, s=np.float32(0.1), z=np.int8(0)),
        ),
        findings=("warning qdq-missing first",),
    ),
    "no DequantizeLinear behind": lambda: Case(
        model=model(
            [node("QuantizeLinear", "image s z", "y", "Q")],
            stored(s=np.float32(0.1), z=np.int8(0)),
            outputs=[value("y", TensorProto.INT8, None)],
        ),
        findings=("warning qdq-pair Q",),
    ),
    "quantized twice": lambda: Case(
        model=model(
            [
                node("QuantizeLinear", "image s z", "q", "Q"),
                node("DequantizeLinear", "q s z", "d", "DQ"),
                node("QuantizeLinear", "d s z", "r", "Q2"),
                node("DequantizeLinear", "r s z", "y", "DQ2"),
            ],
            stored(s=np.float32(0.1), z=np.int8(0)),
        ),
        findings=("warning qdq-twice Q2",),
    ),
    "scales along the wrong axis of a weight": lambda: Case(
        model=quantized(weight_scale=np.full(1, 0.02, np.float32), weight_zero=np.zeros(1, np.int8), axis=1)
    ),
    "quantized operators": lambda: Case(
        model=model(
            [
                node("QuantizeLinear", "image s z", "q", "Q"),
                node("QLinearConv", "q s z w8 s z s z", "r", "conv"),
                node("DequantizeLinear", "r s z", "y", "DQ"),
            ],
            stored(s=np.float32(0.1), z=np.int8(0), w8=WEIGHT_8),
        ),
        findings=("error operator conv", "warning qdq-pair Q"),
        builds=False,
    ),
}
CASES: dict[str, Callable[[], Case]] = {
    **OF_OPSETS,
    **OF_INPUTS,
    **OF_OPERATORS,
    **OF_TYPES,
    **OF_PADDING,
    **OF_SIZES,
    **OF_QDQ,
}
