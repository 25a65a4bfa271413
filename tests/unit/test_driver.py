"""How stages are driven: in which order, what is left alone, and what becomes of a failure."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest

from fcnship.driver import Change, Stage, StageResult, changes_of, drive, stale
from fcnship.errors import ArtifactError, FcnshipError, InputRefused, ModelRefused, StageFailed, UsageError
from fcnship.options import Options
from fcnship.session import Session
from fcnship.workspace import StageRecord


@dataclass
class Copying:
    """A stage that writes its inputs, and what the stages before it wrote, into ``<name>.txt``."""

    name: str
    needs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    given: dict[str, str] = field(default_factory=dict)
    breaks: dict[str, Exception] = field(default_factory=dict)
    skips: str = ""
    calls: list[str] = field(default_factory=list)

    def inputs(self, session: Session) -> Mapping[str, str]:
        if error := self.breaks.get("inputs"):
            raise error
        return self.given

    def requires(self, session: Session) -> None:
        self._called("requires")

    def run(self, session: Session) -> StageResult:
        self._called("run")
        if self.skips:
            return StageResult(status="skipped", reason=self.skips)
        before = [session.workspace.path(f"{name}.txt").read_text() for name in self.needs]
        session.workspace.write_text(f"{self.name}.txt", " ".join([self.name, *self.given.values(), *before]))
        return StageResult(files=(f"{self.name}.txt",), facts={"calls": len(self.calls)})

    def ensures(self, session: Session, result: StageResult) -> None:
        self._called("ensures")

    def _called(self, step: str) -> None:
        self.calls.append(f"{self.name}.{step}")
        if step in self.breaks:
            raise self.breaks[step]


class Heard:
    """Listens to a run."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage_started(self, name: str) -> None:
        self.lines.append(f"{name} started")

    def stage_unchanged(self, record: StageRecord) -> None:
        self.lines.append(f"{record.name} unchanged")

    def stage_ended(self, record: StageRecord) -> None:
        self.lines.append(f"{record.name} {record.status}")

    def progress(self, done: int, total: int, text: str) -> None: ...

    def say(self, text: str) -> None: ...


@dataclass
class Bench:
    """Three stages, a -> b -> c, c needing a too; and a beside them, that needs none."""

    folder: Path
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.a = Copying("a", libraries=("numpy",), given={"seed": "0"}, calls=self.calls)
        self.b = Copying("b", needs=("a",), calls=self.calls)
        self.c = Copying("c", needs=("a", "b"), calls=self.calls)
        self.lone = Copying("lone", given={"layout": "nchw"}, calls=self.calls)
        self.stages: list[Stage] = [self.a, self.b, self.c, self.lone]
        self.heard = Heard()

    @property
    def session(self) -> Session:
        """A new one each time, as each command has a new one."""
        return Session(Options(model=str(self.folder / "net.py"), out=self.folder), self.heard)

    def drive(self, **more: bool) -> list[str]:
        """The stages that were run."""
        self.calls.clear()
        with self.session.workspace.locked():
            drive(self.stages, self.session, **more)
        return [call.partition(".")[0] for call in self.calls if call.endswith(".run")]

    def fails(self) -> FcnshipError:
        with pytest.raises(FcnshipError) as caught:
            self.drive()
        return caught.value

    def record(self, name: str) -> StageRecord:
        return self.session.record(name)

    def why(self) -> dict[str, list[str]]:
        found = stale(self.stages, self.session)
        return {name: [str(change) for change in changes] for name, changes in found.items() if changes}


@dataclass
class Halfway(Copying):
    """A stage that has kept something of its work."""

    kept: str = ""

    def goes_on(self, session: Session) -> str:
        return self.kept


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "net.py").touch()
    return Bench(tmp_path)


def test_each_stage_requires_runs_and_ensures_in_turn(bench: Bench) -> None:
    bench.drive()
    steps = ("requires", "run", "ensures")
    assert bench.calls == [f"{name}.{step}" for name in ("a", "b", "c", "lone") for step in steps]
    assert bench.heard.lines == [f"{n} {s}" for n in ("a", "b", "c", "lone") for s in ("started", "done")]


def test_a_record_says_all_there_is_to_know(bench: Bench) -> None:
    bench.drive()
    record, numpy = bench.record("a"), metadata.version("numpy")
    assert (record.status, record.reason, record.facts) == ("done", "", {"calls": 2})
    assert record.inputs == {"seed": "0", "numpy": numpy}
    assert record.versions == {"fcnship": metadata.version("fcnship"), "numpy": numpy}
    assert [a.path for a in record.artifacts] == ["a.txt"]
    assert bench.record("c").inputs == {
        "a.txt": record.sha256_of("a.txt"),
        "b.txt": bench.record("b").sha256_of("b.txt"),
    }


def test_a_record_is_written_as_soon_as_its_stage_has_ended(bench: Bench) -> None:
    bench.b.breaks["requires"] = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        bench.drive()
    assert list(bench.session.workspace.records()) == ["a"]
    bench.b.breaks.clear()
    assert bench.drive() == ["b", "c", "lone"]


