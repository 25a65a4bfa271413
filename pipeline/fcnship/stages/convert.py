"""convert: a network tied to one size becomes fully convolutional, its weights moved, not retrained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from fcnship.driver import StageResult
from fcnship.errors import ParityFailed
from fcnship.frameworks import import_keras
from fcnship.graph.convert import convert_with_record
from fcnship.graph.facts import ModelFacts, facts_of
from fcnship.graph.loading import load_model
from fcnship.session import Session
from fcnship.stages.train import MODEL
from fcnship.verify.certificate import Certificate, prove

CONVERTED = "keras/converted.keras"
_REAL_IMAGES = 64


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
        model = load_model(session.workspace.path(MODEL))
        conversion = convert_with_record(model, head=session.options.head)
        certificate = _certificate(session, original, model, conversion.model)
        with session.workspace.writing(CONVERTED) as path:
            conversion.model.save(path)
        facts = facts_of(conversion.model).labelled(original.labels, original.value_range)
        changes = [asdict(change) for change in conversion.changes]
        return StageResult(
            files=(CONVERTED,),
            facts={**facts.as_json(), "changes": changes, "certificate": certificate.as_json()},
        )

    def ensures(self, session: Session, result: StageResult) -> None:
        """What was saved loads, and is tied to no size."""
        if result.status == "done":
            geometry = facts_of(load_model(session.workspace.path(CONVERTED))).geometry
            assert geometry.fixed_size is None, geometry.fixing_layer


def _certificate(session: Session, facts: ModelFacts, original: Any, converted: Any) -> Certificate:
    """Hold the conversion against the original, on test images too.

    Raises:
        ParityFailed: they do not compute the same.
    """
    data, size = session.data, facts.geometry.input_size
    assert size
    places = range(min(_REAL_IMAGES, len(data.x_test)))
    images = data.at_size(data.x_test, places, size, facts.value_range)
    if facts.network.channels_first:
        images = np.moveaxis(images, -1, 1)
    certificate = prove(
        original,
        converted,
        images=images,
        head=session.options.head,
        value_range=facts.value_range,
        seed=session.options.seed,
    )
    if not certificate.proved:
        raise ParityFailed(
            f"the converted network is not proved: {certificate.reasons[0]}",
            cause=f"it does not compute what {facts.network.name!r} computes",
            next="fcnship convert MODEL -o OUT.keras --prove --json shows the whole certificate",
        )
    return certificate
