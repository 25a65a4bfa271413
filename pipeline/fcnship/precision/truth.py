"""Precision truth: what a file computes in, by its types, held against what it was asked to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from fcnship.errors import ParityFailed
from fcnship.precision.element_types import element_types
from fcnship.precision.places import is_kept, places_of

CONVOLUTIONS = ("Conv", "ConvTranspose")
PRODUCTS = (*CONVOLUTIONS, "Gemm", "MatMul")
_FLOAT, _HALF = 1, 10  # TensorProto.FLOAT and FLOAT16
_WORDS = {1: "fp32", 10: "fp16", 11: "fp64", 16: "bf16"}  # TensorProto's data types
# On its way to a product a quantized tensor may be moved about.
_MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity")


class Product(NamedTuple):
    """A convolution or matrix product: the node, its Keras layer, its operator, and what it computes in."""

    node: str
    layer: str
    operator: str
    type: str


def products_of(model: Any) -> list[Product]:
    """The convolutions and products of an ONNX graph, by type inference.

    A product is int8 where Q/DQ stand before both factors, else of the type of the first.
    """
    kinds = element_types(model)
    maker = {name: node for node in model.graph.node for name in node.output}
    return [
        Product(node.name, place, node.op_type, _type(node, kinds, maker))
        for node, place in zip(model.graph.node, places_of(model), strict=True)
        if node.op_type in PRODUCTS
    ]


def _type(node: Any, kinds: Mapping[str, int], maker: Mapping[str, Any]) -> str:
    if all(_is_quantized(name, maker) for name in node.input[:2]):
        return "int8"
    return _WORDS.get(kinds.get(node.input[0], 0), "unknown")


def _is_quantized(name: str, maker: Mapping[str, Any]) -> bool:
    node = maker.get(name)
    while node is not None and node.op_type in _MOVES:
        node = maker.get(node.input[0])
    return node is not None and node.op_type == "DequantizeLinear"


def counted(types: Iterable[str]) -> dict[str, int]:
    """How many there are of each type, by its name."""
    return dict(sorted(Counter(types).items()))


def widths_of(model: Any) -> dict[str, int]:
    """Nodes that make float16, nodes that make float32, and the casts between them."""
    kinds = element_types(model)
    made = [{kinds.get(name) for name in node.output} for node in model.graph.node if node.op_type != "Cast"]
    return {
        "float16_nodes": sum(_HALF in kind for kind in made),
        "float32_nodes": sum(_FLOAT in kind for kind in made),
        "casts": sum(node.op_type == "Cast" for node in model.graph.node),
    }


def check_file(model: Any, precision: str, keep: Collection[str], what: str) -> list[Product]:
    """The products of an ONNX file, which is what it was asked to be; ``what`` names it in messages.

    Every convolution and product of an fp16 file is FP16, and every convolution of an int8 file has Q/DQ on
    its image and its weights, but for those of the layers in ``keep``; at least one is.

    Raises:
        ParityFailed: it is not. (Exit code 4: nothing is damaged or refused, but a check of what was made
            against what was asked for has failed, and such a file must not be shipped.)
    """
    found = products_of(model)
    for product in found:
        kept = is_kept(product.layer, keep) and product.type == "fp32"
        must = precision != "int8" or product.operator in CONVOLUTIONS
        if product.type != precision and must and not kept:
            raise _untrue(what, precision, product.layer or product.node, product.type)
    if found and all(product.type != precision for product in found):
        raise _untrue(what, precision, "every layer", found[0].type)
    return found


def check_engine(found: Mapping[str, str], products: Collection[Product], precision: str, what: str) -> None:
    """Refuse an engine whose network computes in other types than the ONNX file that it was built from.

    ``found``: for each convolution and product of TensorRT's network, by its name, its type.

    Raises:
        ParityFailed: a type differs, or the network has none of the file's products.
    """
    for product in products:
        if product.node in found and found[product.node] != product.type:
            raise _untrue(what, product.type, product.layer or product.node, found[product.node])
    if products and not any(product.node in found for product in products):
        raise _untrue(what, precision, "every layer", "nothing that its ONNX file names")


def _untrue(what: str, precision: str, layer: str, found: str) -> ParityFailed:
    return ParityFailed(
        f"{what} is not {precision}: {layer} computes in {found}",
        cause="the file was replaced, or a library changed types without a word",
        next="build it again with --force; if it stays so, report it with the output of fcnship doctor",
    )
