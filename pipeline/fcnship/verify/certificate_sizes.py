"""The output map's size as a formula, held against the network as it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.graph.growth import Formula, formula_of
from fcnship.graph.propagate import is_legal, output_map
from fcnship.graph.surgery.values import Value, tensors_in
from fcnship.graph.surgery.walk import graph_of, walk
from fcnship.sizes import Size
from fcnship.verify.outputs import answers
from fcnship.verify.pair import Pair
from fcnship.verify.sampling import random_images


@dataclass(frozen=True, kw_only=True)
class MapSizes:
    """``rows`` and ``columns`` of the first map as formulas in H and W ('' where there is none).

    ``run`` lists the sizes at which the network was run, each with its map and what the formula and the
    geometry said (None where the output is a vector); ``below`` the sizes one pixel under the minimum, where
    Keras has to refuse or to make a map without cells.
    """

    rows: str
    columns: str
    run: tuple[dict[str, Any], ...]
    below: tuple[dict[str, Any], ...]

    @property
    def faults(self) -> list[str]:
        """Where the network did not do what the geometry says."""
        grown = [
            f"at {row['height']}x{row['width']} the map is {row['map']}, the geometry says {row['expected']}"
            for row in self.run
            if row["map"] != row["expected"]
        ]
        return grown + [
            f"the network answers at {row['height']}x{row['width']}, below the minimum that its geometry has"
            for row in self.below
            if row["outcome"] == "answered"
        ]

    def as_json(self) -> dict[str, Any]:
        """The sizes as the certificate writes them."""
        return {"rows": self.rows, "columns": self.columns, "run": list(self.run), "below": list(self.below)}


def map_sizes(pair: Pair, minimum: Size, sizes: Sequence[Size], rng: np.random.Generator) -> MapSizes:
    """Run the converted model at sizes, its minimum too, and note what Keras infers one pixel below that."""
    index = next((k for k, one in enumerate(pair.outputs) if len(one.tensor.shape) == 4), None)
    formulas = [None, None] if index is None else [formula_of(pair.network, axis, index) for axis in (0, 1)]
    run = [_run(pair, size, index, formulas, rng) for size in dict.fromkeys([minimum, *sizes])]
    return MapSizes(
        rows=formulas[0].text if formulas[0] else "",
        columns=formulas[1].text if formulas[1] else "",
        run=tuple(run),
        below=tuple(_below(pair, size) for size in _under(pair, minimum)),
    )


def _run(
    pair: Pair, size: Size, index: int | None, formulas: Sequence[Formula | None], rng: np.random.Generator
) -> dict[str, Any]:
    image = random_images(rng, 1, pair.shape(size), pair.dtype, pair.value_range)
    found = answers(pair.maps, image, 1, pair.channels_first)
    row: dict[str, Any] = {"height": size.height, "width": size.width, "map": None, "expected": None}
    if index is None:
        return row
    map_ = output_map(pair.network, size, index)
    expected = [map_.height, map_.width]
    sides = zip(formulas, (size.height, size.width), expected, strict=True)
    said = [formula.cells(side) if formula else cells for formula, side, cells in sides]
    return {**row, "map": list(found[index].shape[1:3]), "expected": expected if said == expected else said}


def _under(pair: Pair, minimum: Size) -> list[Size]:
    """One pixel below the minimum on each side, where that is no size of the network's."""
    sides = [Size(minimum.height - 1, minimum.width), Size(minimum.height, minimum.width - 1)]
    return [size for size in sides if min(size.height, size.width) > 0 and not is_legal(pair.network, size)]


def _below(pair: Pair, size: Size) -> dict[str, Any]:
    """Keras's own inference of shapes: it refuses the size, or some map on the way has no cell.

    Nothing is run: on a map without cells TensorFlow answers with what lies in memory, or ends the process.
    """
    outcome = "answered"
    try:
        if _has_empty_map(pair.maps, pair.shape(size)):
            outcome = "empty"
    except ValueError:
        outcome = "refused"
    return {"height": size.height, "width": size.width, "outcome": outcome}


def _has_empty_map(model: Any, shape: tuple[int, ...]) -> bool:
    import keras

    graph = graph_of(model)
    empty: list[bool] = []

    def visit(op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Value]:
        given, named = tensors_in((args, dict(kwargs)), lambda value: value.trained)
        specs = keras.tree.flatten(op.compute_output_spec(*given, **named))
        empty.extend(0 in spec.shape for spec in specs)
        return [Value(tensor=None, trained=spec) for spec in specs]

    image = keras.KerasTensor((1, *shape), dtype=graph.inputs[0].dtype)
    walk(graph, [Value(tensor=None, trained=image)], visit)
    return any(empty)
