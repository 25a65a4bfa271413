"""Which rule serves which layer, and the refusals for those that none serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fcnship.graph.layers import RESIZERS
from fcnship.graph.surgery import flatten, local, merge, normalise
from fcnship.graph.surgery.surgeon import Surgeon
from fcnship.graph.surgery.values import Call, Value, names, refusal

Rule = Callable[[Surgeon, Call], list[Value]]

LAYERS: dict[str, Rule] = {
    **dict.fromkeys(local.CONVOLUTIONS | local.MAP_LAYERS, local.windowed),
    **dict.fromkeys(local.POOLS, local.pool),
    **dict.fromkeys(local.GLOBAL_POOLS, local.global_pool),
    **dict.fromkeys(local.POINTWISE, local.pointwise),
    **dict.fromkeys(merge.MERGES, merge.elementwise),
    **dict.fromkeys(["LayerNormalization", "RMSNormalization", "UnitNormalization", "Normalization"],
                    normalise.per_channel),
    "BatchNormalization": normalise.batch_norm,
    "GroupNormalization": normalise.group_norm,
    "PReLU": normalise.prelu,
    "Softmax": local.softmax,
    "Concatenate": merge.concatenate,
    "Flatten": flatten.flatten,
    "Reshape": flatten.reshape,
    "Dense": flatten.dense,
}  # fmt: skip
OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(merge.ELEMENTWISE, merge.elementwise),
    **dict.fromkeys(merge.REDUCTIONS, merge.reduction),
    "Reshape": flatten.reshape,
}
# Why a layer of Keras that has no rule cannot be served, and what to do about it.
RECURRENT = names("LSTM GRU SimpleRNN RNN Bidirectional ConvLSTM2D TimeDistributed")
ATTENTION = names("Attention AdditiveAttention MultiHeadAttention GroupQueryAttention")


def apply_rule(surgeon: Surgeon, call: Call) -> list[Value]:
    """The new values of one call's outputs.

    Raises:
        ModelRefused: no rule serves the layer, or its rule refuses it.
    """
    import keras

    call = _unwrapped(surgeon, call)
    _refuse_code(call)
    if call.values and all(value.fixed for value in call.values):
        return surgeon.keep(call)
    is_layer = isinstance(call.op, keras.layers.Layer)
    rule = (LAYERS if is_layer else OPERATIONS).get(call.kind)
    if not _is_keras(call.op):
        raise refusal(
            call.op,
            "it is a custom layer: what it does to a larger map is known to its code alone",
            "replace it by layers of Keras, or put it behind a global pooling layer",
        )
    if rule is None:
        raise _unserved(call)
    return rule(surgeon, call)


def _unwrapped(surgeon: Surgeon, call: Call) -> Call:
    """In use, SpectralNormalization calls the layer in it with the weights that it has, and does no more."""
    if call.kind != "SpectralNormalization" or not _is_keras(call.op):
        return call
    surgeon.record(call.op, "SpectralNormalization", "removed: the layer in it goes on with its weights")
    return replace(call, op=call.op.layer)


def _refuse_code(call: Call) -> None:
    if call.kind == "Lambda":
        raise refusal(
            call.op,
            "a Lambda layer is Python code, and what it does to a larger map cannot be known",
            "replace it by layers of Keras, such as Rescaling for a scaling of the input",
        )


def _is_keras(op: object) -> bool:
    return type(op).__module__.split(".", 1)[0] == "keras"


def _unserved(call: Call) -> Exception:
    if call.kind in RECURRENT or call.kind in ATTENTION:
        what = "recurrent" if call.kind in RECURRENT else "attention"
        return refusal(
            call.op,
            f"{what} layers read the map as a sequence of a fixed length",
            "put a global pooling layer before it, or keep the model at its trained size",
        )
    if call.kind in RESIZERS:
        return refusal(
            call.op,
            "it fixes a size: every larger image would be shrunk or cut before the network sees it",
            "remove it from the model and resize the images outside",
        )
    return refusal(
        call.op,
        "it is not known to treat every place of a map alike",
        "replace it by convolution, pooling, normalisation or activation layers",
    )
