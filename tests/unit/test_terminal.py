"""What a person or a program sees."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from fcnship import terminal
from fcnship.diagnosis import Ability, Diagnosis, Library
from fcnship.driver import Change
from fcnship.explanation import Explanation
from fcnship.graph.facts import ModelFacts
from fcnship.graph.nodes import Axis, Network, Node
from fcnship.narrator import Narrator
from fcnship.runs import Run
from fcnship.sizes import Profile
from fcnship.workspace import StageRecord


def narrated(force_terminal: bool = False) -> tuple[Narrator, io.StringIO]:
    text = io.StringIO()
    return Narrator(Console(file=text, width=80, highlight=False, force_terminal=force_terminal)), text


def record(status: str, reason: str = "") -> StageRecord:
    return StageRecord(name="train", status=status, seconds=12.34, reason=reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (record("done"), "train      done in 12.3 s"),
        (record("skipped", "it is trained"), "train      skipped: it is trained"),
        # The error itself says why, right after.
        (record("failed", "too large"), "train      failed in 12.3 s"),
        (record("skipped", "\x1b[2Jgone"), "train      skipped: \\x1b[2Jgone"),
        (record("skipped", "[red]not markup[/]"), "train      skipped: [red]not markup[/]"),
    ],
)
def test_a_stage_s_end_is_one_line(told: StageRecord, line: str) -> None:
    narrator, text = narrated()
    narrator.stage_ended(told)
    assert text.getvalue() == f"{line}\n"


def test_long_lines_are_not_broken() -> None:
    narrator, text = narrated()
    narrator.stage_started("train")
    narrator.say("x" * 200)
    narrator.stage_unchanged(record("done"))
    assert text.getvalue() == f"train      {'x' * 200}\ntrain      unchanged\n"


def test_plain_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    narrator, text = narrated()
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    narrator.stage_started("train")
    for step in range(1, 101):
        now[0] = step * 0.5
        narrator.progress(step, 100, f"loss {1 / step:.3f}")
    lines = text.getvalue().splitlines()
    assert lines[0] == "train      20 of 100  loss 0.050  40 s left"
    assert len(lines) == 5


def test_what_comes_once_before_the_work_is_not_in_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that traced its graph for 16 s said of its first of 1300 steps: 20767 s left."""
    narrator, text = narrated()
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    narrator.stage_started("train")
    for seconds, done, total in ((16, 1, 1301), (26, 101, 1301), (40, 1, 4), (51, 3, 4)):
        now[0] = seconds
        narrator.progress(done, total, "x")
    assert text.getvalue().splitlines() == [
        "train      1 of 1301  x",
        "train      101 of 1301  x  120 s left",
        "train      1 of 4  x",  # another piece of the stage's work
        "train      3 of 4  x  6 s left",
    ]


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # one that is dumb gets lines
    narrator, text = narrated(force_terminal=True)
    narrator.stage_started("train")
    narrator.progress(50, 100, "loss 0.5")
    narrator.stage_ended(record("done"))
    assert "50%" in text.getvalue()
    assert "loss 0.5" in text.getvalue()
    assert text.getvalue().rstrip().endswith("done in 12.3 s\x1b[0m")


