"""The shipped JSON Schema, and our own small check against it, held against the jsonschema library."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fcnship.errors import ArtifactError
from fcnship.reports.json_report import canonical_report
from fcnship.reports.schema import check_report, report_schema

jsonschema = pytest.importorskip("jsonschema")

DATA = Path(__file__).parents[1] / "data" / "report"
Report = dict[str, Any]

# What our check knows; any other keyword in the schema it would ignore in silence.
KNOWN = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "required", "properties", "items",
    "anyOf", "const", "enum", "minimum", "maximum", "minItems", "maxItems", "minLength", "pattern",
    "additionalProperties",
}  # fmt: skip

BAD: dict[str, tuple[Callable[[Report], Any], str]] = {
    "no schema": (lambda r: r.pop("schema"), "schema is missing"),
    "other schema": (lambda r: r.update(schema="fcnship.report/2"), "schema is 'fcnship.report/2', not"),
    "empty name": (lambda r: r.update(name=""), "name is empty"),
    "local time": (
        lambda r: r.update(created="2026-11-20 10:00"),
        "created is '2026-11-20 10:00', which does not",
    ),
    "verdict": (lambda r: r.update(verdict="ok"), "verdict is 'ok', not one of 'pass', 'fail'"),
    "pass with reasons": (
        lambda r: r["reasons"].append({"code": 4, "text": "x"}),
        "verdict and reasons contradict",
    ),
    "fail without": (lambda r: r.update(verdict="fail"), "verdict and reasons contradict each other"),
    "warning": (lambda r: r["warnings"].insert(0, 3), "warnings[0] is 3, not of type string"),
    "cores": (lambda r: r["environment"].update(cores=0), "environment.cores is 0, below 1"),
    "bool for int": (
        lambda r: r["environment"].update(cores=True),
        "environment.cores is True, not of type integer",
    ),
    "library": (
        lambda r: r["environment"]["libraries"].update(keras=3),
        "environment.libraries.keras is 3, not",
    ),
    "stride": (
        lambda r: r["model"].update(total_stride=[1, 2, 3]),
        "model.total_stride is [1, 2, 3]. Expected: One",
    ),
    "stride text": (
        lambda r: r["model"].update(total_stride="32"),
        "model.total_stride is '32'. Expected: One",
    ),
    "range": (lambda r: r["model"].update(value_range=[0]), "model.value_range has 1 items, not 2 to 2"),
    "output": (lambda r: r["model"].update(output="text"), "model.output is 'text', not one of"),
    "profile": (lambda r: r["profiles"][0]["min"].append(3), "profiles[0].min has 3 items, not 2 to 2"),
    "zero side": (lambda r: r["profiles"][0].update(opt=[0, 3]), "profiles[0].opt[0] is 0, below 1"),
    "status": (lambda r: r["variants"][0].update(status="ran"), "variants[0].status is 'ran', not one of"),
    "artifact": (
        lambda r: r["stages"][0]["artifacts"][0].pop("sha256"),
        "stages[0].artifacts[0].sha256 is missing",
    ),
    "bytes": (
        lambda r: r["stages"][0]["artifacts"][0].update(bytes=-1),
        "stages[0].artifacts[0].bytes is -1, below",
    ),
    "parity none": (
        lambda r: r["parity"][3].update(max_abs=None),
        "parity[3].max_abs is None. Expected: A number",
    ),
    "parity word": (
        lambda r: r["parity"][3].update(max_abs="NaN"),
        "parity[3].max_abs is 'NaN'. Expected: A number",
    ),
    "passed": (
        lambda r: r["parity"][0].update(passed="yes"),
        "parity[0].passed is 'yes', not of type boolean",
    ),
    "half a batch": (
        lambda r: r["parity"][0].update(batch=1.5),
        "parity[0].batch is 1.5, not of type integer",
    ),
    "percent": (lambda r: r["accuracy"][1].update(accuracy=97.5), "accuracy[1].accuracy is 97.5, above 1"),
    "latency": (lambda r: r["latency"][0].update(verdict="fast"), "latency[0].verdict is 'fast', not one of"),
    "a table as object": (lambda r: r.update(parity={}), "parity is {}, not of type array"),
}

GOOD: dict[str, Callable[[Report], Any]] = {
    "as it is": lambda r: None,
    "new keys": lambda r: [
        r.update(convert={"x": [1]}),
        r["parity"][0].update(p99=1),
        r["model"].update(note=None),
    ],
    "new variant": lambda r: r["accuracy"][0].update(variant="tflite-int4"),
    "not finite": lambda r: r["parity"][0].update(max_abs="nan", mean_abs="inf", cosine="-inf"),
    "whole float": lambda r: r["environment"].update(cores=2.0),
    "sides differ": lambda r: r["model"].update(total_stride=[32, 16], minimum_size=None),
    "no flips": lambda r: r["parity"][0].update(argmax_flips=None),
    "empty": lambda r: [
        r.update({k: []}) for k in ("profiles", "variants", "stages", "parity", "latency", "accuracy")
    ],
    "fail": lambda r: r.update(verdict="fail", reasons=[{"code": 1, "text": "x", "next": "y"}]),
}


def sample() -> Report:
    report: Report = json.loads((DATA / "pass.in.json").read_text(encoding="utf-8"))
    return report


def library_accepts(report: object) -> bool:
    valid: bool = jsonschema.Draft202012Validator(report_schema()).is_valid(report)
    return valid


def test_the_schema_is_a_schema_and_uses_no_keyword_that_the_check_ignores() -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    def keywords(node: dict[str, Any]) -> set[str]:
        below = [
            *node.get("properties", {}).values(),
            *node.get("$defs", {}).values(),
            *node.get("anyOf", []),
        ]
        below += [node[key] for key in ("items", "additionalProperties") if key in node]
        return set(node).union(*map(keywords, below))

    assert keywords(schema) <= KNOWN


@pytest.mark.parametrize("case", BAD)
def test_bad_reports_are_refused_with_the_path_of_the_wrong_key(case: str) -> None:
    change, message = BAD[case]
    report = sample()
    change(report)
    assert not library_accepts(report)
    with pytest.raises(ArtifactError) as caught:
        check_report(report)
    assert caught.value.what.startswith(f"this is not a valid fcnship.report/1: {message}")
    assert caught.value.exit_code == 8


@pytest.mark.parametrize("case", GOOD)
def test_good_reports_are_accepted(case: str) -> None:
    report = sample()
    GOOD[case](report)
    assert library_accepts(report)
    check_report(report)
    assert library_accepts(canonical_report(report))


@pytest.mark.parametrize("value", [None, [], 3, "report", {}])
def test_what_is_no_report_at_all_is_refused(value: object) -> None:
    assert not library_accepts(value)
    with pytest.raises(ArtifactError):
        check_report(value)


# Objects whose keys are names, and keys that older reports do not have.
OPEN = {("environment", "libraries"), ("timing", "libraries"), ("timing", "threads")}
OPTIONAL = {
    *(("timing",), ("baseline",)),
    *(("latency", 0, key) for key in ("p99_ms", "images_per_second", "smallest_effect")),
    *(
        ("timing", key)
        for key in ("rounds", "seconds", "steady", "drift", "throttled", "other_load", "left_out")
    ),
}


def test_every_required_key_is_required_by_both() -> None:
    def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if isinstance(value, dict):
            own = [(*path, key) for key in value if path not in OPEN]
            return own + [p for key, item in value.items() for p in paths(item, (*path, key))]
        return paths(value[0], (*path, 0)) if isinstance(value, list) and value else []

    for *parents, key in paths(sample()):
        report = copy.deepcopy(sample())
        node: Any = report
        for parent in parents:
            node = node[parent]
        del node[key]
        assert library_accepts(report) is ((*parents, key) in OPTIONAL), (*parents, key)
        if (*parents, key) in OPTIONAL:
            check_report(report)
            continue
        with pytest.raises(ArtifactError, match="is missing"):
            check_report(report)
