"""onnx: the Keras model as ONNX with dynamic batch, height and width."""

# pyright: reportAttributeAccessIssue=false
# (pyright takes `import onnx` here for this file itself; Python and mypy do not)
from __future__ import annotations

import json
from collections.abc import Mapping

from fcnship.driver import StageResult
from fcnship.frameworks import import_keras
from fcnship.graph.dtypes import dtypes_of
from fcnship.graph.loading import load_model
from fcnship.graph.onnx_export import INPUT, OUTPUT, export
from fcnship.session import Session
from fcnship.version import __version__

FILE = "onnx/fp32.onnx"
# The dtypes other than float32 in which the original computes.
COMPUTED_IN = "original_computes_in"


class Onnx:
    """Writes ``onnx/fp32.onnx``."""

    name = "onnx"
    needs = ("train", "convert")
    libraries = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime")

    def inputs(self, session: Session) -> Mapping[str, str]:
        """The layout, besides the model."""
        return {"layout": session.options.layout}

    def requires(self, session: Session) -> None:
        """Keras can be imported."""
        import_keras()

    def run(self, session: Session) -> StageResult:
        """Convert, fold, name and describe."""
        import onnx

        model = load_model(session.network_file)
        with session.workspace.writing(FILE) as path:
            export(model, path, session.options.layout, _metadata(session))
        others = sorted(dtypes_of(model) - {"float32"})
        operators = [node.op_type for node in onnx.load(session.workspace.path(FILE)).graph.node]
        return StageResult(
            files=(FILE,),
            facts={"nodes": len(operators), "operators": sorted(set(operators)), COMPUTED_IN: others},
        )

    def ensures(self, session: Session, result: StageResult) -> None:
        """ONNX's checker accepts the file with strict shape inference, and its names are the contract's."""
        import onnx

        path = session.workspace.path(FILE)
        onnx.checker.check_model(str(path), full_check=True)
        graph = onnx.load(path, load_external_data=False).graph
        names = [value.name for value in (*graph.input, *graph.output)]
        assert names == [INPUT, OUTPUT], names


def _metadata(session: Session) -> dict[str, str]:
    facts = session.facts
    geometry = facts.geometry.as_json()
    return {
        "fcnship.version": __version__,
        "fcnship.model_sha256": session.network_sha256,
        "fcnship.total_stride": json.dumps(geometry["total_stride"]),
        "fcnship.receptive_field": json.dumps(geometry["receptive_field"]),
        "fcnship.minimum_size": str(facts.geometry.minimum_size),
        "fcnship.value_range": json.dumps(list(facts.value_range)),
        "fcnship.layout": session.options.layout,
        "fcnship.labels": json.dumps(list(facts.labels), ensure_ascii=False),
    }
