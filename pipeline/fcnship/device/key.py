"""What an engine is valid for. Two engines may stand for one another only if all of it is equal."""

from __future__ import annotations

from typing import Any

from fcnship.device.manifest import Manifest
from fcnship.device.probe import Probe
from fcnship.hashing import sha256_of_value

Parts = dict[str, Any]
SCHEMA = "fcnship.engine/1"
# As messages name them; in this order a difference is told.
_WORDS = {
    "schema": "the key's schema",
    "onnx_sha256": "ONNX file",
    "precision": "precision",
    "io": "type of input and output",
    "input": "input's name",
    "layout": "layout",
    "channels": "channels",
    "profiles": "profiles",
    "options": "builder's options",
    "flavour": "flavour",
    "tensorrt": "TensorRT",
    "compute_capability": "compute capability",
    "gpu": "GPU",
    "sm_count": "number of SMs",
    "board": "board",
    "l4t": "L4T",
}


def key_parts(manifest: Manifest, precision: str, probe: Probe) -> Parts:
    """All that decides whether an engine of a drop's precision is valid on a device.

    The ONNX file is named by the hash in the manifest, which was verified.
    """
    variant, network = manifest.variant(precision), manifest.network
    return {
        "schema": SCHEMA,
        "onnx_sha256": manifest.file(variant.file).sha256,
        "precision": precision,
        "io": variant.io,
        "input": network.input,
        "layout": network.layout,
        "channels": network.channels,
        "profiles": [profile.as_json() for profile in manifest.profiles],
        "options": {"strongly_typed": True, "tf32": False, "target": target_of(probe)},
        "flavour": probe.tensorrt_flavour,
        "tensorrt": probe.tensorrt,
        "compute_capability": probe.compute_capability,
        "gpu": probe.gpu,
        "sm_count": probe.sm_count,
        "board": probe.board,
        "l4t": probe.l4t,
    }


def target_of(probe: Probe) -> str:
    """``this GPU``, or ``any``: TensorRT-RTX without a GPU builds for all that can share an engine."""
    return "this GPU" if probe.gpu else "any"


def key_of(parts: Parts) -> str:
    """The SHA-256 of the parts, in JSON with sorted keys."""
    return sha256_of_value(parts)


def differences(built: Parts, here: Parts) -> list[str]:
    """What differs, as a person reads it: ``L4T 36.4.0, this is 36.4.3``."""
    names = [*_WORDS, *sorted((set(built) | set(here)) - set(_WORDS))]
    return [
        f"{_WORDS.get(name) or _shown(name)} {_shown(built.get(name))}, this is {_shown(here.get(name))}"
        for name in names
        if built.get(name) != here.get(name) or (name in built) != (name in here)
    ]


def _shown(value: object) -> str:
    text = "none" if value is None else value if isinstance(value, str) else ascii(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 80 else f"{text[:77]}..."
