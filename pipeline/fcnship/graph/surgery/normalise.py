"""Rules for layers with a weight for each channel: normalisation and PReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fcnship.graph.surgery.local import FLAT_WAY_OUT, need_map
from fcnship.graph.surgery.surgeon import Surgeon
from fcnship.graph.surgery.values import Affine, Call, Value, array_of, refusal


def batch_norm(surgeon: Surgeon, call: Call) -> list[Value]:
    """BatchNormalization: kept over channels; over a flattened map the next Dense takes it in."""
    window = call.value.window
    if not window or window.one_cell:
        return per_channel(surgeon, call)
    scale, shift = _scale_and_shift(call.op)
    before = call.value.affine
    if before:
        scale, shift = before.scale * scale, before.shift * scale + shift
    surgeon.record(call.op, "BatchNormalization of a flattened map", "taken into the next layer's weights")
    affine = Affine(scale=scale, shift=shift)
    return surgeon.results(call, [call.value.tensor], window=window, affine=affine)


def per_channel(surgeon: Surgeon, call: Call) -> list[Value]:
    """A normalisation along channels, with its weights; on a vector its axis becomes the channels'."""
    value, window = call.value, call.value.window
    axes = _axes(call)
    if window:
        if not window.one_cell or axes != [1] or value.affine:
            raise refusal(call.op, "it works on a flattened map as a whole", FLAT_WAY_OUT)
        (kept,) = surgeon.keep(
            call, config={**call.op.get_config(), "axis": surgeon.channel_axis}, role="cells"
        )
        return surgeon.results(call, [kept.tensor], window=window)
    if axes != [surgeon.channel_axis]:
        raise refusal(
            call.op,
            "its weights lie along rows or columns and fix the size",
            "set its axis to that of the channels",
        )
    return surgeon.keep(call)


def group_norm(surgeon: Surgeon, call: Call) -> list[Value]:
    """GroupNormalization of a map: it measures the whole map at any size."""
    need_map(call)
    if _axes(call) != [surgeon.channel_axis]:
        raise refusal(call.op, "it groups rows or columns", "set its axis to that of the channels")
    return surgeon.keep(call)


def prelu(surgeon: Surgeon, call: Call) -> list[Value]:
    """PReLU with one slope a channel; with one a place it fixes the size."""
    value, window, op = call.value, call.value.window, call.op
    shared = sorted(surgeon.spatial_axes)
    if not window and sorted(op.shared_axes or ()) == shared:
        return surgeon.keep(call)
    one_cell = window.one_cell if window else surgeon.sides(value.trained.shape) == (1, 1)
    if not one_cell or value.affine:
        raise refusal(
            op,
            "it has a slope for each place of the map, which fixes the size",
            f"train it with shared_axes={shared}",
        )
    shape = (-1, 1, 1) if surgeon.channels_first else (1, 1, -1)
    (kept,) = surgeon.keep(
        call,
        config={**op.get_config(), "shared_axes": shared},
        weights=lambda: [op.get_weights()[0].reshape(shape)],
        role="cells",
    )
    return surgeon.results(call, [kept.tensor], window=window)


def _axes(call: Call) -> list[int]:
    axis, rank = call.op.axis, len(call.value.trained.shape)
    axes: Sequence[int] = [axis] if isinstance(axis, int) else list(axis)
    return sorted(a % rank for a in axes)


def _scale_and_shift(op: Any) -> tuple[Any, Any]:
    """What BatchNormalization does at inference, in double precision."""
    import numpy as np

    def exact(weight: Any) -> Any:
        return array_of(weight).astype(np.float64)

    scale = 1.0 / np.sqrt(exact(op.moving_variance) + op.epsilon)
    if op.scale:
        scale = scale * exact(op.gamma)
    shift = -exact(op.moving_mean) * scale
    return scale, shift + exact(op.beta) if op.center else shift
