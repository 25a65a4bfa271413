"""A converted model on images larger than its original takes, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fcnship.graph.cost import cost_of
from fcnship.sizes import Size
from fcnship.verify.by_right import Rights, rights_of
from fcnship.verify.noise import noise_of
from fcnship.verify.original import Answer, original_at
from fcnship.verify.outputs import Array, Output, error_of, first_cell, fitted
from fcnship.verify.pair import Pair
from fcnship.verify.sampling import Cell, affordable, batch_of, mosaic, random_images, sampled_cells

MOST_CELLS = 96
_CROPS_BUDGET, _PASSES_BUDGET, _NOISE_BUDGET, _WINDOWS_BYTES = 1e11, 1.5e11, 2e10, 128 * 2**20


@dataclass(frozen=True, kw_only=True)
class LargerCheck:
    """One output at one larger size; counts are of cells of the map, each compared on ``images`` images.

    ``must`` cells of the map have to equal the original on their crop; ``must_compared`` of them were, with
    the largest error ``must_max``. Of those that may differ, ``free_compared`` were compared, differed by up
    to ``free_max`` and agreed all the same in ``free_agreeing`` cells; ``free_why`` says why they may.
    ``layers_compared`` cells were held against the original's own layers on the large image, its head window
    by window (all of the output where it is no map), with the largest error ``layers_max``; 0 where this
    cannot be done. ``head_max`` is the error of the pooled head against the pooled map.
    """

    output: str
    size: Size
    images: int
    map: tuple[int, int]
    cells: int
    must: int
    must_compared: int
    must_max: float
    free_compared: int
    free_max: float
    free_agreeing: int
    free_why: tuple[dict[str, Any], ...]
    layers_compared: int
    layers_max: float
    head_max: float
    tolerance: float

    @property
    def faults(self) -> list[str]:
        """What disagrees that may not."""
        what = {
            f"cells that must equal the original on their crop differ by {self.must_max:.3g}": self.must_max,
            f"it differs by {self.layers_max:.3g} from the original's own layers": self.layers_max,
            f"the head is not the one that the map gives: it differs by {self.head_max:.3g}": self.head_max,
        }
        at = f"output {self.output!r} at {self.size}"
        return [f"{at}: {text}, allowed is {self.tolerance:.3g}" for text, error in what.items()
                if not error <= self.tolerance]  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """The check as the certificate writes it."""
        size = [self.size.height, self.size.width]
        return {**asdict(self), "size": size, "map": list(self.map), "free_why": list(self.free_why)}


def larger_checks(
    pair: Pair, size: Size, tolerances: Sequence[float], real: Array | None, rng: np.random.Generator
) -> list[LargerCheck]:
    """Compare every output at one larger size."""
    images = _images(pair, size, real, rng)
    maps, heads = pair.ask_converted(images, size)
    rights = [_rights(pair, size, index, found) for index, found in enumerate(maps)]
    cells = _cells(pair, maps, rights, len(images), rng)
    layers = original_at(pair.original, images, cells, pair.channels_first)
    crops = _on_crops(pair, images, cells, rights) if any(one.cells for one in layers) else {}
    if crops:
        tolerances = _on_noisiest(pair, images, maps, crops, rights, tolerances)
    return [
        _check(
            output,
            size,
            _Found(map=maps[k], head=heads[k], layers=layers[k], rights=rights[k]),
            cells,
            {cell: crops[cell][k] for cell in crops},
            tolerances[k],
        )
        for k, output in enumerate(pair.outputs)
    ]


def _on_noisiest(
    pair: Pair,
    images: Array,
    maps: list[Array],
    crops: dict[Cell, list[Array]],
    rights: list[Rights | None],
    tolerances: Sequence[float],
) -> list[float]:
    """The tolerances, raised to the original's own noise on the crops that disagree most.

    Pieces of images leave a classifier undecided where whole ones do not, and an undecided softmax is tens
    of times as noisy as a saturated one. A fault disagrees by far more than the noise of its own crops.
    """
    errors = {
        cell: max(
            float(error_of(output.cells(maps[k])[:, cell[0], cell[1]], crops[cell][k]).max())
            for k, output in enumerate(pair.outputs)
            if maps[k].ndim == 4
        )
        for cell in crops
    }
    most = affordable(pair.cost_of_crop * len(images), _NOISE_BUDGET, 2, MOST_CELLS)
    stride = next(one for one in rights if one).stride
    chosen = sorted(errors, key=lambda cell: errors[cell], reverse=True)[:most]
    batch = np.concatenate([pair.crop(images, i * stride[0], j * stride[1]) for i, j in chosen])
    together = batch_of(2 * cost_of(pair.original_network, pair.trained).peak_bytes)
    noise = noise_of(pair.original, batch, pair.ask_original(batch), together, pair.channels_first)
    return [max(both) for both in zip(tolerances, noise.tolerances, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """What one output came to: the converted map and head, the original's layers."""

    map: Array
    head: Array
    layers: Answer
    rights: Rights | None


