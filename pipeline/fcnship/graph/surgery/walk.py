"""Walks a Keras model call by call, with nested models opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fcnship.errors import ModelRefused
from fcnship.frameworks import import_keras
from fcnship.graph.surgery.values import Value, refusal

Visit = Callable[[Any, tuple[Any, ...], dict[str, Any]], list[Value]]


def graph_of(model: Any) -> Any:
    """The functional graph of a Sequential or Functional model.

    Raises:
        ModelRefused: the model was never built, or is Python code without a graph.
    """
    keras = import_keras()

    if isinstance(model, keras.Sequential):
        if not model.built or model._functional is None:
            raise ModelRefused(
                f"model {model.name!r} was never built",
                cause="it has no Input layer and was never called",
                next="start it with keras.Input(shape=(height, width, channels))",
            )
        return model._functional
    functional = keras.src.models.Functional
    if not isinstance(model, functional) or type(model).call is not functional.call:
        raise ModelRefused(
            f"model {model.name!r} ({type(model).__name__}) has no graph of layers",
            cause="a subclassed model is Python code: what its layers are called on is known only as it runs",
            next="rebuild it as a Sequential or Functional model and copy the weights",
        )
    return model


def walk(graph: Any, values: Sequence[Value], visit: Visit) -> list[Value]:
    """Call ``visit`` for each call of a layer, in topological order, and return the outputs' values.

    Keras has no public way to its nodes: ``clone_model`` hands each call to a function, but cannot open
    nested models, and takes and returns tensors only. ``Function._run_through_graph`` is followed here.
    """
    known = {id(tensor): value for tensor, value in zip(graph.inputs, values, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input or any(id(tensor) not in known for tensor in node.input_tensors):
                continue
            args, kwargs = node.arguments.fill_in(known)
            outputs = _visit(node.operation, args, kwargs, visit)
            known.update(zip(map(id, node.outputs), outputs, strict=True))
    return [known[id(tensor)] for tensor in graph.outputs]


def operations(graph: Any) -> Iterator[Any]:
    """Every layer and operation of the graph and of the models nested in it."""
    keras = import_keras()

    for operation in graph.operations:
        if isinstance(operation, keras.Model):
            yield from operations(graph_of(operation))
        else:
            yield operation


def _visit(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any], visit: Visit) -> list[Value]:
    keras = import_keras()

    if not isinstance(op, keras.Model):
        return visit(op, args, kwargs)
    inner = graph_of(op)
    # A model overrules a "training" that was written down with a call of its layers, so it may be left out.
    kwargs = {name: value for name, value in kwargs.items() if name != "training"}
    given = [leaf for leaf in keras.tree.flatten((args, kwargs)) if leaf is not None]
    values = [leaf for leaf in given if isinstance(leaf, Value)]
    if len(given) != len(inner.inputs) or len(values) != len(given):
        raise refusal(op, "a nested model is called with more than its inputs", "call it on tensors alone")
    return walk(inner, values, visit)
