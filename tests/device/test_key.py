"""The key of an engine: everything that it is valid for, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from devices import ORIN
from drops import DEVICE, Made

from fcnship.device.key import differences, key_of, key_parts
from fcnship.device.manifest import Manifest, read_manifest


@pytest.fixture(scope="module")
def manifest(drops: tuple[Made, Made]) -> Manifest:
    return read_manifest(drops[0].folder)


CHANGES: list[dict[str, Any]] = [
    {"tensorrt": "10.3.0.1"},
    {"tensorrt_flavour": "tensorrt_rtx"},
    {"gpu": "Orin (nvgpu)"},
    {"compute_capability": "8.6"},
    {"sm_count": 16},
    {"board": "NVIDIA Jetson Orin NX"},
    {"l4t": "36.4.4"},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_each_part_of_the_device_changes_the_key(change: dict[str, Any], manifest: Manifest) -> None:
    one, other = (key_parts(manifest, "fp32", device) for device in (ORIN, replace(ORIN, **change)))
    assert key_of(one) != key_of(other)
    assert len(differences(one, other)) == 1


def test_each_part_of_the_network_changes_the_key(drops: tuple[Made, Made], drop: Made) -> None:
    manifest = read_manifest(drops[0].folder)
    mine = key_of(key_parts(manifest, "fp32", ORIN))
    keys = {mine, key_of(key_parts(manifest, "fp16", ORIN))}
    keys.add(key_of(key_parts(read_manifest(drops[1].folder), "fp32", ORIN)))  # other weights
    for change in (
        lambda m: m["profiles"][0].update(max=[17, 16]),
        lambda m: m["profiles"][0].update(batch=[1, 2, 4]),
        lambda m: m["network"].update(input="picture"),
        lambda m: m["variants"][0].update(io="fp16"),
    ):
        copy = drop.copy(drop.folder.parent / f"copy{len(keys)}").rewrite(change)
        keys.add(key_of(key_parts(read_manifest(copy.folder), "fp32", ORIN)))
    assert len(keys) == 7
    named = drop.rewrite(lambda m: m.update(name="other", version="9"))
    assert key_of(key_parts(read_manifest(named.folder), "fp32", ORIN)) == mine


def test_what_does_not_matter_does_not_change_it(manifest: Manifest) -> None:
    other = replace(ORIN, memory_bytes=1, disk_bytes=1, python="3.12.3", driver="1.2", onnxruntime=None)
    assert key_parts(manifest, "fp32", ORIN) == key_parts(manifest, "fp32", other)


def test_the_key_outlives_json(manifest: Manifest) -> None:
    parts = key_parts(manifest, "fp16", ORIN)
    assert json.loads(json.dumps(parts)) == parts
    assert key_of(json.loads(json.dumps(dict(reversed(parts.items()))))) == key_of(parts)
    assert len(key_of(parts)) == 64


def test_a_mismatch_names_what_differs(manifest: Manifest) -> None:
    here = key_parts(manifest, "fp32", replace(ORIN, l4t="36.4.3"))
    built = key_parts(manifest, "fp32", replace(ORIN, l4t="36.4.0"))
    assert differences(built, here) == ["L4T 36.4.0, this is 36.4.3"]
    assert differences(here, here) == []
    elsewhere = key_parts(manifest, "fp32", DEVICE)
    assert differences(elsewhere, here) == [
        "builder's options {'strongly_typed': True, 'tf32': False, 'target': 'any'}, this is "
        "{'strongly_typed': True, 'tf32': False, 'target': 'this GPU'}",
        "flavour none, this is tensorrt",
        "TensorRT none, this is 10.3.0",
        "compute capability none, this is 8.7",
        "GPU none, this is Orin",
        "number of SMs none, this is 8",
        "board none, this is NVIDIA Jetson AGX Orin",
        "L4T none, this is 36.4.3",
    ]
    assert differences({**here, "odd\x1b": None}, here) == ["'odd\\x1b' none, this is none"]
