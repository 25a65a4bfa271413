"""Which ONNX operators TensorRT's parser knows, the types it takes for them, and since which release."""

from __future__ import annotations

from fcnship.lint.targets import Release, Target

# onnx-tensorrt docs/operators.md of TensorRT 10.15, the column "Supported Types". Each list is of operators
# with the same types; a letter stands for a type. INT8, FP8, FP4 and INT4 are there for quantization alone.
_LETTERS = {
    "f": frozenset({"FLOAT", "DOUBLE"}),  # DOUBLE is narrowed to FLOAT
    "h": frozenset({"FLOAT16"}),
    "b": frozenset({"BFLOAT16"}),
    "i": frozenset({"INT32"}),
    "l": frozenset({"INT64"}),
    "?": frozenset({"BOOL"}),
    "u": frozenset({"UINT8"}),
    "q": frozenset({"INT8"}),
    "8": frozenset({"FLOAT8E4M3FN"}),
    "4": frozenset({"INT4", "FLOAT4E2M1"}),
}
_CHART = {
    "fhb": """
        Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos
        Cosh CumSum Dropout Einsum Elu Erf Exp Floor GRU GlobalAveragePool GlobalLpPool GlobalMaxPool
        GroupNormalization Gemm HardSigmoid HardSwish Hardmax ImageScaler InstanceNormalization IsInf LRN LSTM
        LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul MaxPool
        MeanVarianceNormalization PRelu ParametricSoftplus QuantizeLinear RMSNormalization RNN RandomNormal
        RandomNormalLike RandomUniform RandomUniformLike Reciprocal Resize RotaryEmbedding Round ScaledTanh
        Scan Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu Upsample
    """,
    "fhbil": """
        Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Max Mean
        Min Mod Mul Neg Pad Pow Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
        ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Scatter ScatterElements ScatterND Shrink Sign
        SpaceToDepth Sub Sum TopK
    """,
    "fhbil?": """
        Concat Expand EyeLike Flatten Gather GatherElements GatherND Identity If Loop OneHot Reshape
        ReverseSequence Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where
    """,
    "fhbilq": "Gelu",
    "fhbil?u": "Cast CastLike",
    "fhbil?84": "Constant ConstantOfShape",
    "fhb8q": "Attention",
    "fhbi": "TensorScatter",
    "fh": """
        BlackmanWindow DeformConv GridSample HammingWindow HannWindow Mish NonMaxSuppression NonZero RoiAlign
    """,
    "f": "DFT STFT",
    "q84": "DequantizeLinear",
    "?": "And Not Or Xor",
}
TYPES: dict[str, frozenset[str]] = {
    name: frozenset().union(*(_LETTERS[letter] for letter in letters))
    for letters, names in _CHART.items()
    for name in names.split()
}
# onnx-tensorrt docs/Changelog.md for 10.4 to 10.15; release notes of 11.0 (Swish) and 11.2.1 (DFT). What is
# not here is in the chart of 9.2 already, or of opset 20, which 10.0 takes (Gelu).
SINCE: dict[str, Release] = {
    "BlackmanWindow": (10, 4),
    "HammingWindow": (10, 4),
    "HannWindow": (10, 4),
    "STFT": (10, 5),
    "Attention": (10, 14),
    "RMSNormalization": (10, 15),
    "RotaryEmbedding": (10, 15),
    "TensorScatter": (10, 15),
    "Swish": (11, 0),
    "DFT": (11, 2),
}
# In the chart of 10.15 and in neither that of 9.2 nor a changelog between them.
UNDOCUMENTED_BEFORE: dict[str, Release] = {"Mish": (10, 15)}
# TensorRT-RTX 1.7.1 has no plugin for them (tried).
PLUGINS = frozenset({"DFT", "DeformConv", "NonZero"})
# What a network of images is better written with.
INSTEAD = {
    "QLinearConv": "quantize with Q/DQ pairs (QuantFormat.QDQ), not with quantized operators",
    "QLinearMatMul": "quantize with Q/DQ pairs (QuantFormat.QDQ), not with quantized operators",
    "ConvInteger": "quantize with static Q/DQ pairs, not dynamically",
    "MatMulInteger": "quantize with static Q/DQ pairs, not dynamically",
    "DynamicQuantizeLinear": "quantize with static Q/DQ pairs, not dynamically",
}


def knows(target: Target, operator: str) -> bool:
    """Whether a target's parser has this operator of ONNX's own."""
    if operator not in TYPES or (operator in PLUGINS and not target.plugins):
        return False
    return target.release >= SINCE.get(operator, (0, 0))
