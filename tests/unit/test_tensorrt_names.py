"""Every name of TensorRT's that our code uses is there in 10.3, 10.16, 11.4 and TensorRT-RTX 1.7.

The lists in ``tests/data/tensorrt_names`` were read off the bindings of the real wheels: 11.0 removed many
names, and full TensorRT cannot be installed where these tests run.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "pipeline" / "fcnship"
LISTS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[1] / "data" / "tensorrt_names").glob("*.json"))
}
MODULES = ("tensorrt", "tensorrt_rtx")
IMPORTS = (*MODULES, "polygraphy.backend.trt", "polygraphy.backend.tensorrt_rtx")
# How our code names TensorRT's objects, and what calls give.
OBJECTS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "layer": "ILayer",
    "tensor": "ITensor",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
}
RETURNS = {
    "create_network": "INetworkDefinition",
    "create_builder_config": "IBuilderConfig",
    "create_optimization_profile": "IOptimizationProfile",
    "get_layer": "ILayer",
    "get_input": "ITensor",
    "get_output": "ITensor",
    "create_timing_cache": "ITimingCache",
    "get_timing_cache": "ITimingCache",
    "deserialize_cuda_engine": "ICudaEngine",
    "create_execution_context": "IExecutionContext",
    "create_engine_inspector": "EngineInspector",
}
# One flavour's own: the code asks which flavour it has before it uses them.
RTX_ALONE = {"ComputeCapability"}


class Uses(ast.NodeVisitor):
    """Collects (class or enum, member) and, of the module itself, ("", name)."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()
        self._modules, self._kinds = {"trt"}, dict(OBJECTS)

    def visit_Import(self, node: ast.Import) -> None:
        self._modules |= {alias.asname or alias.name for alias in node.names if alias.name in MODULES}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module in MODULES:
            self.found |= {("", alias.name) for alias in node.names}

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name) and (kind := self._kind(node.value)):
                self._kinds[target.id] = kind
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) == 2:
            name = node.args[1]
            if isinstance(name, ast.Constant):
                self._use(node.args[0], str(name.value))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._use(node.value, node.attr)
        self.generic_visit(node)

    def _use(self, owner: ast.expr, name: str) -> None:
        if name.startswith("__"):
            return
        if self._is_module(owner):
            self.found.add(("", name))
        elif kind := self._kind(owner):
            self.found.add((kind, name))

    def _is_module(self, owner: ast.expr) -> bool:
        return isinstance(owner, ast.Name) and owner.id in self._modules

    def _kind(self, owner: ast.expr) -> str:
        match owner:
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name):
                return self._kinds.get(name.lstrip("_"), "")
            case ast.Attribute(value=module, attr=name) if self._is_module(module):
                return name
            case ast.Call(func=ast.Attribute(attr=name)):
                return RETURNS.get(name, "")
            case ast.Call(func=ast.Attribute(value=module, attr=name)) if self._is_module(module):
                return name
        return ""


def uses(source: str) -> set[tuple[str, str]]:
    """The names that a source uses. Twice over it: what a variable holds may be told below."""
    visitor, tree = Uses(), ast.parse(source)
    visitor.visit(tree)
    visitor.visit(tree)
    return visitor.found


def missing(source: str) -> list[str]:
    """The names that one of the lists has not, as ``BuilderFlag.FP16 (tensorrt-11.4.0.106)``."""
    return sorted(
        f"{f'{kind}.' if kind else ''}{name} ({which})"
        for kind, name in uses(source)
        for which, names in LISTS.items()
        if not (({kind, name} & RTX_ALONE) and not which.startswith("rtx")) and not knows(names, kind, name)
    )


def knows(names: dict[str, Any], kind: str, name: str) -> bool:
    if not kind:
        return name in names["module"]
    return name in names["classes"].get(kind, ()) or name in names["enums"].get(kind, ())