def test_what_is_unchanged_is_left_alone(bench: Bench) -> None:
    bench.drive()
    bench.heard.lines.clear()
    assert bench.drive() == []
    assert bench.calls == []
    assert bench.heard.lines == [f"{name} unchanged" for name in ("a", "b", "c", "lone")]
    assert bench.why() == {}


def test_force_does_everything_again(bench: Bench) -> None:
    bench.drive()
    assert bench.drive(force=True) == ["a", "b", "c", "lone"]


def test_a_changed_input_is_redone_with_what_depends_on_it(bench: Bench) -> None:
    bench.drive()
    bench.a.given["seed"] = "1"
    assert bench.why() == {
        "a": ["seed: 0 -> 1"],
        "b": ["stage a: would be done again before it"],
        "c": ["stage a: would be done again before it", "stage b: would be done again before it"],
    }
    assert bench.drive() == ["a", "b", "c"]
    assert bench.session.workspace.path("c.txt").read_text() == "c a 1 b a 1"


def test_an_input_of_one_stage_is_that_stage_s_alone(bench: Bench) -> None:
    bench.drive()
    bench.lone.given["layout"] = "nhwc"
    assert bench.why() == {"lone": ["layout: nchw -> nhwc"]}
    assert bench.drive() == ["lone"]


def test_a_stage_that_comes_out_the_same_leaves_its_dependents_alone(bench: Bench) -> None:
    bench.drive()
    before = bench.record("a").sha256_of("a.txt")
    bench.session.workspace.path("a.txt").unlink()
    assert bench.drive() == ["a"]
    assert bench.record("a").sha256_of("a.txt") == before


@pytest.mark.parametrize(
    ("given", "change"),
    [({"seed": "0", "head": "max"}, "head: nothing -> max"), ({}, "seed: 0 -> nothing")],
)
def test_inputs_that_come_and_go_are_changes(bench: Bench, given: dict[str, str], change: str) -> None:
    bench.drive()
    bench.a.given = given
    assert [str(found) for found in changes_of(bench.a, bench.session)] == [change]


def test_what_is_asked_for_no_more_hides_the_inputs_that_go_with_it(bench: Bench) -> None:
    asked = {"asked for": "yes", "recipe": "5ab", "budget": "none"}
    bench.a.given = asked
    bench.drive()
    bench.a.given = {"asked for": "no"}
    assert bench.why()["a"] == ["asked for: yes -> no"]
    bench.drive()
    bench.a.given = asked
    assert bench.why()["a"] == ["asked for: no -> yes"]


def test_another_version_of_a_library_is_a_change(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.drive()
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "9.9" if name == "numpy" else real(name))
    assert bench.why()["a"] == [f"numpy: {real('numpy')} -> 9.9"]
    assert bench.drive() == ["a"]
    assert bench.record("a").versions["numpy"] == "9.9"


def test_a_damaged_artifact_is_made_again(bench: Bench) -> None:
    bench.drive()
    bench.session.workspace.path("b.txt").write_text("b a 9")
    assert bench.why()["b"] == ["b.txt: is not what was built"]
    assert bench.drive() == ["b"]
    bench.session.workspace.path("b.txt").unlink()
    assert bench.why()["b"] == ["b.txt: is missing"]
    assert bench.drive() == ["b"]
    assert bench.session.workspace.path("b.txt").read_text() == "b a 0"


def test_never_built(bench: Bench) -> None:
    assert bench.why() == {name: ["stage: never built"] for name in ("a", "b", "c", "lone")}
    assert not bench.session.workspace.root.exists()


def test_a_skipped_stage_has_its_reason_and_is_an_input_too(bench: Bench) -> None:
    bench.b.skips = "nothing to do"
    bench.c.needs = ("b",)
    bench.c.skips = "nothing either"
    bench.drive()
    assert (bench.record("b").status, bench.record("b").reason) == ("skipped", "nothing to do")
    assert bench.record("c").inputs == {"b": "skipped"}
    assert bench.drive() == []
    bench.b.skips = ""
    bench.b.given["now"] = "yes"
    assert bench.drive() == ["b", "c"]
    bench.b.skips, bench.b.given = "nothing again", {}
    assert bench.drive() == ["b", "c"]
    assert not bench.session.workspace.path("b.txt").exists()  # no record has it any more


@pytest.mark.parametrize("step", ["requires", "run", "ensures"])
def test_a_refusal_comes_as_it_is_and_is_recorded(bench: Bench, step: str) -> None:
    refused = ModelRefused("too large", cause="it is", next="shrink it")
    bench.b.breaks[step] = refused
    assert bench.fails() is refused
    record = bench.record("b")
    assert (record.status, record.reason, record.artifacts) == ("failed", "too large", ())
    assert list(bench.session.workspace.records()) == ["a", "b"]
    assert bench.heard.lines[-1] == "b failed"
    assert not bench.session.workspace.path("b.txt").exists()
    assert not list(bench.session.workspace.root.rglob(".fcnship-tmp-*"))


