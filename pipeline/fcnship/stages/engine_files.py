"""Whether a run's engines are what the run says of them: what a machine without a GPU can know of that."""

from __future__ import annotations

from typing import Any

from fcnship.errors import ArtifactError
from fcnship.runners.files import engine_about
from fcnship.session import Session
from fcnship.sizes import Profile, Size
from fcnship.stages.engine import ONNX_FILES


def check_engines(session: Session) -> int:
    """Hold the JSON beside each engine against the run: profiles, precision, layout, and the ONNX file.

    Gives the number of engines.

    Raises:
        ArtifactError: one belongs to another build.
    """
    record = session.workspace.records().get("engine")
    plans = [a.path for a in record.artifacts if a.path.endswith(".engine")] if record else []
    for plan in plans:
        about = engine_about(session.workspace.path(plan))
        precision = plan.removesuffix(".engine").rpartition("-")[2]
        stage, file = ONNX_FILES[precision]
        for what, says, wanted in (
            ("profiles", _profiles(about), " ".join(map(str, session.profiles))),
            ("precision", about["precision"], precision),
            ("layout", about["layout"], session.options.layout),
            (f"hash of {file}", about.get("onnx_sha256"), session.record(stage).sha256_of(file)),
        ):
            if says != wanted:
                raise ArtifactError(
                    f"{session.workspace.path(plan)} is not an engine of this run: its {what}: {says}; "
                    f"the run's: {wanted}",
                    cause="it was built from another file or for other sizes, and put there",
                    next="run the same fcnship build with --force",
                )
    return len(plans)


def _profiles(about: dict[str, Any]) -> str:
    found = []
    for row in about["profiles"]:
        low, opt, high = (Size(*row[edge]) for edge in ("min", "opt", "max"))
        found.append(str(Profile(low, opt, high, tuple(row["batch"]))))
    return " ".join(found)
