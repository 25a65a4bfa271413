"""A Keras 3 model read into a flat network: nested models opened, each call of a layer one node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fcnship.errors import ModelRefused
from fcnship.frameworks import import_keras
from fcnship.graph.call import Call
from fcnship.graph.layers import facts_of, layout_of
from fcnship.graph.nodes import Axis, Network, Node, network_as_json, network_from_json
from fcnship.sizes import Size

__all__ = ["Axis", "Network", "Node", "network_as_json", "network_from_json", "network_from_keras"]


def network_from_keras(model: Any) -> Network:
    """Read a Sequential or Functional model of one image input (batch, rows, columns, channels).

    Raises:
        ModelRefused: the model has no graph, not one image input, or a layer whose geometry is not known.
    """
    graph = _graph_of(model, model.name)
    channels_first = layout_of(_operations(graph))
    shape = _input_shape(graph, model.name)
    size, channels = _size_and_channels(shape, channels_first)
    if channels is None:
        raise ModelRefused(f"model {model.name!r} does not say how many channels its image has")
    reader = _Reader(channels_first, Node(name=_input_name(graph), layer_class="InputLayer", kind="input",
                                          inputs=(), channels=channels))  # fmt: skip
    outputs = reader.walk(graph, "", [0])
    network = Network(
        name=model.name,
        nodes=tuple(reader.nodes),
        outputs=tuple(outputs),
        parameters=int(model.count_params()),
        channels_first=channels_first,
        input_size=size,
    )
    if network.tie and not size:
        raise ModelRefused(
            f"layer {network.tie.name!r} ({network.tie.layer_class}) needs one size of image",
            cause="the model's input does not declare one",
            next="declare the size in the Input layer, or remove the layer",
        )
    return network


def _graph_of(model: Any, path: str) -> Any:
    """The functional graph of a model: layers and calls that can be walked."""
    keras = import_keras()

    if isinstance(model, keras.Sequential):
        if model._functional is None:
            raise ModelRefused(
                f"model {path!r} was never built",
                cause="it has no Input layer",
                next="start it with an Input",
            )
        return model._functional
    functional = keras.src.models.Functional
    if not isinstance(model, functional) or type(model).call is not functional.call:
        raise ModelRefused(
            f"model {path!r} ({type(model).__name__}) has no graph of layers",
            cause="a subclassed model is Python code, and only that code knows its layers' order",
            next="rebuild it as a Sequential or Functional model",
        )
    return model


def _is_model(operation: Any) -> bool:
    keras = import_keras()

    return isinstance(operation, keras.Model)


def _operations(graph: Any) -> Iterator[Any]:
    for operation in graph.operations:
        if _is_model(operation):
            yield from _operations(_graph_of(operation, operation.name))
        else:
            yield operation


def _input_name(graph: Any) -> str:
    return str(graph.inputs[0]._keras_history.operation.name)


def _input_shape(graph: Any, name: str) -> tuple[int | None, ...]:
    shapes = [tuple(tensor.shape) for tensor in graph.inputs]
    if len(shapes) == 1 and len(shapes[0]) == 4:
        return shapes[0]
    listed = ", ".join(map(str, shapes))
    raise ModelRefused(
        f"model {name!r} does not take one image",
        cause=f"its inputs have the shapes {listed}; an image is (batch, height, width, channels)",
        next="give it one Input of rank 4, such as (28, 28, 1)",
    )


def _size_and_channels(shape: tuple[int | None, ...], channels_first: bool) -> tuple[Size | None, int | None]:
    rows, columns = shape[2:] if channels_first else shape[1:3]
    size = Size(rows, columns) if rows and columns else None
    return size, shape[1] if channels_first else shape[3]


class _Reader:
    """Walks the graph and collects nodes."""

    def __init__(self, channels_first: bool, image: Node) -> None:
        self.channels_first = channels_first
        self.nodes = [image]
        self.calls: dict[str, int] = {}

    def walk(self, graph: Any, prefix: str, entering: list[int]) -> list[int]:
        """Add a graph's calls in topological order; gives the nodes of its outputs."""
        known = dict(zip(map(id, graph.inputs), entering, strict=True))
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for call in graph._nodes_by_depth[depth]:
                if call.is_input:
                    continue
                inputs = [known[id(tensor)] for tensor in call.input_tensors]
                made = self._called(call, prefix, inputs)
                known.update(zip(map(id, call.outputs), made, strict=True))
        return [known[id(tensor)] for tensor in graph.outputs]

    def _called(self, call: Any, prefix: str, inputs: list[int]) -> list[int]:
        path = f"{prefix}{call.operation.name}"
        if _is_model(call.operation):
            return self.walk(_graph_of(call.operation, path), f"{path}/", inputs)
        self.nodes.append(self._node(call, path, inputs))
        return [len(self.nodes) - 1] * len(call.outputs)

    def _node(self, call: Any, path: str, inputs: list[int]) -> Node:
        seen = Call(
            path=path,
            op=_unwrapped(call.operation),
            inputs=[self.nodes[i] for i in inputs],
            input_shapes=[tuple(tensor.shape) for tensor in call.input_tensors],
            output_shape=tuple(call.outputs[0].shape),
            constants=_constants(call),
            channels_first=self.channels_first,
        )
        if not inputs:
            raise seen.refuse("it has no input from the image", "make it a weight of a layer")
        facts = {"spatial": any(node.spatial for node in seen.inputs), **facts_of(seen)}
        rank = len(seen.output_shape)
        channels = seen.output_shape[1 if self.channels_first and rank == 4 else -1]
        if channels is None:
            raise seen.refuse(
                "its number of channels is not fixed", "declare the channels in the Input layer"
            )
        self.calls[path] = self.calls.get(path, 0) + 1
        return Node(
            name=path,
            layer_class=type(call.operation).__name__,
            inputs=tuple(inputs),
            channels=channels,
            call=self.calls[path],
            vector=rank != 4,
            **facts,
        )


def _unwrapped(operation: Any) -> Any:
    return operation.layer if type(operation).__name__ == "SpectralNormalization" else operation


def _constants(call: Any) -> list[Any]:
    keras = import_keras()

    given = keras.tree.flatten((call.arguments.args, call.arguments.kwargs))
    return [value for value in given if value is not None and not isinstance(value, keras.KerasTensor)]
