"""Classify an image with the live release: ``fcnship-device run IMAGE|NPZ``."""

from __future__ import annotations

import math
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnship.device.arrays import SUFFIXES, read_array
from fcnship.device.backends import Unrunnable, serving, sides_of
from fcnship.device.live import Live
from fcnship.device.manifest import Manifest
from fcnship.device.pictures import read_picture, refused
from fcnship.errors import DataRefused, DeviceError, ProfileRefused
from fcnship.sizes import Profile, Size

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# Of the value range: what a value may lie outside it, from rounding.
_SLACK = 1e-3


def classify(live: Live, path: Path) -> dict[str, Any]:
    """Scores and the best label for each image of a file, which has to have a size that a profile serves.

    Image files, uint8 arrays: 0 to 255, brought to the network's value range. Other arrays: in it already.
    An array of four dimensions is a batch in the network's own order, as golden files are; one of two or
    three is one image, (height, width) or (height, width, channels).

    Raises:
        DataRefused: the file cannot be read, or holds no image for this network.
        ProfileRefused: no profile serves its size or its number of images.
        DeviceError: the network does not run.
    """
    manifest = live.manifest
    batch = images_of(path, manifest)
    with live.opened() as network:
        try:
            outputs = network.infer(network.prepare(batch)).astype("float32")
        except Unrunnable as error:
            raise DeviceError(
                f"{live.record.backend} fails on {path}: {error}",
                cause="the device lacks memory, or has changed since the release proved itself",
                next="install the drop again: fcnship-device install DROP",
            ) from error
    _, size = sides_of(batch.shape, manifest.network.layout)
    return {
        "release": manifest.sha256,
        "name": manifest.name,
        "version": manifest.version,
        "backend": live.record.backend,
        "precision": live.record.precision,
        "file": str(path),
        "size": [size.height, size.width],
        "profile": serving(manifest.profiles, batch.shape, manifest.network.layout),
        "images": [_scores(output, manifest) for output in outputs],
    }


def images_of(path: Path, manifest: Manifest) -> Array:
    """The images of a file as they are fed to the network: float32, in its own order."""
    import numpy as np

    network = manifest.network
    if _is_device_or_pipe(path):
        raise refused(path, "it is no plain file")
    if path.suffix.lower() in SUFFIXES:
        values = read_array(path, lambda shape: _check_shape(path, manifest, shape))
    else:
        values = read_picture(path, network.channels, lambda size: check_size(path, manifest, size, 1))
    if values.ndim < 4:
        picture = values[..., None] if values.ndim == 2 else values
        values = (picture.transpose(2, 0, 1) if network.layout == "nchw" else picture)[None]
    low, high = network.value_range
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values / np.float32(255) * (high - low) + low, np.float32)
    _check_values(path, values, low, high)
    return np.ascontiguousarray(values, np.float32)


def _is_device_or_pipe(path: Path) -> bool:
    """A pipe would be waited for; what cannot be looked at is told when it is read."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_size(path: Path, manifest: Manifest, size: Size, batch: int) -> None:
    """Some profile serves the size and the batch.

    Raises:
        ProfileRefused: none does; the message has the nearest size that one does.
    """
    profiles = manifest.profiles
    if any(profile.serves(size, batch) for profile in profiles):
        return
    served = "; ".join(str(profile) for profile in profiles)
    of_size = [profile for profile in profiles if size.within(profile.min, profile.max)]
    if of_size:
        least, most = min(p.batch[0] for p in of_size), max(p.batch[2] for p in of_size)
        what, hint = f"{batch} images of {size}", f"give {least} to {most} images of {size} in one .npz"
    else:
        what, hint = f"{size}", f"resize it to {nearest_size(profiles, size)}"
    raise ProfileRefused(
        f"{path} is {what}, which no profile of {manifest.name} {manifest.version} serves",
        cause=f"its profiles (min,opt,max@batches) are {served}",
        next=hint,
    )


def nearest_size(profiles: Sequence[Profile], size: Size) -> Size:
    """The size in some profile that is the fewest doublings away, over both sides."""
    clamped = [
        Size(
            min(max(size.height, profile.min.height), profile.max.height),
            min(max(size.width, profile.min.width), profile.max.width),
        )
        for profile in profiles
    ]

    def far(other: Size) -> float:
        return abs(math.log(other.height / size.height)) + abs(math.log(other.width / size.width))

    return min(clamped, key=far)


def _check_shape(path: Path, manifest: Manifest, shape: tuple[int, ...]) -> None:
    network = manifest.network
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise refused(path, f"its array `image` has the shape {shape}, which is no image")
    if len(shape) == 4:
        channels = shape[1] if network.layout == "nchw" else shape[3]
        batch, size = sides_of(shape, network.layout)
    else:
        channels, batch, size = shape[2] if len(shape) == 3 else 1, 1, Size(shape[0], shape[1])
    if channels != network.channels:
        order = (
            "batch, channels, height, width" if network.layout == "nchw" else "batch, height, width, channels"
        )
        raise DataRefused(
            f"{path} has {channels} {'channel' if channels == 1 else 'channels'}, "
            f"{manifest.name} takes {network.channels}",
            cause=f"its array `image` has the shape {shape}",
            next=f"give ({order}), or (height, width, channels) for one image",
        )
    check_size(path, manifest, size, batch)


def _check_values(path: Path, values: Array, low: float, high: float) -> None:
    import numpy as np

    if not np.isfinite(values).all():
        raise refused(path, "its array `image` has NaN or infinity in it")
    slack = _SLACK * (high - low)
    least, most = float(values.min()), float(values.max())
    if least < low - slack or most > high + slack:
        raise refused(path, f"its values are {least:g} to {most:g}, the network takes {low:g} to {high:g}")


def _scores(output: Array, manifest: Manifest) -> dict[str, Any]:
    """Of one image: each class's score, in order, and the best. Of a map, the mean over its cells."""
    network = manifest.network
    facts: dict[str, Any] = {}
    if output.ndim == 3:
        cells = output.transpose(1, 2, 0) if network.layout == "nchw" else output
        facts = {"rows": cells.shape[0], "columns": cells.shape[1]}
        output = cells.reshape(-1, cells.shape[-1]).mean(axis=0)
    labels = network.labels or tuple(str(index) for index in range(len(output)))
    rows = [{"label": label, "score": float(score)} for label, score in zip(labels, output)]  # noqa: B905
    return {"top": rows[int(output.argmax())], "scores": rows, **facts}