def imports_tensorrt(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name in IMPORTS for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and node.module in IMPORTS:
            return True
    return False


def our_files() -> Iterator[Path]:
    """Whatever imports TensorRT, and what is handed its objects without importing it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "timing_cache.py" or imports_tensorrt(ast.parse(path.read_text(encoding="utf-8"))):
            yield path


FILES = {str(path.relative_to(PACKAGE)): path for path in our_files()}


def test_the_four_lists_are_whole() -> None:
    assert list(LISTS) == [
        "rtx-1.7.1.116",
        "tensorrt-10.16.1.11",
        "tensorrt-10.3.0",
        "tensorrt-11.4.0.106",
    ]
    for names in LISTS.values():
        assert len(names["module"]) > 200
        assert "add_optimization_profile" in names["classes"]["IBuilderConfig"]
        assert "STRONGLY_TYPED" in names["enums"]["NetworkDefinitionCreationFlag"]


@pytest.mark.parametrize("name", FILES)
def test_every_name_is_in_every_list(name: str) -> None:
    assert missing(FILES[name].read_text(encoding="utf-8")) == []


def test_the_files_and_names_are_found() -> None:
    assert {"device/build.py", "device/timing_cache.py", "device/backends/tensorrt.py"} <= set(FILES)
    found = uses(FILES["device/build.py"].read_text(encoding="utf-8"))
    assert {
        ("BuilderFlag", "TF32"),
        ("", "ComputeCapability"),
        ("IBuilderConfig", "num_optimization_profiles"),
        ("Builder", "is_network_supported"),
        ("INetworkDefinition", "num_layers"),
        ("ITensor", "name"),
    } <= found
    found = uses(FILES["device/backends/tensorrt.py"].read_text(encoding="utf-8"))
    assert {("IExecutionContext", "set_input_shape"), ("ICudaEngine", "num_optimization_profiles")} <= found
    found = uses(FILES["device/timing_cache.py"].read_text(encoding="utf-8"))
    assert {("IBuilderConfig", "create_timing_cache"), ("IBuilderConfig", "set_timing_cache")} <= found


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import tensorrt as trt\nconfig.set_flag(trt.BuilderFlag.FP16)", "BuilderFlag.FP16"),
        ("import tensorrt_rtx as t\nt.BuilderFlag.INT8", "BuilderFlag.INT8"),
        (
            "flags = 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)",
            "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
        ),
        ("class C(trt.IInt8EntropyCalibrator2): pass", "IInt8EntropyCalibrator2"),
        ("from tensorrt import IInt8Calibrator", "IInt8Calibrator"),
        ("flag = trt.BuilderFlag\nconfig.set_flag(flag.FP16)", "BuilderFlag.FP16"),
        ("getattr(trt.BuilderFlag, 'FP16')", "BuilderFlag.FP16"),
        ("def f(self): return self._engine.device_memory_size", "ICudaEngine.device_memory_size"),
        ("layer.precision = trt.float16", "ILayer.precision"),
        ("network.get_input(0).dynamic_range = (-1, 1)", "ITensor.dynamic_range"),
        (
            "settings = builder.create_builder_config()\nsettings.int8_calibrator",
            "IBuilderConfig.int8_calibrator",
        ),
    ],
)
def test_a_name_that_11_removed_is_caught(source: str, told: str) -> None:
    assert f"{told} (tensorrt-11.4.0.106)" in missing(source)


def test_a_name_that_10_3_has_not_yet_is_caught() -> None:
    assert missing("def f(network): network.add_attention()") == [
        "INetworkDefinition.add_attention (tensorrt-10.3.0)"
    ]


def test_a_name_of_one_flavour_is_held_against_that_one() -> None:
    assert missing("dir(trt.ComputeCapability), trt.ComputeCapability.SM86") == []
    assert missing("trt.ComputeCapability.SM1") == ["ComputeCapability.SM1 (rtx-1.7.1.116)"]


def test_names_in_all_lists_pass() -> None:
    assert missing("config.clear_flag(trt.BuilderFlag.TF32)\nengine.device_memory_size_v2") == []


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed")
def test_the_list_of_tensorrt_rtx_is_that_of_the_installed_one() -> None:
    import tensorrt_rtx

    names = LISTS["rtx-1.7.1.116"]
    if metadata.version("tensorrt-rtx") != names["version"]:
        pytest.skip(f"tensorrt-rtx {metadata.version('tensorrt-rtx')} is installed")
    for kind, members in {**names["classes"], **names["enums"]}.items():
        assert [name for name in members if not hasattr(getattr(tensorrt_rtx, kind), name)] == []
