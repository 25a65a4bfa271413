"""What the rules find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fcnship.lint.targets import Target

if TYPE_CHECKING:
    from fcnship.lint.graph import Graph

SCHEMA = "fcnship.lint/1"
# error: the build fails, or the engine computes something else than the file says, at some size at least.
# warning: it builds; something in it is not what was probably wanted.
Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong: with a node, or with the file where ``node`` is empty.

    ``layer`` is the Keras layer that the node belongs to, where the file says so; ``next`` is the way out.
    """

    rule: str
    severity: Severity
    node: str = ""
    operator: str = ""
    layer: str = ""
    what: str
    next: str


Rule = Callable[["Graph", Target], Iterator[Finding]]


@dataclass(frozen=True, kw_only=True)
class TargetFindings:
    """What was found for one target, errors first, else in the order of the graph."""

    target: Target
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)


@dataclass(frozen=True, kw_only=True)
class Linted:
    """An ONNX file, and what was found for each target."""

    file: Path
    targets: tuple[TargetFindings, ...]

    @property
    def passed(self) -> bool:
        """Whether no target has an error."""
        return not any(found.errors for found in self.targets)

    def as_json(self) -> dict[str, Any]:
        """The findings for programs."""
        return {
            "schema": SCHEMA,
            "file": str(self.file),
            "passed": self.passed,
            "targets": [
                {
                    "target": found.target.name,
                    "checked": found.target.title,
                    "about": found.target.about,
                    "rules": "TensorRT " + ".".join(map(str, found.target.release)),
                    "passed": not found.errors,
                    "findings": [asdict(finding) for finding in found.findings],
                }
                for found in self.targets
            ],
        }
