"""Runs the rules on a file, for one target or several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fcnship.errors import ArtifactError, UsageError
from fcnship.lint.element_types import check_declared, check_mixtures, check_types
from fcnship.lint.findings import Finding, Linted, Rule, TargetFindings
from fcnship.lint.fixed_sizes import check_fixed_sizes
from fcnship.lint.graph import Graph
from fcnship.lint.interface import check_inputs, check_wiring
from fcnship.lint.known_operators import check_control_flow, check_operators
from fcnship.lint.opset import check_ir, check_opset
from fcnship.lint.qdq import check_qdq
from fcnship.lint.qdq_places import check_places
from fcnship.lint.restrictions import check_restrictions
from fcnship.lint.storage import check_external_data, too_large
from fcnship.lint.targets import TARGETS, Target
from fcnship.lint.weights import check_weights
from fcnship.lint.windows import check_windows

RULES: tuple[Rule, ...] = (
    check_external_data,
    check_opset,
    check_ir,
    check_inputs,
    check_wiring,
    check_operators,
    check_restrictions,
    check_types,
    check_mixtures,
    check_declared,
    check_windows,
    check_weights,
    check_fixed_sizes,
    check_qdq,
    check_places,
    check_control_flow,
)


def lint_file(path: Path, targets: Sequence[str] = ()) -> Linted:
    """What each of ``targets`` (all of them if none is given) would not take of an ONNX file, or take amiss.

    Raises:
        UsageError: there is no such file, or no such target.
        ArtifactError: it is no ONNX, or damaged.
    """
    chosen = [_target(name) for name in dict.fromkeys(targets or TARGETS)]
    if not path.is_file():
        raise UsageError(
            f"{path} is a folder, not an ONNX file" if path.is_dir() else f"{path}: no such file",
            cause="one file is checked at a time"
            if path.is_dir()
            else "its path is misspelt, or relative to another folder",
            next="name one, like artifacts/multiscale/onnx/fp32.onnx",
        )
    if large := too_large(path.stat().st_size):
        found = tuple(TargetFindings(target=target, findings=(large,)) for target in chosen)
        return Linted(file=path, targets=found)
    return lint_model(_loaded(path), path, chosen)


def lint_model(model: Any, path: Path, targets: Sequence[Target]) -> Linted:
    """The same for a model that is loaded already, its external data left where it is, beside ``path``."""
    graph = Graph(model, path)
    return Linted(
        file=path,
        targets=tuple(TargetFindings(target=target, findings=_findings(graph, target)) for target in targets),
    )


def _findings(graph: Graph, target: Target) -> tuple[Finding, ...]:
    found = [finding for rule in RULES for finding in rule(graph, target)]
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error"))


def _target(name: str) -> Target:
    for target in TARGETS.values():
        if target.name == name:
            return target
    near = get_close_matches(name, TARGETS, 1)
    raise UsageError(
        f"{name!r} is no target",
        cause=f"the targets are {', '.join(TARGETS)}",
        next=f"fcnship doctor --target {near[0] if near else 'trt10.3'} FILE.onnx",
    )


def _loaded(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise _no_onnx(path, str(error)) from error
    if not model.HasField("graph") or not model.graph.output:
        raise _no_onnx(path, "it holds no graph")
    if not _is_readable(model):
        raise _no_onnx(path, "a name in it is not UTF-8")
    return model


def _is_readable(message: Any) -> bool:
    """Whether each text is one. Protobuf reads others too, and gives bytes."""
    for field, value in message.ListFields():
        values = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
        if field.type == field.TYPE_STRING and not all(isinstance(each, str) for each in values):
            return False
        if field.type == field.TYPE_MESSAGE and not all(_is_readable(each) for each in values):
            return False
    return True


def _no_onnx(path: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"{path} cannot be read as ONNX: {why}",
        cause="the file is cut off, or is no ONNX",
        next="copy it again, or export it again",
    )
