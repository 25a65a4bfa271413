"""The messages of engines that cannot be built or may not be loaded."""

from __future__ import annotations

import signal
from pathlib import Path

from fcnship.device.building import BuildFailed, ended
from fcnship.device.key import Parts
from fcnship.errors import ArtifactError, DeviceError, EnvironmentLacks, FcnshipError


def not_whole(folder: Path, fault: str) -> ArtifactError:
    """A folder that was to hold an engine does not."""
    return ArtifactError(
        f"{folder} holds no whole engine: {fault}",
        cause="it is no folder of engine.plan and about.json, or was damaged since it was made",
        next="build it again: fcnship-device install DROP",
    )


def not_this_key(folder: Path, told: list[str]) -> ArtifactError:
    """An engine is whole, and another device's or another network's."""
    return ArtifactError(
        f"{folder} is not an engine for this: it was built for {'; '.join(told)}",
        cause="an engine is valid for its network, TensorRT and GPU alone; a JetPack upgrade changes them",
        next="let it be built here: fcnship-device install DROP, without --engine",
    )


def build_error(failure: BuildFailed, parts: Parts, file: str) -> FcnshipError:
    """TensorRT made no engine."""
    title = f"{parts['flavour']} {parts['tensorrt']}"
    told = f"its last words:\n    {failure.told}"
    if failure.refused:
        return DeviceError(
            f"{title} made no engine of {file}: {failure.last}",
            cause=f"its logger says:\n    {failure.told}",
            next="try another --precision, or another TensorRT; what was live is live still",
        )
    if failure.unwritten:
        return EnvironmentLacks(
            f"an engine of {file} could not be built: {failure.last}",
            cause="the disk is full, or may not be written",
            next="fcnship-device gc, or name another disk with --root",
        )
    if failure.status == -signal.SIGKILL:
        return EnvironmentLacks(
            f"{title} was killed while it built an engine of {file}",
            cause="most likely the system ran out of memory",
            next="stop other programs, add swap, or make a drop with a smaller maximum or batch",
        )
    return DeviceError(
        f"{title} {ended(failure.status)} while it built an engine of {file}",
        cause=told,
        next="fcnship-device probe shows the versions; report it with these lines",
    )
