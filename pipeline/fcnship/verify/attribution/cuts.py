"""Where an ONNX graph is cut: at the tensors that are a Keras layer's output, or a reference graph's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fcnship.graph.onnx_layers import Layer, layers_of
from fcnship.verify.attribution.cut_graph import CutGraph
from fcnship.verify.attribution.keras_steps import Step, Steps

_FOLDED_INTO = ("kernel", "depthwise_kernel", "pointwise_kernel")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A tensor of the candidate that is held against the reference's, and the piece that makes it.

    ``place`` is the reference's tensor (a place in ``Steps``, or a name), ``edges`` the cuts before.
    ``layers`` are those that the piece computes, in order; ``nodes`` are the candidate's.
    """

    place: Any
    tensor: str
    nodes: tuple[int, ...]
    edges: tuple[str, ...]
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...] = ()


def cuts_of_keras(graph: CutGraph, steps: Steps) -> list[Cut]:
    """The cuts of a graph that fcnship exported from a Keras model, in the order of its calls."""
    owner = owners(graph, known_layers(steps.steps))
    leaving = leaving_tensors(graph, owner)
    inner = {layer: name for layer, name in leaving.items() if name != graph.output}
    tensors = _pushed(steps, inner, set(owner.values()))
    tensors[steps.output] = graph.output
    cuts: list[Cut] = []
    done = {graph.input}
    for step in steps.steps:
        (place, *_) = step.makes
        if place not in tensors or tensors[place] in done:
            continue
        nodes, edges = graph.between(done, tensors[place])
        if nodes:  # a tensor that lies before another cut needs no piece of its own
            inside = _steps_between(steps, place, {cut.place for cut in cuts})
            layers = tuple(s.layer for s in inside if not s.is_identity)
            cuts.append(Cut(place=place, tensor=tensors[place], nodes=tuple(nodes), edges=tuple(edges),
                            layers=layers, steps=tuple(inside)))  # fmt: skip
            done.add(tensors[place])
    return cuts


def cuts_of_onnx(graph: CutGraph, reference: CutGraph) -> list[Cut]:
    """The cuts of a graph at the tensors whose names the reference has too: each layer's, or each node's."""
    labels = layers_of(graph.model)
    owner = owners(graph, {})
    if labels:
        names = set(leaving_tensors(graph, owner).values())
    else:
        names = {name for node in graph.nodes for name in node.output}
    shared = [name for name in _in_order(graph, names) if name in reference.maker and name != graph.output]
    cuts: list[Cut] = []
    done = {graph.input}
    for name, place in [*((name, name) for name in shared), (graph.output, reference.output)]:
        nodes, edges = graph.between(done, name)
        layers = dict.fromkeys(
            owner.get(i) or Layer(graph.nodes[i].name or graph.nodes[i].output[0], 1) for i in nodes
        )
        if nodes:
            cuts.append(
                Cut(place=place, tensor=name, nodes=tuple(nodes), edges=tuple(edges), layers=tuple(layers))
            )
            done.add(name)
    return cuts


def known_layers(steps: Iterable[Step]) -> dict[str, list[Layer]]:
    """The calls of each layer, by its path."""
    found: dict[str, list[Layer]] = {}
    for step in steps:
        found.setdefault(step.layer.path, []).append(step.layer)
    return found


def owners(graph: CutGraph, known: Mapping[str, Sequence[Layer]]) -> dict[int, Layer]:
    """The layer of each node by its place. A nameless node between nodes of one layer belongs to it too.

    A layer inside another (a wrapper's) that is no call of its own belongs to the one around it.
    """
    labels = layers_of(graph.model)
    owner: dict[int, Layer] = {}
    for place, node in enumerate(graph.nodes):
        layer = labels.get(node.name)
        if layer and known:
            layer = _call_around(layer, known)
        if layer:
            owner[place] = layer
    for place in reversed(range(len(graph.nodes))):  # readers stand after what they read
        if place not in owner:
            readers = [i for name in graph.nodes[place].output for i in graph.readers.get(name, ())]
            after = {owner.get(i) for i in readers}
            if len(after) == 1 and (layer := after.pop()):
                owner[place] = layer
    return owner


def leaving_tensors(graph: CutGraph, owner: Mapping[int, Layer]) -> dict[Layer, str]:
    """The tensor that leaves each layer's nodes, before casts and quantisation; not where it is several."""
    leaving: dict[Layer, set[str]] = {}
    members: dict[Layer, set[int]] = {}
    for place, layer in owner.items():
        members.setdefault(layer, set()).add(place)
    for layer, places in members.items():
        for place in places:
            for name in graph.nodes[place].output:
                outside = [i for i in graph.readers.get(name, ()) if i not in places]
                if outside or name == graph.output:
                    found = name if name == graph.output else graph.source(name, places)
                    leaving.setdefault(layer, set()).add(found)
    made = set(graph.maker)
    return {layer: next(iter(names)) for layer, names in leaving.items() if len(names) == 1 and names <= made}


def _call_around(layer: Layer, known: Mapping[str, Sequence[Layer]]) -> Layer | None:
    path = layer.path
    while path:
        calls = known.get(path, ())
        if layer in calls:
            return layer
        if len(calls) == 1:
            return calls[0]
        if calls:
            return Layer(path, layer.call) if Layer(path, layer.call) in calls else None
        path = path.rpartition("/")[0]
    return None


def _pushed(steps: Steps, leaving: Mapping[Layer, str], owning: set[Layer]) -> dict[int, str]:
    """The tensor of each layer's place. Behind a layer that a BatchNormalization was folded into, it is the
    latter's: scale and shift stand in the kernel. ``owning``: the layers that have nodes.
    """
    readers: dict[int, list[Step]] = {}
    for step in steps.steps:
        for place in step.reads:
            readers.setdefault(place, []).append(step)
    found: dict[int, str] = {}
    for step in steps.steps:
        if step.layer not in leaving or len(step.makes) != 1:
            continue
        place, foldable = step.makes[0], _is_linear(step.op)
        while len(after := readers.get(place, [])) == 1 and after[0].layer not in owning:
            folded = foldable and type(after[0].op).__name__ == "BatchNormalization"
            if not folded and not after[0].is_identity:
                break
            place = after[0].makes[0]
        found[place] = leaving[step.layer]
    return found


def _is_linear(op: Any) -> bool:
    weighted = any(getattr(op, name, None) is not None for name in _FOLDED_INTO)
    return weighted and getattr(getattr(op, "activation", None), "__name__", "linear") == "linear"


def _steps_between(steps: Steps, place: int, cuts: set[int]) -> list[Step]:
    """The calls that a tensor needs, back to the nearest cuts, in order."""
    maker = {made: index for index, step in enumerate(steps.steps) for made in step.makes}
    found: set[int] = set()
    waiting = [place]
    while waiting:
        at = waiting.pop()
        if at in maker and maker[at] not in found and (at == place or at not in cuts):
            found.add(maker[at])
            waiting.extend(steps.steps[maker[at]].reads)
    return [steps.steps[index] for index in sorted(found)]


def _in_order(graph: CutGraph, names: set[str]) -> list[str]:
    return [name for node in graph.nodes for name in node.output if name in names]
