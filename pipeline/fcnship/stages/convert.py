"""convert: a network tied to one size becomes fully convolutional, its weights moved, not retrained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from fcnship.driver import StageResult
from fcnship.frameworks import import_keras
from fcnship.graph.convert import convert_with_record
from fcnship.graph.facts import ModelFacts, facts_of
from fcnship.graph.loading import load_model
from fcnship.session import Session
from fcnship.stages.train import MODEL

CONVERTED = "keras/converted.keras"


class Convert:
    """Writes ``keras/converted.keras`` where the original takes one size only."""

    name = "convert"
    needs = ("train",)
    libraries = ("keras",)

    def inputs(self, session: Session) -> Mapping[str, str]:
        """How a map of scores becomes one set of them."""
        return {"head": session.options.head}

    def requires(self, session: Session) -> None:
        """Nothing beyond the original."""

    def run(self, session: Session) -> StageResult:
        """Convert if there is anything to convert."""
        original = ModelFacts.from_json(session.record("train").facts)
        if original.geometry.input_size is None:
            return StageResult(status="skipped", reason="the network is fully convolutional already")
        import_keras()
        conversion = convert_with_record(load_model(session.workspace.path(MODEL)), head=session.options.head)
        with session.workspace.writing(CONVERTED) as path:
            conversion.model.save(path)
        facts = facts_of(conversion.model).labelled(original.labels, original.value_range)
        changes = [asdict(change) for change in conversion.changes]
        return StageResult(files=(CONVERTED,), facts={**facts.as_json(), "changes": changes})

    def ensures(self, session: Session, result: StageResult) -> None:
        """What was saved loads, and is tied to no size."""
        if result.status == "done":
            geometry = facts_of(load_model(session.workspace.path(CONVERTED))).geometry
            assert geometry.fixed_size is None, geometry.fixing_layer
