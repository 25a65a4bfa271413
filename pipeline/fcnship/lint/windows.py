"""Padding forms of pooling and convolution on which TensorRT and ONNX Runtime do not agree."""

from __future__ import annotations

from collections.abc import Iterator

from fcnship.lint.findings import Finding
from fcnship.lint.graph import Graph, Node
from fcnship.lint.targets import Target

_POOLS = ("MaxPool", "AveragePool", "LpPool")


def check_windows(graph: Graph, target: Target) -> Iterator[Finding]:
    """Pools whose windows lie outside the map, and transposed convolutions that pad by themselves."""
    for node in graph.everything:
        if not node.standard:
            continue
        if node.operator in _POOLS:
            yield from _pool(node)
        if node.operator == "ConvTranspose" and _auto_pad(node) in ("SAME_UPPER", "SAME_LOWER"):
            yield node.finding(
                "padding",
                "warning",
                f"auto_pad {_auto_pad(node)}: runtimes do not agree what it pads in a transposed convolution",
                "give pads and output_padding",
            )


def _pool(node: Node) -> Iterator[Finding]:
    kernel = node.numbers("kernel_shape", [])
    strides = node.numbers("strides", [1] * len(kernel))
    pads = node.numbers("pads", [0] * 2 * len(kernel))
    if not kernel or len(strides) != len(kernel) or len(pads) != 2 * len(kernel):
        return  # shape inference says what is wrong
    ends = pads[len(kernel) :]
    same = _auto_pad(node) in ("SAME_UPPER", "SAME_LOWER")
    if any(pad >= side for pad, side in zip(pads, [*kernel, *kernel], strict=True)):
        yield node.finding(
            "padding",
            "error",
            f"it pads {max(pads)}, as much as its window {_by(kernel)}: whole windows would be padding",
            "pad less than the window",
        )
    # The last window starts in the padding at some sizes if stride + padding at the end > window. ONNX leaves
    # such a window out; TensorRT keeps it, or refuses an average of nothing. Tried with TensorRT-RTX 1.7.1
    # against ONNX Runtime 1.31 over strides 1 to 3, windows 2 and 3 and all paddings.
    elif (
        not same
        and node.number("ceil_mode", 0)
        and any(s + e > k for s, e, k in zip(strides, ends, kernel, strict=True))
    ):
        yield node.finding(
            "padding",
            "error",
            f"ceil_mode with stride {_by(strides)} over a window of {_by(kernel)}: at some sizes TensorRT's "
            "map is one larger than ONNX's, or an average is refused",
            "pool without ceil_mode: padding='same' in Keras",
        )
    elif same and any(s > k for s, k in zip(strides, kernel, strict=True)):
        yield node.finding(
            "padding",
            "warning",
            f"auto_pad {_auto_pad(node)} with a stride {_by(strides)} above the window {_by(kernel)}: ONNX "
            "Runtime refuses it at some sizes",
            "use a window as large as the stride",
        )


def _auto_pad(node: Node) -> str:
    return node.text("auto_pad", "NOTSET")


def _by(sides: list[int]) -> str:
    return "x".join(map(str, sides))
