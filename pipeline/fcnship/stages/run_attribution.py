"""Which layer the errors of a run's ONNX variants come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fcnship.runners import ORIGINAL
from fcnship.session import Session
from fcnship.sizes import Size
from fcnship.stages.onnx import FILE as ONNX_FILE
from fcnship.stages.run_parity import image_batches
from fcnship.verify.attribution.ask import Ask, why_not
from fcnship.verify.attribution.attributed import Candidate
from fcnship.verify.attribution.attribution import Attribution
from fcnship.verify.checks import Checks

Row = Mapping[str, Any]


def run_attribution(
    session: Session, rows: Mapping[str, Any], checks: Checks, affordable: Callable[[Size, int], int]
) -> list[dict[str, Any]]:
    """The report's ``attribution`` from what was validated: ``variants`` and ``parity``."""
    path, layout = session.workspace.path, session.options.layout
    candidates, others = _sorted_out(rows["variants"])
    first = session.profiles[0]
    return Ask(
        attribution=Attribution(ORIGINAL, session.network_file, layout, image_batches(session)),
        candidates=[Candidate(variant=v, path=path(at), layout=layout) for v, at in candidates.items()],
        others=others,
        parity=rows["parity"],
        checks=checks,
        optimum=first.opt,
        cases=(first.min, first.opt, first.max),
        affordable=affordable,
        fp32=path(ONNX_FILE),
        on_step=session.events.say,
    ).answers()


def _sorted_out(variants: Sequence[Row]) -> tuple[dict[str, str], dict[str, str]]:
    """(ONNX variants and their paths, the others and why they are left out)."""
    candidates, others = {}, {}
    for row in variants:
        if row["variant"] == ORIGINAL:
            continue
        if row["variant"].startswith("onnx-"):
            candidates[row["variant"]] = row["path"]
        else:
            others[row["variant"]] = why_not(row["variant"])
    return candidates, others
