"""An original and its conversion, made ready to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.errors import ModelRefused, UsageError
from fcnship.graph.cost import cost_of
from fcnship.graph.geometry import map_stride
from fcnship.graph.network import network_from_keras
from fcnship.graph.nodes import Network
from fcnship.graph.propagate import is_legal, minimum
from fcnship.graph.surgery.walk import graph_of
from fcnship.sizes import Size
from fcnship.verify.outputs import Array, Output, answers, maps_model, outputs_of
from fcnship.verify.sampling import batch_of


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models and what is known of them.

    ``maps`` is the converted model cut before its heads, ``both`` answers with its maps and then with its
    outputs. ``trained`` is the size at which the original is run: the one that it declares.
    """

    original: Any
    converted: Any
    outputs: Sequence[Output]
    maps: Any
    both: Any
    original_network: Network
    network: Network
    trained: Size
    value_range: tuple[float, float]

    @property
    def channels_first(self) -> bool:
        """Whether images come as (channels, height, width)."""
        return self.network.channels_first

    @property
    def dtype(self) -> str:
        """The input's dtype."""
        return str(graph_of(self.original).inputs[0].dtype)

    @property
    def cost_of_crop(self) -> int:
        """Multiply-adds of the original at its trained size."""
        return cost_of(self.original_network, self.trained).multiply_adds

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of one image."""
        sides, channels = (size.height, size.width), self.network.channels
        return (channels, *sides) if self.channels_first else (*sides, channels)

    def crop(self, images: Array, top: int, left: int) -> Array:
        """The part of trained size that starts at a pixel."""
        at = slice(top, top + self.trained.height), slice(left, left + self.trained.width)
        return images[:, :, at[0], at[1]] if self.channels_first else images[:, at[0], at[1]]

    def ask_original(self, images: Array) -> list[Array]:
        """The original's outputs at the trained size."""
        batch = batch_of(cost_of(self.original_network, self.trained).peak_bytes)
        return answers(self.original, images, batch, self.channels_first)

    def ask_converted(self, images: Array, size: Size) -> tuple[list[Array], list[Array]]:
        """The converted model's maps (as they stand before the heads) and its outputs."""
        batch = batch_of(cost_of(self.network, size).peak_bytes)
        found = answers(self.both, images, batch, self.channels_first)
        return found[: len(self.outputs)], found[len(self.outputs) :]


def pair_of(original: Any, converted: Any, value_range: tuple[float, float] | None) -> Pair:
    """Read both models.

    Raises:
        ModelRefused: one of them has no graph of layers, or they do not belong together.
    """
    import keras

    outputs = outputs_of(original, converted)
    maps = maps_model(converted, outputs)
    original_network, network = network_from_keras(original), network_from_keras(maps)
    trained = original_network.input_size or _some_size(network)
    if not is_legal(network, trained):
        raise ModelRefused(
            f"{converted.name!r} does not run at {trained}, the size of {original.name!r}",
            cause="it is not the conversion of that model",
            next="prove a model against the one that it was converted from",
        )
    both = keras.Model(maps.inputs[0], [*maps.outputs, *graph_of(converted).outputs])
    return Pair(
        original=original,
        converted=converted,
        outputs=outputs,
        maps=maps,
        both=both,
        original_network=original_network,
        network=network,
        trained=trained,
        value_range=value_range or (0.0, 255.0 if "int" in str(maps.inputs[0].dtype) else 1.0),
    )


def check_images(pair: Pair, images: Any) -> Array | None:
    """Real images in the model's own dtype; None where there are none.

    Raises:
        UsageError: they are not of the original's shape.
    """
    if images is None or len(images) == 0:
        return None
    found = np.asarray(images)
    if found.shape[1:] != pair.shape(pair.trained):
        raise UsageError(
            f"the images are {found.shape[1:]}, {pair.original.name!r} takes {pair.shape(pair.trained)}",
            cause="a certificate compares at the size that the original was trained at",
            next="resize the images first",
        )
    return found.astype(pair.dtype if pair.dtype != "bfloat16" else "float32")


def _some_size(network: Network) -> Size:
    """A size for a network that declares none: two strides above its smallest."""
    low, (down, across) = minimum(network)[0], map_stride(network)
    return Size(low.height + 2 * down, low.width + 2 * across)