def _check(
    output: Output, size: Size, found: _Found, cells: list[Cell], crops: dict[Cell, Array], tolerance: float
) -> LargerCheck:
    values = output.cells(found.map)
    by_crop = {cell: float(error_of(values[:, cell[0], cell[1]], crops[cell]).max()) for cell in crops}
    must = found.rights.must if found.rights and found.layers.cells else np.zeros((0, 0), bool)
    held = {cell: error for cell, error in by_crop.items() if must.size and must[cell]}
    free = {cell: error for cell, error in by_crop.items() if cell not in held}
    compared, layers_max = _against_layers(found, values, cells)
    pooled = output.head in ("average", "max")
    head = error_of(found.head, output.pooled(found.map)).max() if pooled else 0.0
    return LargerCheck(
        output=output.name,
        size=size,
        images=len(found.map),
        map=(found.map.shape[1], found.map.shape[2]) if found.map.ndim == 4 else (1, 1),
        cells=int(np.prod(found.map.shape[1:3])) if found.map.ndim == 4 else 1,
        must=int(must.sum()),
        must_compared=len(held),
        must_max=max(held.values(), default=0.0),
        free_compared=len(free),
        free_max=max(free.values(), default=0.0),
        free_agreeing=sum(error <= tolerance for error in free.values()),
        free_why=tuple(found.rights.as_json()) if found.rights and found.layers.cells else (),
        layers_compared=compared,
        layers_max=layers_max,
        head_max=float(head),
        tolerance=tolerance,
    )


def _against_layers(found: _Found, values: Array, cells: list[Cell]) -> tuple[int, float]:
    """Cells compared with the original's own layers, and the largest error."""
    expected = found.layers.values
    if expected is None:
        return 0, 0.0
    if not found.layers.cells:
        count = int(np.prod(values.shape[1:3])) if values.ndim == 4 else 1
        return count, float(error_of(fitted(values, expected), expected).max())
    if values.ndim != 4:
        return 0, 0.0
    picked = np.stack([values[:, i, j] for i, j in cells])
    return len(cells), float(error_of(picked, expected).max())


def misplaced_biases(pair: Pair, size: Size) -> list[str]:
    """Layers to which Keras 3.15 adds the bias along the width instead of the channels.

    Its ``ops.add`` on TensorFlow takes a bias for channels last wherever its length is the last axis's, so
    that a channels-first convolution is wrong where its map is as wide as it has filters.
    """
    if not pair.channels_first:
        return []
    layers = cost_of(pair.network, size).layers
    found = [
        layer.name
        for layer, node in zip(layers, pair.network.nodes, strict=True)
        if node.kind in ("conv", "depthwise", "separable", "transposed") and layer.columns == layer.channels
    ]
    return found if max((layer.columns for layer in layers), default=1) > 1 else []


def _images(pair: Pair, size: Size, real: Array | None, rng: np.random.Generator) -> Array:
    count = affordable(cost_of(pair.network, size).multiply_adds, _PASSES_BUDGET, 1, 3)
    wide = [] if real is None else [mosaic(real, size, pair.channels_first)]
    noise = random_images(rng, max(1, count - len(wide)), pair.shape(size), pair.dtype, pair.value_range)
    return np.concatenate([*(one.astype(noise.dtype) for one in wide), noise])[: max(count, 1)]


def _rights(pair: Pair, size: Size, index: int, found: Array) -> Rights | None:
    """None for an output that is no map."""
    return rights_of(pair.network, size, pair.trained, index) if found.ndim == 4 else None


def _cells(
    pair: Pair, maps: list[Array], rights: list[Rights | None], images: int, rng: np.random.Generator
) -> list[Cell]:
    """Cells of the smallest map, so that every output has them."""
    shapes = [(found.shape[1], found.shape[2]) for found in maps if found.ndim == 4]
    if not shapes:
        return []
    smallest = min(shapes, key=lambda shape: shape[0] * shape[1])
    preferred = next(one.has_crop for one in rights if one and one.must.shape == smallest)
    costs = cost_of(pair.original_network, pair.trained)
    window = max((costs.layers[i].input_bytes for i, n in enumerate(pair.original_network.nodes) if n.tied),
                 default=1)  # fmt: skip
    most = affordable(costs.multiply_adds * images, _CROPS_BUDGET, 5, MOST_CELLS)
    most = min(most, affordable(window * images, _WINDOWS_BYTES, 5, MOST_CELLS))
    return sampled_cells(rng, smallest, preferred, most)


def _on_crops(
    pair: Pair, images: Array, cells: list[Cell], rights: list[Rights | None]
) -> dict[Cell, list[Array]]:
    """The original's outputs on the crop of each cell whose crop fits: a list of (images, classes)."""
    first = next(one for one in rights if one)
    fitting = [cell for cell in cells if first.has_crop[cell]]
    if not fitting:
        return {}
    crops = [pair.crop(images, i * first.stride[0], j * first.stride[1]) for i, j in fitting]
    found = [first_cell(one) for one in pair.ask_original(np.concatenate(crops))]
    count = len(images)
    at = {cell: slice(place * count, (place + 1) * count) for place, cell in enumerate(fitting)}
    return {cell: [one[part] for one in found] for cell, part in at.items()}
