"""The README's two commands, word for word, in a copy of the project and a fresh virtual environment."""

from __future__ import annotations

import os

import pytest
from builds import FIRST_COMMAND, SECOND_COMMAND, SKIPPED, STAGES, Job, as_a_newcomer

# The second command runs every test, this one among them; inside this test it runs some of the unit tests.
INSIDE = {
    "PYTEST_ADDOPTS": "tests/unit/test_cli.py tests/unit/test_sizes.py tests/unit/test_reports_golden.py -q"
}


def test_these_are_the_commands() -> None:
    assert FIRST_COMMAND.split(" && ")[-1] == ".venv/bin/fcnship build --profile 28-224"
    assert SECOND_COMMAND.endswith("python -m pytest -n 2")


def test_the_commands_do_what_the_readme_says(job: Job) -> None:
    if os.environ.get("FCNSHIP_OFFLINE"):
        pytest.skip("FCNSHIP_OFFLINE is set: the README's first command downloads TensorFlow")
    assert job.report["verdict"] == "pass"
    assert {stage["name"]: stage["status"] for stage in job.report["stages"]} == {
        name: "skipped" if name in SKIPPED else "done" for name in STAGES[:-1]
    }
    for name in (
        "keras/model.keras",
        "savedmodel/saved_model.pb",
        "onnx/fp32.onnx",
        "report.html",
        "junit.xml",
    ):
        assert (job.run / name).stat().st_size > 0, name
    assert next((job.run / "engines").glob("*.engine")).stat().st_size > 0
    assert "passed" in as_a_newcomer(SECOND_COMMAND, job.folder, **INSIDE).stdout
