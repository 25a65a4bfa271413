"""A network proves itself on this device: golden data in, outputs held against Keras's, at every profile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnship.device.backends import Backend, Unrunnable, open_backend
from fcnship.device.engines import Engine
from fcnship.device.golden import read_golden
from fcnship.device.manifest import GoldenFile, Manifest
from fcnship.errors import DeviceError
from fcnship.sizes import Size

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Row = dict[str, Any]


def self_test(
    release: Path, manifest: Manifest, precision: str, backend: str, engine: Engine | None
) -> list[Row]:
    """A row for each golden file, in the manifest's order: how far the outputs are from Keras's.

    A row fails for a difference above its tolerance, for NaN or infinity, for another shape, and for an error
    of the runtime; ``fault`` says which, and is '' where it passed. With TensorRT a size or a batch just
    outside the profiles that the engine takes all the same is a failing row too.

    Raises:
        DeviceError: the runtime does not open the network.
        ArtifactError: a golden file, or the network's own, is damaged.
    """
    opened = opened_backend(release, manifest, precision, backend, engine)
    try:
        rows = [_row(release, manifest, precision, golden, opened) for golden in manifest.golden]
        return rows + _taken_outside(manifest, precision, opened)
    finally:
        opened.close()


def opened_backend(
    release: Path, manifest: Manifest, precision: str, backend: str, engine: Engine | None
) -> Backend:
    """The network, opened.

    Raises:
        DeviceError: the runtime does not open it here.
    """
    try:
        return open_backend(backend, release, manifest, precision, engine)
    except Unrunnable as error:
        raise DeviceError(
            f"{backend} does not run {manifest.name} at {precision}: {error}",
            cause="the GPU is gone, lacks memory, or is not the one that the engine was built for",
            next="fcnship-device probe shows what answers; install the drop again",
        ) from error


def _row(release: Path, manifest: Manifest, precision: str, golden: GoldenFile, backend: Backend) -> Row:
    images, expected = read_golden(release, manifest, golden)
    tolerance = float(golden.tolerance[precision])
    try:
        outputs: Array | str = backend.infer(backend.prepare(images, golden.profile))
    except Unrunnable as error:
        outputs = str(error)
    axis = 1 if expected.ndim == 4 and manifest.network.layout == "nchw" else -1
    where = _where(precision, golden.file, golden.profile, Size(golden.height, golden.width), golden.batch)
    return {**where, **compare(outputs, expected, tolerance, axis)}


def compare(outputs: Array | str, expected: Array, tolerance: float, axis: int = -1) -> Row:
    """Errors, cosine, changed decisions along the axis of classes, and the fault; a text is one itself."""
    import numpy as np

    if isinstance(outputs, str):
        return _failed(len(expected), tolerance, outputs)
    if outputs.shape != expected.shape:
        told = f"the output has the shape {outputs.shape}, not {expected.shape}"
        return _failed(len(expected), tolerance, told)
    ours, theirs = outputs.astype(np.float64), expected.astype(np.float64)
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return _failed(len(expected), tolerance, "the output has NaN or infinity in it")
    error = np.abs(ours - theirs)
    norms = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    worst = float(error.max(initial=0.0))
    passed = worst <= tolerance
    return {
        "max_abs": worst,
        "mean_abs": float(error.mean()),
        "cosine": float(np.vdot(ours, theirs)) / norms if norms else 0.0,
        "argmax_flips": int((ours.argmax(axis) != theirs.argmax(axis)).sum()),
        "tolerance": tolerance,
        "passed": passed,
        "fault": "" if passed else f"differs by {worst:.3g}, {tolerance:.3g} is allowed",
    }


def _failed(batch: int, tolerance: float, fault: str) -> Row:
    return {
        "max_abs": math.inf,
        "mean_abs": math.inf,
        "cosine": 0.0,
        "argmax_flips": batch,
        "tolerance": tolerance,
        "passed": False,
        "fault": fault,
    }


def _where(precision: str, file: str, profile: int, size: Size, batch: int) -> Row:
    place = {"height": size.height, "width": size.width, "batch": batch}
    return {
        "variant": f"device-{precision}",
        "reference": "keras",
        "file": file,
        "profile": profile,
        **place,
    }


def _taken_outside(manifest: Manifest, precision: str, backend: Backend) -> list[Row]:
    """A failing row for each shape that no profile has and that the runtime takes all the same."""
    rows = []
    for profile, size, batch in outside(manifest):
        if backend.refuses(manifest.input_shape(size, batch)) is False:
            fault = f"the engine takes {size} in batches of {batch}, which no profile has"
            rows.append({**_where(precision, "", profile, size, batch), **_failed(batch, 0.0, fault)})
    return rows


def outside(manifest: Manifest) -> Iterator[tuple[int, Size, int]]:
    """The profile, size and batch one pixel, or one image, beyond each edge that no other profile serves."""
    for index, profile in enumerate(manifest.profiles):
        low, high, (least, _, most) = profile.min, profile.max, profile.batch
        beyond = [
            (low.height - 1, low.width, least),
            (low.height, low.width - 1, least),
            (high.height + 1, high.width, most),
            (high.height, high.width + 1, most),
            (low.height, low.width, least - 1),
            (high.height, high.width, most + 1),
        ]
        for height, width, batch in beyond:
            size = Size(height, width)
            if min(height, width, batch) and not any(p.serves(size, batch) for p in manifest.profiles):
                yield index, size, batch
