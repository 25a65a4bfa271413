"""What narrowing did: which layers stay FP32 and why, what calibrated INT8, and how far its ranges hold."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fcnship.reports.figures import ABSENT, error_text, number, percent_text
from fcnship.reports.html_table import folded as html_folded
from fcnship.reports.html_table import section
from fcnship.reports.html_table import table as html_table
from fcnship.reports.markdown_form import Cells, escaped, folded, table
from fcnship.reports.markup import Markup, element, joined
from fcnship.reports.order import Report, Row

TITLE = "Precision"
KEPT_HEADS = ("layer in FP32", "variant", "why")
LAYER_HEADS = ("layer", "precision", "alone it loses", "at", "alone it moves outputs by", "at", "why")
LAYER_RIGHT = (2, 4)
COVERAGE_HEADS = ("profile", "sizes", "images")
TENSOR_HEADS = ("tensor", "range", "largest", "saturated", "in the worst image", "at", "hangs most on")
TENSOR_RIGHT = (1, 2, 3, 4)
_SHOWN = 8


def precision_blocks(report: Report) -> list[str]:
    """Markdown; nothing where nothing was narrowed."""
    found = report.get("precision")
    if not found:
        return []
    blocks = [f"### {TITLE}", "\n".join(f"- {escaped(sentence)}" for sentence in sentences(found))]
    if kept := kept_cells(found):
        blocks.append(table(KEPT_HEADS, _escaped(kept)))
    int8 = found.get("int8")
    if int8:
        blocks += [
            folded("INT8, layer by layer", table(LAYER_HEADS, _escaped(layer_cells(int8)), LAYER_RIGHT)),
            folded(
                "Sizes of the calibration images",
                table(COVERAGE_HEADS, _escaped(coverage_cells(int8)), right=(2,)),
            ),
            folded("INT8 ranges", table(TENSOR_HEADS, _escaped(tensor_cells(int8)), TENSOR_RIGHT)),
        ]
    return blocks


def precision_section(report: Report) -> Markup | None:
    """HTML; the images that calibrated, by hash, are folded away."""
    found = report.get("precision")
    if not found:
        return None
    kept, int8 = kept_cells(found), found.get("int8")
    return section(
        TITLE,
        "precision",
        element("ul", *(element("li", sentence) for sentence in sentences(found))),
        html_table(KEPT_HEADS, kept, "Layers that stay FP32") if kept else None,
        _html_int8(int8) if int8 else None,
    )


def print_precision(report: Report, console: Console) -> None:
    """The sentences and the kept layers, for a terminal of 80 columns."""
    found = report.get("precision")
    if not found:
        return
    console.print()
    console.print(Text(TITLE, style="bold"))
    for sentence in sentences(found):
        console.print(Padding(Text(sentence), (0, 0, 0, 2), expand=False))
    kept = kept_cells(found)
    for layer, variant, why in kept[:_SHOWN]:
        console.print(Padding(Text(f"{layer} stays FP32 in {variant}: {why}"), (0, 0, 0, 2), expand=False))
    if kept[_SHOWN:]:
        console.print(Padding(Text(f"and {len(kept) - _SHOWN} more layers"), (0, 0, 0, 2), expand=False))


def sentences(found: Row) -> list[str]:
    """What was narrowed and how, in a few lines."""
    told = []
    if fp16 := found.get("fp16"):
        told.append(f"FP16: {_stay(len(fp16['kept']))}. Looked for values out of its range on real images.")
    if int8 := found.get("int8"):
        told += [_quantized(int8), _calibrated(int8), *_held(int8), *_saturation(int8), *_hangs(int8)]
    return told


def _stay(count: int) -> str:
    return (
        "every layer is narrowed" if not count else f"{count} layer{'s stay' if count > 1 else ' stays'} FP32"
    )


def _quantized(int8: Row) -> str:
    layers = len(int8["layers"])
    return (
        f"INT8: {int8['quantized_layers']} of {layers} layers with weights; "
        f"the file has {percent_text(int8['bytes_ratio'])} of FP32's bytes."
    )


def _calibrated(int8: Row) -> str:
    recipe, audit = int8["recipe"], int8["audit"]
    sizes = recipe["sizes"] if isinstance(recipe["sizes"], str) else ", ".join(recipe["sizes"])
    return (
        f"Calibrated by {recipe['method']} (recipe {recipe['name']}, sizes {sizes}, seed {recipe['seed']}) "
        f"on {len(audit['images'])} images, {audit['distinct']} of them different; "
        f"ranges checked on {audit['held_out']} others."
    )


def _held(int8: Row) -> list[str]:
    budget = int8.get("budget")
    if not budget:
        return []
    worst = max(budget["sizes"], key=lambda row: number(row["loss"]))
    return [
        f"Held to {budget['points']:g} points of accuracy on held-out training images: the most that is lost "
        f"is {_points(worst['loss'])} at {worst['height']}x{worst['width']}, of {len(budget['sizes'])} "
        f"sizes. Choices of layers that were measured: {budget['measured']}."
    ]


def _saturation(int8: Row) -> list[str]:
    tensors = int8["audit"]["tensors"]
    if not tensors:
        return []
    worst = max(tensors, key=lambda row: number(row["worst"]))
    if number(worst["worst"]) == 0:
        return ["No held-out image has a value beyond its range."]
    return [
        f"Most saturated on held-out images: {worst['tensor']}, {_share(worst['saturated'])} of its values "
        f"on average and {_share(worst['worst'])} in the worst image, of {_size(worst['worst_size'])}."
    ]


def _hangs(int8: Row) -> list[str]:
    most = int8["audit"].get("moves_most")
    if not most:
        return []
    return [
        f"The range that hangs most on images of one size: {most['tensor']} would be "
        f"{number(most['factor']):.2f} times as wide without those of {most['sizes']}."
    ]


def kept_cells(found: Row) -> list[Cells]:
    """(layer, variant, why) of each layer that stays FP32."""
    return [
        (row["layer"], precision, row["reason"])
        for precision in ("fp16", "int8")
        for row in (found.get(precision) or {"kept": []})["kept"]
    ]


def layer_cells(int8: Row) -> list[Cells]:
    """A row for each layer with weights; figures where each was quantized alone."""
    return [(row["layer"], row["precision"], *_alone(row["alone"]), row["reason"]) for row in int8["layers"]]


def _alone(loss: Row | None) -> Sequence[str]:
    if loss is None:
        return (ABSENT,) * 4
    return _points(loss["loss"]), loss["loss_at"], error_text(loss["error"]), loss["error_at"]


def coverage_cells(int8: Row) -> list[Cells]:
    """(profile, sizes, images) of each part of the range."""
    return [(row["profile"], row["sizes"], f"{row['images']:,}") for row in int8["audit"]["coverage"]]


def tensor_cells(int8: Row) -> list[Cells]:
    """A row for each tensor that is quantized: its range and how it holds."""
    return [
        (
            row["tensor"],
            f"{number(row['high']):.4g}",
            f"{number(row['largest']):.4g}",
            _share(row["saturated"]),
            _share(row["worst"]),
            _size(row["worst_size"]),
            _group(row["without"]),
        )
        for row in int8["audit"]["tensors"]
    ]


def _group(without: Sequence[Row]) -> str:
    if not without:
        return ABSENT
    most = max(without, key=lambda row: abs(number(row["factor"]) - 1))
    return f"{most['sizes']}: {number(most['factor']):.2f}x without"


def image_cells(int8: Row) -> list[Cells]:
    """(sha256, size) of each image that calibrated."""
    return [(row["sha256"], _size((row["height"], row["width"]))) for row in int8["audit"]["images"]]


def _html_int8(int8: Row) -> Markup:
    images = image_cells(int8)
    return joined(
        [
            html_folded(
                "INT8, layer by layer",
                html_table(LAYER_HEADS, layer_cells(int8), "INT8, layer by layer", LAYER_RIGHT),
            ),
            html_folded(
                "INT8 ranges", html_table(TENSOR_HEADS, tensor_cells(int8), "INT8 ranges", TENSOR_RIGHT)
            ),
            html_folded(
                f"The {len(images)} images that calibrated",
                html_table(COVERAGE_HEADS, coverage_cells(int8), "Sizes of the calibration images", (2,)),
                html_table(("sha256", "size"), images, "The calibration images"),
            ),
        ]
    )


def _escaped(rows: Sequence[Cells]) -> list[Cells]:
    return [tuple(map(escaped, cells)) for cells in rows]


def _points(loss: object) -> str:
    value = number(loss)
    return f"{value:.2f} points"


def _share(value: object) -> str:
    return f"{number(value):.3%}".replace("%", " %")


def _size(sides: Sequence[object]) -> str:
    return f"{sides[0]}x{sides[1]}"
