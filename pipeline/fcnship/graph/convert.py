"""Makes a Keras classifier fully convolutional: equal at its trained size, and any larger size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from fcnship.errors import ModelRefused, UsageError
from fcnship.graph.surgery.heads import AverageOf, Head, with_head
from fcnship.graph.surgery.rules import apply_rule
from fcnship.graph.surgery.surgeon import Surgeon
from fcnship.graph.surgery.values import Call, Change, Value, tensors_in, whole_steps
from fcnship.graph.surgery.walk import graph_of, operations, walk
from fcnship.sizes import Size

__all__ = ["AverageOf", "Change", "Conversion", "Head", "convert", "convert_with_record"]


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A converted model and what was changed to make it.

    ``trained_size`` is the size that the original declares, None where it declares none.
    """

    model: Any
    changes: tuple[Change, ...]
    trained_size: Size | None

    @property
    def already_convolutional(self) -> bool:
        """Whether there was nothing to change."""
        return not self.changes


def convert(model: Any, *, head: Head = "map", average_of: AverageOf = "probabilities") -> Any:
    """A fully convolutional copy of a Keras classifier, its weights moved and never retrained.

    The copy takes (batch, height, width, channels), or channels first where the original does. With ``map``
    it answers with class scores for each cell, (batch, rows, columns, classes); ``average`` and ``max`` take
    the map's average or maximum, (batch, classes). At the trained size all three equal the original.

    Raises:
        ModelRefused: a layer cannot be converted; the message names it, the reason and the way out.
    """
    return convert_with_record(model, head=head, average_of=average_of).model


def convert_with_record(
    model: Any, *, head: Head = "map", average_of: AverageOf = "probabilities"
) -> Conversion:
    """The same as ``convert``, with the record of what was changed."""
    _check_choice("head", head, get_args(Head))
    _check_choice("average_of", average_of, get_args(AverageOf))
    graph = graph_of(model)
    shape = _image_shape(graph, model.name)
    surgeon = Surgeon(
        channels_first=_channels_first(graph),
        unfused=_unfused(graph, head == "average" and average_of == "scores"),
    )
    trained_size = _trained_size(surgeon, shape)
    image = _new_input(surgeon, graph.inputs[0], shape, model.name)
    values = walk(graph, [image], lambda op, args, kwargs: _visit(surgeon, op, args, kwargs))
    if not surgeon.convolutions:
        raise ModelRefused(
            f"model {model.name!r} holds no convolution",
            cause="a network without one has nothing to slide over a larger image",
            next="start from a model with convolution layers, such as models/fcn.py",
        )
    new = _new_model(surgeon, graph, model.name, image, values, head, average_of)
    if trained_size:
        _check_growth(new, surgeon, trained_size, model.name)
    return Conversion(model=new, changes=tuple(surgeon.changes), trained_size=trained_size)


def _visit(surgeon: Surgeon, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Value]:
    """Follow the original at its trained size and hand the call to its layer's rule."""
    import keras

    values = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, Value)]
    old_args, old_kwargs = tensors_in((args, kwargs), lambda value: value.trained)
    trained = keras.tree.flatten(op.compute_output_spec(*old_args, **old_kwargs))
    return apply_rule(surgeon, Call(op=op, args=args, kwargs=kwargs, values=values, trained=trained))


def _new_input(surgeon: Surgeon, old: Any, shape: tuple[int | None, ...], model_name: str) -> Value:
    import keras

    axis = surgeon.channel_axis
    if shape[axis] is None:
        raise ModelRefused(
            f"model {model_name!r} does not say how many channels its image has",
            cause=f"its input is {shape}",
            next="declare the channels in the Input layer",
        )
    free = tuple(side if place == axis else None for place, side in enumerate(shape))
    name = surgeon.free_name(old._keras_history.operation.name)
    new = keras.Input(shape=free[1:], dtype=old.dtype, name=name)
    if free[1:] != shape[1:]:
        sides = "x".join("any" if side is None else str(side) for side in shape[1:])
        surgeon.record(old._keras_history.operation, f"Input {sides}", "takes any size")
    trained = keras.KerasTensor((None, *shape[1:]), dtype=old.dtype)
    return Value(tensor=new, trained=trained)


