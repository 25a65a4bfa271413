"""Images and cells to compare at: seeded, and bounded in number, arithmetic and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fcnship.graph.nodes import Network
from fcnship.graph.propagate import is_legal
from fcnship.sizes import Size

Array = np.ndarray[Any, Any]
Cell = tuple[int, int]
# Low contrasts keep a softmax from saturating, where faults would not show.
CONTRASTS = (1.0, 0.1, 0.3, 0.03)
_BYTES_AT_ONCE = 128 * 2**20


def random_images(
    rng: np.random.Generator, count: int, shape: tuple[int, ...], dtype: str, value_range: tuple[float, float]
) -> Array:
    """Noise in the value range, the images' contrasts in turn from ``CONTRASTS``; (count, *shape)."""
    low, high = value_range
    contrast = np.resize(CONTRASTS, count).reshape(count, *(1 for _ in shape))
    middle = rng.uniform(0.2, 0.8, contrast.shape)
    share = np.clip(middle + contrast * (rng.uniform(size=(count, *shape)) - 0.5), 0, 1)
    return as_dtype(low + (high - low) * share, dtype)


def mosaic(images: Array, size: Size, channels_first: bool) -> Array:
    """Real images laid side by side until they fill one image of ``size``; shape (1, ...)."""
    pictures = np.moveaxis(images, 1, -1) if channels_first else images
    _, rows, columns, _ = pictures.shape
    down, across = -(-size.height // rows), -(-size.width // columns)
    chosen = pictures[np.arange(down * across) % len(pictures)]
    strips = [np.concatenate(list(chosen[i * across : (i + 1) * across]), axis=1) for i in range(down)]
    whole = np.concatenate(strips, axis=0)[None, : size.height, : size.width]
    return np.ascontiguousarray(np.moveaxis(whole, -1, 1) if channels_first else whole)


def as_dtype(images: Array, dtype: str) -> Array:
    """Images in the model's input dtype; whole numbers are rounded."""
    kind = np.dtype("float32" if dtype in ("bfloat16", "float16") else dtype)
    return np.asarray(np.rint(images) if kind.kind in "iu" else images).astype(kind)


def larger_sizes(network: Network, trained: Size, stride: tuple[int, int]) -> list[Size]:
    """Non-square, odd, one stride more, about twice the trained size; those that are legal, each once."""
    (h, w), (down, across) = (trained.height, trained.width), stride
    wanted = [
        Size(h + 2 * down, w + 5 * across),
        Size((h + 2 * down + down // 2) | 1, (w + across + across // 2) | 1),
        Size(h + down, w + across),
        Size(h + -(-h // down) * down, w + -(-w // across) * across),
    ]
    found = [_legal_from(network, size, stride) for size in wanted]
    return list(dict.fromkeys(size for size in found if size and size != trained))


def _legal_from(network: Network, size: Size, stride: tuple[int, int]) -> Size | None:
    """The size itself, or the next one along its diagonal at which the network runs."""
    steps = range(4 * max(stride) + 1)
    grown = (Size(size.height + step, size.width + step) for step in steps)
    return next((candidate for candidate in grown if is_legal(network, candidate)), None)


def sampled_cells(rng: np.random.Generator, shape: Cell, preferred: Array, most: int) -> list[Cell]:
    """Corners, edges and the centre, of the map and of what is preferred in it, then others at random.

    ``preferred`` flags cells, shape (rows, columns); half of the random ones are taken from them.
    """
    rows, columns = shape
    if rows * columns <= most:
        return [(int(i), int(j)) for i, j in np.ndindex(rows, columns)]
    anchors = list(_anchors(0, rows - 1, 0, columns - 1))
    places = np.argwhere(preferred)
    if len(places):
        (top, left), (bottom, right) = places.min(0), places.max(0)
        anchors = [*_anchors(top, bottom, left, right), *anchors]
        half = rng.permutation(len(places))[: most // 2]
        anchors += [(int(i), int(j)) for i, j in places[half]]
    rest = [divmod(int(n), columns) for n in rng.permutation(rows * columns)[:most]]
    return list(dict.fromkeys([*anchors, *rest]))[: max(most, 1)]


def _anchors(top: int, bottom: int, left: int, right: int) -> Iterator[Cell]:
    for i in (top, bottom, (top + bottom) // 2):
        for j in (left, right, (left + right) // 2):
            yield int(i), int(j)


def affordable(cost_of_one: int, budget: float, least: int, most: int) -> int:
    """How many of something fit into a budget of multiply-adds."""
    return int(min(max(budget // max(cost_of_one, 1), least), most))


def batch_of(peak_bytes_of_one: int) -> int:
    """Images of one batch, so that activations stay within some hundred megabytes."""
    return int(max(1, min(128, _BYTES_AT_ONCE // max(peak_bytes_of_one, 1))))
