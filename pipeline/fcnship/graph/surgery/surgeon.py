"""Builds the converted model's layers: copies with their weights, replacements, and the record of changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fcnship.errors import ModelRefused
from fcnship.graph.surgery.values import Call, Change, Scores, Stride, Value, tensors_in, widest_stride

Weights = Callable[[], Sequence[Any]]
# These look along one axis, the last unless told; every other activation of Keras is element by element.
AXIS_ACTIVATIONS = ("softmax", "log_softmax", "sparsemax", "glu")


class Surgeon:
    """What the rules share: the layout, the layers built so far, the names taken, the changes made."""

    def __init__(self, *, channels_first: bool, unfused: frozenset[int] = frozenset()) -> None:
        """``unfused`` holds the ids of layers whose activation must become a layer of its own."""
        self.layout = "chw" if channels_first else "hwc"
        self.data_format = "channels_first" if channels_first else "channels_last"
        self.changes: list[Change] = []
        self.strides: list[Stride] = []
        self.convolutions = 0
        self._unfused = unfused
        self._built: dict[tuple[int, str], Any] = {}
        self._names: set[str] = set()

    @property
    def channels_first(self) -> bool:
        """Whether channels stand before rows and columns."""
        return self.layout == "chw"

    @property
    def channel_axis(self) -> int:
        """Where channels stand in a map with its batch."""
        return self.layout.index("c") + 1

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """Where rows and columns stand in a map with its batch."""
        return self.layout.index("h") + 1, self.layout.index("w") + 1

    def sides(self, shape: Sequence[int | None]) -> tuple[int | None, int | None]:
        """Rows and columns of a map's shape, batch included."""
        return shape[self.spatial_axes[0]], shape[self.spatial_axes[1]]

    def free_name(self, wanted: str) -> str:
        """The name itself, or with a number behind it where a nested model's layer had it already."""
        name, number = wanted, 0
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name

    def record(self, op: Any, before: str, after: str) -> None:
        """Note a change once, however often the layer is called."""
        change = Change(layer=op.name, before=before, after=after)
        if change not in self.changes:
            self.changes.append(change)

    def place(
        self,
        op: Any,
        args: Any,
        kwargs: Mapping[str, Any] | None = None,
        *,
        cls: Any = None,
        config: Mapping[str, Any] | None = None,
        weights: Weights | None = None,
        role: str = "",
    ) -> Any:
        """Call the new layer that stands for ``op``; it is made, and given its weights, on its first call.

        A layer that the original calls twice is called twice here too: its weights stay shared. ``role``
        tells apart the layers that one layer of the original may become.
        """
        import keras

        new = self._built.get((id(op), role))
        if new is not None:
            return new(*args, **(kwargs or {}))
        settings = {**(op.get_config() if config is None else config), "name": self.free_name(op.name)}
        new = self._built[id(op), role] = _made(op, cls or type(op), settings)
        output = _called_without_drawing(new, args, kwargs or {})
        if isinstance(op, keras.layers.Layer):
            # Given tensors and not arrays, TensorFlow lets both models share the memory until one is trained.
            values = weights() if weights else [weight.value for weight in op.weights]
            for weight, value in zip(new.weights, values, strict=True):
                weight.assign(value)
        if hasattr(new, "finalize_state"):
            new.finalize_state()
        return output

    def keep(self, call: Call, **how: Any) -> list[Value]:
        """A copy of the layer, called on the new tensors."""
        import keras

        args, kwargs = tensors_in((call.args, dict(call.kwargs)), lambda value: value.tensor)
        output = self.place(call.op, args, kwargs, **how)
        return self.results(call, keras.tree.flatten(output))

    def results(self, call: Call, tensors: Sequence[Any], **facts: Any) -> list[Value]:
        """The values of a call's outputs; ``facts`` are those that the call changes."""
        facts.setdefault("stride", widest_stride(call.values))
        facts.setdefault("convolved", any(value.convolved for value in call.values))
        self.strides.append(facts["stride"])
        pairs = zip(tensors, call.trained, strict=True)
        return [Value(tensor=tensor, trained=trained, **facts) for tensor, trained in pairs]

    def splits(self, op: Any, *, moved: bool) -> bool:
        """Whether a layer's activation must stand apart: it looks along channels, or scores are asked for."""
        name = activation_name(op)
        return (id(op) in self._unfused and name != "linear") or (moved and name in AXIS_ACTIVATIONS)

    def activate(self, op: Any, tensor: Any) -> tuple[Any, Scores]:
        """The activation of ``op`` as a layer of its own, along channels where it looks along an axis."""
        import keras

        key, name = (id(op), "activation"), activation_name(op)
        if key not in self._built:
            label = self.free_name(f"{op.name}_{name}")
            if name == "softmax":
                layer = keras.layers.Softmax(axis=self.channel_axis, name=label, dtype=op.dtype_policy)
            else:
                layer = keras.layers.Activation(op.activation, name=label, dtype=op.dtype_policy)
            self._built[key] = layer
        return self._built[key](tensor), Scores(tensor=tensor, activation=op.activation)


def activation_name(op: Any) -> str:
    """The name of a layer's activation function; ``linear`` for none."""
    function = getattr(op, "activation", None)
    return "linear" if function is None else str(getattr(function, "__name__", function))


def _called_without_drawing(new: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """The layer's first call, which builds it; drawing kernels at random would cost VGG16 half a gigabyte."""
    import keras

    if not isinstance(new, (keras.layers.Conv2D, keras.layers.Dense)):
        return new(*args, **kwargs)
    initializer, new.kernel_initializer = new.kernel_initializer, keras.initializers.Zeros()
    output = new(*args, **kwargs)
    new.kernel_initializer = initializer
    return output


def _made(op: Any, cls: Any, settings: Mapping[str, Any]) -> Any:
    try:
        return cls.from_config(dict(settings))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelRefused(
            f"layer {op.name!r} ({type(op).__name__}) cannot be copied",
            cause=str(error).split("\n", 1)[0],
            next="give the layer a get_config that returns what its __init__ takes",
        ) from error
