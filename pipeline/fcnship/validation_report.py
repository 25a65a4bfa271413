"""The report of compared files: the same form as a build's, without stages, accuracy and latency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from fcnship.machine import environment
from fcnship.verify.parity_reasons import parity_reasons
from fcnship.verify.sweep import Swept
from fcnship.version import __version__

if TYPE_CHECKING:
    from fcnship.validation_subject import FilesSubject


@dataclass(frozen=True, kw_only=True)
class FilesReport:
    """What a report is made from."""

    subject: FilesSubject
    swept: Swept
    variants: list[dict[str, Any]]
    reproducers: list[dict[str, Any]]
    command: str = ""
    attribution: list[dict[str, Any]] | None = None

    def compose(self) -> dict[str, Any]:
        """The report, schema fcnship.report/1, in its canonical form."""
        from fcnship.reports.json_report import canonical_report

        tables = {
            "parity": self.swept.parity,
            "refusals": self.swept.refusals,
            "budget": self.swept.budget,
            "reproducers": self.reproducers,
        }
        if self.attribution is not None:
            tables["attribution"] = self.attribution
        reasons = parity_reasons(tables, self.command)
        return canonical_report(
            {
                "schema": "fcnship.report/1",
                "name": self.subject.subject.reference.variant,
                "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "fcnship": __version__,
                "verdict": "fail" if reasons else "pass",
                "reasons": reasons,
                "warnings": [*self.swept.warnings, *self.subject.notes],
                "environment": environment(),
                "model": self._model(),
                "data": self._data(),
                "profiles": [profile.as_json() for profile in self.subject.profiles],
                "variants": self.variants,
                "stages": [],
                **tables,
                "tolerance": self.subject.tolerance,
                "accuracy": [],
                "latency": [],
            }
        )

    def _model(self) -> dict[str, Any]:
        """What is known of the network: all of it from a Keras file, little from the others."""
        span = list(self.subject.value_range)
        if self.subject.facts:
            return {**self.subject.facts.summary(), "value_range": span}
        interface = self.subject.interface
        return {
            "name": self.subject.subject.reference.variant,
            "parameters": interface.parameters,
            **dict.fromkeys(("total_stride", "receptive_field", "minimum_size")),
            "classes": interface.classes or self._classes(),
            "labels": [],
            "value_range": span,
            "channels": self.subject.images.channels,
            "output": interface.output,
        }

    def _classes(self) -> int:
        """Counted on one image, where the file leaves it open."""
        from fcnship.runners import run

        size, batch = self.subject.cases()[0]
        return int(run(self.subject.subject.reference, self.subject.images(size, batch)).shape[-1])

    def _data(self) -> dict[str, Any]:
        pictures = self.subject.images.pictures
        count = 0 if pictures is None else len(pictures)
        name, left_out = self.subject.data_name, self.subject.left_out
        return {"name": name, "train": 0, "test": count, "sha256": None, **left_out}
