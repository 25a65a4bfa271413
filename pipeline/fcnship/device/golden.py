"""A drop's golden data: images as they are fed to the network, and what Keras gave for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnship.device.arrays import BROKEN
from fcnship.device.manifest import GoldenFile, Manifest
from fcnship.errors import ArtifactError
from fcnship.sizes import Size

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def read_golden(release: Path, manifest: Manifest, golden: GoldenFile) -> tuple[Array, Array]:
    """Images in the network's own order, and the expected outputs; both float32.

    Raises:
        ArtifactError: the file holds something else than the manifest says.
    """
    import numpy as np

    path = release / golden.file
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, expected = arrays["image"], arrays["expected"]
    except BROKEN as error:
        raise _unlike(path, f"it cannot be read: {error}") from error
    shape = manifest.input_shape(Size(golden.height, golden.width), golden.batch)
    if images.shape != shape or images.dtype != np.float32:
        raise _unlike(path, f"its images are {images.dtype} {images.shape}, not float32 {shape}")
    if expected.ndim < 2 or len(expected) != golden.batch or expected.dtype != np.float32:
        raise _unlike(path, f"its expected outputs are {expected.dtype} {expected.shape}")
    return images, expected


def _unlike(path: Path, cause: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is not the golden data that the manifest names",
        cause=cause,
        next="copy the drop again; if it is still so, make it anew with `fcnship drop`",
    )
