"""Runs a release's ONNX file with ONNX Runtime on the CPU."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnxruntime` here for this file itself; Python and mypy do not)
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnship.device.backends import Shape, Unrunnable, serving
from fcnship.errors import ArtifactError, EnvironmentLacks
from fcnship.sizes import Profile

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxBackend:
    """An ONNX file of one input and one output. The profiles are kept here: the file itself has none.

    Raises:
        EnvironmentLacks: ONNX Runtime is not installed.
        ArtifactError: ONNX Runtime does not open the file.
    """

    def __init__(self, path: Path, profiles: Sequence[Profile], layout: str) -> None:
        self._profiles, self._layout = tuple(profiles), layout
        self._session = _session(path)
        taken = self._session.get_inputs()[0]
        self._input, self._type = taken.name, _TYPES.get(taken.type, np.float32)

    def prepare(self, images: np.ndarray[Any, Any], profile: int | None = None) -> Any:
        """The batch in the file's own type."""
        serving(self._profiles, images.shape, self._layout, profile)
        return {self._input: np.ascontiguousarray(images, self._type)}

    def infer(self, prepared: Any) -> np.ndarray[Any, Any]:
        """One run."""
        try:
            outputs: np.ndarray[Any, Any] = self._session.run(None, prepared)[0]
        except Exception as error:
            raise Unrunnable(f"ONNX Runtime fails: {error}") from error
        return outputs

    def refuses(self, shape: Shape) -> bool | None:
        """ONNX Runtime has no profiles: it runs any size that the network computes."""
        return None

    def close(self) -> None:
        """The session goes with the object."""


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EnvironmentLacks(
            f"ONNX Runtime does not load: {error}",
            cause="it was there when the release was installed",
            next="python3 -m pip install onnxruntime",
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ArtifactError(
            f"ONNX Runtime does not open {path}: {error}",
            cause="the file is damaged, or this version lacks an operator or the opset of the file",
            next="update ONNX Runtime, or install the drop again",
        ) from error
