"""What is known of a network once it has been read; kept in a run's record, so TensorFlow is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from fcnship.errors import ModelRefused, ProfileRefused
from fcnship.graph.cost import cost_of
from fcnship.graph.geometry import Geometry, geometry_of
from fcnship.graph.network import network_from_keras
from fcnship.graph.nodes import Network, network_as_json, network_from_json
from fcnship.graph.propagate import maps
from fcnship.machine import available_bytes
from fcnship.sizes import Profile, Size

_TRIES_A_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A network, the names of its classes and the range of pixel values that it takes."""

    network: Network
    labels: tuple[str, ...] = ()
    value_range: tuple[float, float] = (0.0, 1.0)

    @cached_property
    def geometry(self) -> Geometry:
        """Total stride, receptive field and minimum size."""
        return geometry_of(self.network)

    @property
    def parameters(self) -> int:
        """Trained and fixed numbers in the network."""
        return self.network.parameters

    @property
    def output(self) -> str:
        """``vector`` for (batch, classes), ``map`` for a map of them."""
        return self.geometry.outputs[0]

    def labelled(self, labels: Sequence[str], value_range: tuple[float, float]) -> ModelFacts:
        """The same network with names and a range."""
        return replace(self, labels=tuple(labels), value_range=value_range)

    def as_json(self) -> dict[str, Any]:
        """The facts as a stage's record keeps them."""
        return {
            "labels": list(self.labels),
            "value_range": list(self.value_range),
            "network": network_as_json(self.network),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ModelFacts:
        """The facts that ``as_json`` wrote."""
        low, high = record["value_range"]
        return cls(
            network=network_from_json(record["network"]),
            labels=tuple(record["labels"]),
            value_range=(float(low), float(high)),
        )

    def summary(self) -> dict[str, Any]:
        """What ``explain`` and the report say of the network."""
        geometry = self.geometry.as_json()
        return {
            "name": self.network.name,
            "parameters": self.parameters,
            **{key: geometry[key] for key in ("total_stride", "receptive_field", "minimum_size", "classes")},
            "channels": self.geometry.channels,
            "labels": list(self.labels),
            "value_range": list(self.value_range),
            "output": self.output,
            **{
                key: geometry[key]
                for key in ("fixed_size", "fixing_layer", "minimum_layer", "global_context")
            },
        }


def facts_of(model: Any) -> ModelFacts:
    """The facts of a Keras model, without names of classes.

    Raises:
        ModelRefused: a layer's geometry is not known, or there is more than one input or output.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelRefused(
            f"the model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs",
            cause="fcnship builds networks that take one image and give one set of class scores",
            next="make a model of one input and one output from it: keras.Model(image, scores)",
        )
    return ModelFacts(network=network_from_keras(model))


def check_profiles(facts: ModelFacts, profiles: Sequence[Profile], *, training: bool = False) -> None:
    """Refuse profiles that the network cannot serve at every size, or that this machine has no memory for.

    ``training`` counts what gradients need too.

    Raises:
        ModelRefused: the network is tied to one size that a profile leaves.
        ProfileRefused: a size makes an empty map or branches that do not fit, or needs too much memory.
    """
    for profile in profiles:
        _check_tie(facts, profile)
        _check_sizes(facts, profile)
        _check_memory(facts, profile, training)


def _check_tie(facts: ModelFacts, profile: Profile) -> None:
    fixed = facts.geometry.fixed_size
    if fixed and not (profile.min == profile.max == fixed):
        raise ModelRefused(
            f"{facts.network.name} runs at {fixed} only, the profile {profile} asks for other sizes",
            cause=f"the layer {facts.geometry.fixing_layer!r} ties it to one size",
            next="fcnship convert MODEL -o OUT.keras makes it fully convolutional",
        )


def _check_sizes(facts: ModelFacts, profile: Profile) -> None:
    """Rows and columns are independent, so each side is tried with the other at its maximum."""
    geometry = facts.geometry
    if not geometry.minimum_size.within(Size(1, 1), profile.min):
        raise ProfileRefused(
            f"the profile {profile} starts at {profile.min}, "
            f"{facts.network.name} needs at least {geometry.minimum_size}",
            cause=f"below that the layer {geometry.minimum_layer!r} makes an empty map",
            next=f"start the profile at {geometry.minimum_size} or more",
        )
    low, high = profile.min, profile.max
    for height in _sides(low.height, high.height):
        maps(facts.network, Size(height, high.width))
    for width in _sides(low.width, high.width):
        maps(facts.network, Size(high.height, width))


def _sides(low: int, high: int) -> list[int]:
    """Every side of a range, or an even choice of a long one, with both ends."""
    step = max((high - low) // _TRIES_A_SIDE, 1)
    return [*range(low, high, step), high]


def _check_memory(facts: ModelFacts, profile: Profile, training: bool) -> None:
    """One image at the maximum must fit, because nothing can be verified otherwise.

    A training keeps every activation, its gradient, and three more copies of the weights.
    """
    cost = cost_of(facts.network, profile.max)
    weights = 4 * facts.parameters
    needed = 2 * cost.activation_bytes + 4 * weights if training else cost.peak_bytes + weights
    free = available_bytes()
    if needed > free:
        doing = "training with" if training else "running"
        raise ProfileRefused(
            f"{doing} one image of {profile.max} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            cause=f"the maximum of the profile {profile} is too large for this machine's memory",
            next="choose a smaller maximum, or a machine with more memory",
        )
