"""What is installed, what this machine can build and run with it, and what to do about the rest."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from fcnship.machine import available_bytes, cores, cpu_name, gpu_name, version_of
from fcnship.stages.engine import usable_flavours

# The module to import for each distribution, and what to do where it is missing.
_MODULES = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tf2onnx": "tf2onnx",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "scikit-learn": "sklearn",
    "polygraphy": "polygraphy",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
}
_OPTIONAL = {"tensorrt", "tensorrt-rtx"}
_TRY = """
import sys
sys.path[:] = filter(None, sys.path)  # not the current folder: a keras.py in it says nothing of Keras
import importlib, json
found = {}
for module in sys.argv[1:]:
    try:
        importlib.import_module(module)
        found[module] = ""
    except BaseException as error:
        found[module] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library that fcnship drives: its version, and what is wrong with it ('' if nothing)."""

    name: str
    version: str
    problem: str
    optional: bool


@dataclass(frozen=True, kw_only=True)
class Ability:
    """Something a build does: whether it can be done here, why not, and what would help."""

    name: str
    possible: bool
    reason: str
    next: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What ``fcnship doctor`` found."""

    python: str
    platform: str
    cpu: str
    cores: int
    memory_bytes: int
    gpu: str | None
    libraries: tuple[Library, ...]
    abilities: tuple[Ability, ...]

    @property
    def healthy(self) -> bool:
        """Whether every library that a build needs is there and can be imported."""
        return not any(library.problem and not library.optional for library in self.libraries)

    def as_json(self) -> dict[str, Any]:
        """The findings for programs."""
        return {**asdict(self), "healthy": self.healthy}


def diagnose() -> Diagnosis:
    """Import the libraries in another process, and see what that allows."""
    problems = _imported([module for name, module in _MODULES.items() if version_of(name)])
    libraries = tuple(
        Library(
            name=name,
            version=version_of(name) or "",
            problem=problems.get(module, "") if version_of(name) else "not installed",
            optional=name in _OPTIONAL,
        )
        for name, module in _MODULES.items()
    )
    return Diagnosis(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu=cpu_name(),
        cores=cores(),
        memory_bytes=available_bytes(),
        gpu=gpu_name(),
        libraries=libraries,
        abilities=_abilities({library.name: library.problem for library in libraries}),
    )


def _imported(modules: list[str]) -> dict[str, str]:
    """What each import raises; '' if it works."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _TRY, *modules],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode and len(modules) > 1:  # which of them was it?
        return {module: _imported([module])[module] for module in modules}
    if done.returncode:
        ended = f"the import ended Python with status {done.returncode}"
        return dict.fromkeys(modules, ended)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def _abilities(problems: dict[str, str]) -> tuple[Ability, ...]:
    flavours = usable_flavours()
    return (
        _needing("train, convert, SavedModel", ("tensorflow", "keras"), problems),
        _needing("ONNX", ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime"), problems),
        _ability("engine, TensorRT-RTX", flavours["tensorrt_rtx"], "pip install tensorrt-rtx"),
        _ability(
            "engine, full TensorRT",
            flavours["tensorrt"],
            "pip install 'fcnship[tensorrt]' where there is a GPU; a Jetson builds its own engines",
        ),
        _ability(
            "run engines",
            "" if gpu_name() else "no NVIDIA GPU answers here",
            "run them where the GPU is; here they are built, not run",
        ),
    )


def _needing(name: str, libraries: tuple[str, ...], problems: dict[str, str]) -> Ability:
    broken = [f"{library}: {problems[library]}" for library in libraries if problems[library]]
    return _ability(name, "; ".join(broken), "pip install --upgrade --force-reinstall fcnship")


def _ability(name: str, reason: str, remedy: str) -> Ability:
    return Ability(name=name, possible=not reason, reason=reason, next=remedy if reason else "")