@pytest.mark.parametrize("variable", [{"TERM": "dumb"}, {"TERM": "unknown"}], ids=str)
def test_a_dumb_terminal_gets_plain_lines(variable: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    narrator, text = narrated(force_terminal=True)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    narrator.stage_started("train")
    narrator.progress(0, 100, "")
    now[0] = 30.0
    narrator.progress(50, 100, "loss 0.5")
    assert text.getvalue() == "train      50 of 100  loss 0.5  30 s left\n"


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    narrator, text = narrated(force_terminal=True)
    narrator.stage_ended(record("done"))
    assert "[32m" not in text.getvalue()


# Outcomes


def test_a_run_without_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(folder=Path("artifacts/odd\udcff\x1bname"), stages=(record("done"),))
    terminal.show_run(run, as_json=False)
    assert capsys.readouterr().out == "Everything is in artifacts/odd\\udcff\\x1bname\n"
    terminal.show_run(run, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["stages"] == [{"name": "train", "status": "done", "reason": ""}]


def test_changes(capsys: pytest.CaptureFixture[str]) -> None:
    changes = {
        "train": [
            Change(input="data", before="a" * 64, now="b" * 64),
            Change(input="seed", before="0", now="1"),
        ],
        "onnx": [
            Change(input="layout", before="nchw", now="nhwc"),
            Change(input="stage train", before="", now="would be done again before it"),
            Change(input="stage convert", before="", now="would be done again before it"),
        ],
        "report": [],
    }
    terminal.show_changes(changes, as_json=False)
    assert capsys.readouterr().out == (
        "train      data: aaaaaaaa -> bbbbbbbb; seed: 0 -> 1\n"
        "onnx       layout: nchw -> nhwc; after train, convert\n"
        "report     unchanged\n"
    )
    terminal.show_changes(changes, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["unchanged"] is False
    assert found["stages"]["train"][0] == {"input": "data", "before": "a" * 64, "now": "b" * 64}


def explanation() -> Explanation:
    axis = Axis(kernel=4, stride=2)
    image = Node(name="image", layer_class="InputLayer", kind="input", inputs=(), channels=1)
    conv = Node(
        name="[conv]", layer_class="Conv2D", kind="conv", inputs=(0,), channels=10, rows=axis, columns=axis
    )
    network = Network(name="net", nodes=(image, conv), outputs=(1,), parameters=1234)
    return Explanation(
        facts=ModelFacts(network=network), profiles=(Profile.parse("2-8"), Profile.parse("8-16"))
    )


def test_an_explanation_shows_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal.show_explanation(explanation(), as_json=False)
    out = capsys.readouterr().out
    assert "parameters       1,234" in out
    assert "minimum size     4 (below it '[conv]' makes an empty map)" in out
    assert "not served: the network does not run at 2x2" in out
    terminal.show_explanation(explanation(), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["parameters"], found["total_stride"], found["minimum_size"]) == (1234, 2, 4)
    assert found["unserved"] == ["2x2"]


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_without_width_gets_words(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    terminal.show_changes({"train": []}, as_json=False)
    assert capsys.readouterr().out == "train      unchanged\n"
    terminal.show_explanation(explanation(), as_json=False)
    assert "1,234" in capsys.readouterr().out


def test_a_diagnosis_shows_problems_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = Diagnosis(
        python="3.11.4",
        platform="Linux x86_64",
        cpu="a processor",
        cores=2,
        memory_bytes=8 * 10**9,
        gpu=None,
        libraries=(
            Library(name="keras", version="3.1", problem="ImportError: [lib] is broken", optional=False),
            Library(name="tensorrt", version="", problem="not installed", optional=True),
        ),
        abilities=(Ability(name="ONNX", possible=False, reason="keras", next="pip install 'fcnship[dev]'"),),
    )
    terminal.show_diagnosis(found, as_json=False)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "keras     3.1 ImportError: [lib] is broken" in lines
    assert "tensorrt  not installed (optional)" in lines
    assert "ONNX  no: keras" in lines
    assert "      -> pip install 'fcnship[dev]'" in lines
    terminal.show_diagnosis(found, as_json=True)
    assert json.loads(capsys.readouterr().out)["healthy"] is False


def test_errors_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.complain("a\x1b[2Jb\n  cause: c\u202ed")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "fcnship: a\\x1b[2Jb\n  cause: c\\u202ed\n")


def test_prints_of_recipes_stay_out_of_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.kept_for_facts():
        print("from a recipe")
    print("fact")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("fact\n", "from a recipe\n")


MUCH = """
import sys
from fcnship import terminal
from fcnship.driver import Change
changes = {f"stage {i}": [Change(input="x" * 500, before="", now="y")] for i in range(500)}
with terminal.listening() as narrator:
    for i in range(500):
        narrator.say("z" * 500)
terminal.show_changes(changes, as_json=sys.argv[1] == "json")
terminal.complain("done all the same")
sys.exit(4)
"""


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_reader_that_leaves_changes_neither_the_work_nor_the_exit_code(form: str, closed: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    streams = {
        name: writing if closed in (name, "both") else subprocess.PIPE for name in ("stdout", "stderr")
    }
    done = subprocess.run([sys.executable, "-c", MUCH, form], check=False, **streams)  # type: ignore[call-overload]
    os.close(writing)
    assert done.returncode == 4
    assert b"Traceback" not in (done.stderr or b"")
    if closed == "stdout":
        assert done.stderr.endswith(b"fcnship: done all the same\n")


SHOW = """
from pathlib import Path
from fcnship import terminal
from fcnship.runs import Run
terminal.show_run(Run(folder=Path("stra\\u00dfe"), stages=()), as_json=False)
"""


@pytest.mark.parametrize(
    "few", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_what_a_terminal_has_no_letters_for_is_written_out(few: dict[str, str]) -> None:
    command = [sys.executable, "-c", SHOW]
    done = subprocess.run(command, env={**os.environ, **few}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Everything is in stra\\xdfe\n")