@pytest.mark.parametrize("step", ["requires", "run"])
def test_a_refused_option_does_not_cost_what_was_built(bench: Bench, step: str) -> None:
    bench.drive()
    before = bench.session.workspace.run()
    bench.a.given["seed"] = "1"
    bench.a.breaks[step] = ModelRefused("no such seed")
    bench.fails()
    assert bench.session.workspace.run() == before
    bench.a.given["seed"] = "0"
    bench.a.breaks.clear()
    assert bench.drive() == []


def test_a_refusal_after_the_files_were_made_does(bench: Bench) -> None:
    bench.drive()
    bench.a.given["seed"] = "1"
    bench.a.breaks["ensures"] = ModelRefused("not what was wanted")
    bench.fails()
    assert bench.record("a").status == "failed"
    assert not bench.session.workspace.path("a.txt").exists()


def test_a_refusal_where_the_files_are_damaged_does(bench: Bench) -> None:
    bench.drive()
    bench.session.workspace.path("a.txt").write_text("changed")
    bench.a.breaks["run"] = ModelRefused("no")
    bench.fails()
    assert bench.record("a").status == "failed"


def test_a_failed_stage_is_done_again_and_the_finished_ones_are_not(bench: Bench) -> None:
    bench.b.breaks["run"] = ModelRefused("too large")
    bench.fails()
    assert bench.why() == {
        "b": ["stage: failed last time: too large"],
        "c": ["stage: never built"],
        "lone": ["stage: never built"],
    }
    bench.b.breaks.clear()
    assert bench.drive() == ["b", "c", "lone"]


@pytest.mark.parametrize("step", ["inputs", "requires", "run", "ensures"])
def test_a_foreign_exception_names_the_stage_and_what_is_done(bench: Bench, step: str) -> None:
    broken = ZeroDivisionError("by zero")
    bench.drive()
    bench.b.breaks[step] = broken
    bench.a.given["seed"] = "1"
    failure = bench.fails()
    assert isinstance(failure, StageFailed)
    assert failure.exit_code == 1
    assert failure.__cause__ is broken
    assert str(failure) == (
        "stage b broke: ZeroDivisionError: by zero\n"
        "  cause: a bug in fcnship or in a library that it drives; stages already done: a\n"
        "  next:  run it again with --debug and report the traceback; finished stages are kept"
    )


def test_the_first_stage_has_none_done_before_it(bench: Bench) -> None:
    bench.a.breaks["run"] = AssertionError()
    assert "stages already done: none" in str(bench.fails())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied", "/x"),
        RuntimeError("writing failed: No space left on device; status 28"),
    ],
    ids=["full", "forbidden", "full as a library tells it"],
)
def test_a_full_disk_is_no_bug(bench: Bench, error: Exception) -> None:
    bench.b.breaks["run"] = error
    failure = bench.fails()
    assert isinstance(failure, UsageError)
    assert str(failure) == (
        f"stage b cannot go on: {error}\n"
        "  cause: the disk is full, or a file or folder there may not be read or written\n"
        "  next:  make room or change permissions and run it again; finished stages are kept"
    )


class ResourceExhaustedError(Exception):
    """Has the name of TensorFlow's."""


@pytest.mark.parametrize("error", [MemoryError("9 TiB"), ResourceExhaustedError("9 TiB")], ids=repr)
def test_a_full_memory_is_no_bug(bench: Bench, error: Exception) -> None:
    bench.b.breaks["run"] = error
    failure = bench.fails()
    assert isinstance(failure, InputRefused)
    assert str(failure) == (
        "stage b ran out of memory: 9 TiB\n"
        "  cause: the largest size of the profiles or the data set is too large for this machine\n"
        "  next:  choose a smaller maximum, or a machine with more memory; finished stages are kept"
    )


def test_a_damaged_run_json_stops_everything(bench: Bench) -> None:
    bench.drive()
    bench.session.workspace.path("run.json").write_text("{")
    assert isinstance(bench.fails(), ArtifactError)
    assert bench.calls == []


def test_a_change_reads_as_a_sentence() -> None:
    assert str(Change(input="seed", before="0", now="1")) == "seed: 0 -> 1"
    assert str(Change(input="stage", before="", now="never built")) == "stage: never built"


def test_what_a_stopped_stage_goes_on_from_is_told(bench: Bench) -> None:
    halfway = Halfway("a", kept="goes on after step 3 of 9")
    bench.stages[0] = halfway
    assert bench.why()["a"] == ["stage: never built", "checkpoint: goes on after step 3 of 9"]
    bench.drive()
    assert bench.why() == {}
    halfway.kept, halfway.given["seed"] = "", "1"
    assert bench.why()["a"] == ["seed: nothing -> 1"]
