"""Where a node stands, for people: the Keras layer it belongs to, or its own name where it has none."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any

from fcnship.errors import UsageError
from fcnship.graph.onnx_layers import layers_of, merged_layers


def places_of(model: Any) -> list[str]:
    """For each node, in the graph's order, the path of its Keras layer; its own name where it has none."""
    layers = layers_of(model)
    return [layers[node.name].path if node.name in layers else node.name for node in model.graph.node]


def is_kept(place: str, keep: Collection[str]) -> bool:
    """Whether a place is among those to keep, or inside a nested model that is."""
    return any(place == kept or place.startswith(f"{kept}/") for kept in keep)


def known_layers(keep: Iterable[str], model: Any, option: str = "--keep-fp32") -> tuple[str, ...]:
    """The layers to keep; in place of one that was merged into another, that other.

    Raises:
        UsageError: the network has no such layer.
    """
    merged = merged_layers(model)
    found = tuple(merged.get(layer, layer) for layer in keep)
    check_known(found, places_of(model), option)
    return found


def check_known(keep: Iterable[str], places: Collection[str], option: str = "--keep-fp32") -> None:
    """Refuse layers that the network does not have.

    Raises:
        UsageError: one is unknown; the message names the nearest that is there.
    """
    for wanted in keep:
        if any(is_kept(place, [wanted]) for place in places):
            continue
        known = sorted(set(places))
        inner = sorted({path for place in known for path in _within(place) if path.endswith(f"/{wanted}")})
        near = inner or difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
        raise UsageError(
            f"{option} {wanted}: the network has no such layer",
            cause=f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}",
            next=f"give a layer's name as in Keras: {option} {near[0] if near else known[0]}",
        )


def _within(place: str) -> list[str]:
    """A place and the nested models that it is in: ``outer``, ``outer/block`` and ``outer/block/conv2d``."""
    names = place.split("/")
    return ["/".join(names[: count + 1]) for count in range(len(names))]