def _new_model(
    surgeon: Surgeon,
    graph: Any,
    name: str,
    image: Value,
    values: list[Value],
    head: Head,
    average_of: AverageOf,
) -> Any:
    import keras

    names = [tensor._keras_history.operation.name for tensor in graph.outputs]
    tensors = [
        with_head(surgeon, value, output, head, average_of)
        for value, output in zip(values, names, strict=True)
    ]
    if head != "map" and any(new is not old.tensor for new, old in zip(tensors, values, strict=True)):
        surgeon.changes.append(Change(layer=name, before="class map", after=f"its {head}"))
    outputs = keras.tree.pack_sequence_as(graph._outputs_struct, tensors)
    return keras.Model(image.tensor, outputs, name=name)


def _check_growth(new: Any, surgeon: Surgeon, trained_size: Size, name: str) -> None:
    """Branches that fit at the trained size must fit wherever each of them grows by whole cells."""
    import keras

    step = whole_steps(surgeon.strides)
    shape = [None, *new.inputs[0].shape[1:]]
    for grown in (step, 2 * step):
        rows, columns = surgeon.spatial_axes
        shape[rows], shape[columns] = trained_size.height + grown, trained_size.width + 3 * grown
        try:
            new.compute_output_spec(keras.KerasTensor((1, *shape[1:]), dtype=new.inputs[0].dtype))
        except ValueError as error:
            raise ModelRefused(
                f"model {name!r} cannot run at {shape[rows]}x{shape[columns]}",
                cause=f"its branches fit together at {trained_size} alone: {_first_line(error)}",
                next="give the branches that meet the same strides and paddings",
            ) from error


def _image_shape(graph: Any, name: str) -> tuple[int | None, ...]:
    if len(graph.inputs) != 1:
        inputs = ", ".join(repr(tensor.name) for tensor in graph.inputs)
        raise ModelRefused(
            f"model {name!r} has {len(graph.inputs)} inputs: {inputs}",
            cause="fcnship ships networks of one image",
            next="feed all but the image as constants, or convert the branch of the image alone",
        )
    shape = tuple(graph.inputs[0].shape)
    if len(shape) != 4:
        raise ModelRefused(
            f"model {name!r} takes no image: its input has {len(shape) - 1} axes",
            cause="an image has height, width and channels",
            next="start from a model of images with convolution layers, such as models/fcn.py",
        )
    return shape


def _channels_first(graph: Any) -> bool:
    """The layout that the layers with a window declare.

    Raises:
        ModelRefused: some say channels_first and some channels_last.
    """
    found: dict[str, str] = {}
    for op in operations(graph):
        if "2D" in type(op).__name__ and getattr(op, "data_format", None):
            found.setdefault(op.data_format, op.name)
    if len(found) > 1:
        raise ModelRefused(
            f"layers {found['channels_first']!r} and {found['channels_last']!r} differ in their layout",
            cause="one is channels_first, the other channels_last",
            next="build the model in one layout",
        )
    return "channels_first" in found


def _unfused(graph: Any, wanted: bool) -> frozenset[int]:
    """The layers whose activation must stand apart so that the scores before it can be averaged."""
    if not wanted:
        return frozenset()
    return frozenset(id(_last_layer(tensor)) for tensor in graph.outputs)


def _last_layer(tensor: Any) -> Any:
    import keras

    operation, _, index = tensor._keras_history
    while isinstance(operation, keras.Model):
        operation, _, index = graph_of(operation).outputs[index]._keras_history
    return operation.layer if isinstance(operation, keras.layers.SpectralNormalization) else operation


def _trained_size(surgeon: Surgeon, shape: tuple[int | None, ...]) -> Size | None:
    rows, columns = surgeon.sides(shape)
    return Size(rows, columns) if rows and columns else None


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} {value!r} is not known", next=f"choose one of {', '.join(known)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
