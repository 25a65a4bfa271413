"""The TensorRT versions that a file can be checked for, and what each one's ONNX parser takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TargetName = Literal["trt10.3", "trt10.16", "trt11", "rtx", "jetpack6", "jetpack7"]
Release = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Target:
    """``release`` is the TensorRT that is checked, ``about`` says so where the name alone does not.

    ``opsets`` are the oldest and the newest that its documentation names, ``ir`` the newest IR version of the
    ONNX that its parser was built with. Without ``plugins`` the operators that are plugins are missing.
    """

    name: TargetName
    title: str
    about: str
    release: Release
    opsets: tuple[int, int]
    ir: int
    plugins: bool = True


# Sources. Opsets: onnx-tensorrt docs/operators.md, "supports operators in the inclusive range of opset ...",
# of 10.0 (9 to 20; no later file up to 10.5 was found to say more), of mid 2025 (9 to 22) and of 10.15 (9 to
# 24); for 11.x NVIDIA's ONNX Opset Guide (9 to 25, onnx 1.20). TensorRT-RTX 1.7 logs a warning below opset 7
# and nothing above any (tried); it is held to the range of 11.x, whose parser it shares.
# IR versions: onnx-tensorrt docs/Changelog.md names the onnx it was built with (1.16 before 10.6, 1.17 from
# 10.6, 1.18 from 10.11), onnx docs/Versioning.md the IR version of each.
# JetPack: NVIDIA's JetPack release notes; 6.1 to 6.2.2 have 10.3, 7.0 to 7.1 10.13, 7.2 10.16, 7.2.2 11.4.
TARGETS: dict[TargetName, Target] = {
    target.name: target
    for target in (
        Target(name="trt10.3", title="TensorRT 10.3", about="", release=(10, 3), opsets=(9, 20), ir=10),
        Target(name="trt10.16", title="TensorRT 10.16", about="", release=(10, 16), opsets=(9, 24), ir=11),
        Target(
            name="trt11",
            title="TensorRT 11",
            about="checked as 11.0, whose parser knows least",
            release=(11, 0),
            opsets=(9, 25),
            ir=13,
        ),
        Target(
            name="rtx",
            title="TensorRT-RTX 1.7",
            about="has no plugins",
            release=(11, 4),
            opsets=(9, 25),
            ir=13,
            plugins=False,
        ),
        Target(
            name="jetpack6",
            title="JetPack 6.1 to 6.2.2",
            about="checked as its TensorRT 10.3; JetPack 6.0 has 8.6, which fcnship does not serve",
            release=(10, 3),
            opsets=(9, 20),
            ir=10,
        ),
        Target(
            name="jetpack7",
            title="JetPack 7",
            about="has TensorRT 10.13 (7.0) to 11.4 (7.2.2); checked as 10.13, whose parser knows least",
            release=(10, 13),
            opsets=(9, 22),
            ir=11,
        ),
    )
}
