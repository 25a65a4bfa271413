"""Runs: begun, gone on with and done again, with their options and their verdict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from fcnship.errors import ArtifactError, FcnshipError, UsageError
from fcnship.options import Fit, Flavour, Head, Io, Layout, Options, Precision
from fcnship.sizes import Profile
from fcnship.workspace import StageRecord, Workspace

if TYPE_CHECKING:
    from fcnship.driver import Stage
    from fcnship.events import Events
    from fcnship.session import Session
    from fcnship.training.cluster import Cluster
    from fcnship.verify.checks import Checks

_CAUSES = {
    4: "the variant does not compute what the original computes",
    5: "the variant is less often right than was asked for",
    6: "the variant takes longer than was allowed",
}

Profiles = str | Profile | Sequence[str | Profile]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run folder, the records of its stages and, once there is one, its report (as report.json has it)."""

    folder: Path
    stages: tuple[StageRecord, ...]
    report: dict[str, Any] | None = field(default=None, repr=False)
    kept: bool = True
    """Whether the folder holds the report: compared files leave none where no folder was named."""

    @property
    def passed(self) -> bool:
        """Whether there is a report, and its verdict is pass."""
        return self.report is not None and self.report["verdict"] == "pass"


class BuildOptions(TypedDict, total=False):
    """What ``build`` and its single steps take besides the model; what is left out has its default."""

    profile: Profiles
    """Ranges of sizes, one or more: ``28-224`` (the default), ``28,64,224``, ``28x40-224x320@4``."""
    data: str | Path
    """A built-in data set's name (``digits`` is the default), an .npz file or a folder of images."""
    fit: Fit
    """Images of differing sizes: ``bucket`` (with others like them) or ``letterbox`` (on a background)."""
    skip_bad: bool
    """Go on without images of a folder that cannot be used; the report counts and names them."""
    seed: int
    """The same seed gives the same training."""
    name: str
    """The run folder's name; the model's if left out."""
    out: str | Path
    """Where run folders lie (``artifacts``)."""
    flavour: Flavour
    """Which TensorRT builds the engine: ``auto``, ``tensorrt`` or ``tensorrt_rtx``."""
    layout: Layout
    """The order of the ONNX input: ``nchw`` or ``nhwc``."""
    head: Head
    """What becomes of a map of scores when a dense network is converted: ``average``, ``max`` or ``map``."""
    value_range: tuple[float, float] | None
    """Pixel values that a saved model takes; measured where it is not given."""
    max_slowdown: float | None
    """The ratio of times to the original above which a variant fails: 1.05 allows 5 % more."""
    baseline: str | Path | None
    """An earlier report, or its run folder: no ratio may have grown by more than that, else by 5 %."""
    precision: str | Sequence[str]
    """The precisions to build: ``fp32`` (the default), ``fp32,fp16,int8``."""
    io: Io
    """The type of an FP16 file's input and output: ``fp32`` or ``fp16``."""
    calibration: str | Path
    """How INT8 ranges are found: a recipe's name in ``calibration/`` or its path."""
    int8_budget: float | None
    """Points of accuracy (of 100) that INT8 may cost at any size; the fewest layers stay FP32 for it."""
    keep_fp32: Sequence[str]
    """Keras layers that stay FP32 in every precision."""
    min_accuracy: float | None
    """The share of images, at every size and by every variant, below which a build fails: 0.95."""
    force: bool
    """Do every stage again."""
    events: Events | None
    """Who listens to the run; nobody by default."""


def options_from(model: str | Path, given: BuildOptions) -> Options:
    defaults = Options()
    baseline = given.get("baseline")
    return Options(
        model=str(model),
        profiles=profiles_from(given["profile"]) if "profile" in given else defaults.profiles,
        data=str(given.get("data", defaults.data)),
        seed=given.get("seed", defaults.seed),
        name=given.get("name", defaults.name),
        out=Path(given.get("out", defaults.out)),
        flavour=given.get("flavour", defaults.flavour),
        layout=given.get("layout", defaults.layout),
        head=given.get("head", defaults.head),
        value_range=given.get("value_range", defaults.value_range),
        max_slowdown=given.get("max_slowdown", defaults.max_slowdown),
        baseline=Path(baseline) if baseline else None,
        precisions=precisions_from(given["precision"]) if "precision" in given else defaults.precisions,
        io=given.get("io", defaults.io),
        calibration=str(given.get("calibration", defaults.calibration)),
        int8_budget=given.get("int8_budget", defaults.int8_budget),
        keep_fp32=tuple(given.get("keep_fp32", defaults.keep_fp32)),
        min_accuracy=given.get("min_accuracy", defaults.min_accuracy),
        fit=given.get("fit", defaults.fit),
        skip_bad=given.get("skip_bad", defaults.skip_bad),
    )


def precisions_from(precisions: str | Sequence[str]) -> tuple[Precision, ...]:
    words = precisions.split(",") if isinstance(precisions, str) else precisions
    return cast("tuple[Precision, ...]", tuple(word.strip() for word in words))  # Options checks them


def profiles_from(profiles: Profiles) -> tuple[Profile, ...]:
    several = [profiles] if isinstance(profiles, str | Profile) else profiles
    return tuple(p if isinstance(p, Profile) else Profile.parse(p) for p in several)


def _session(options: Options, events: Events | None) -> Session:
    from fcnship.events import Silence
    from fcnship.session import Session

    return Session(options, events or Silence())


def named_session(options: Options, events: Events | None) -> Session:
    """A session whose model, data and calibration recipe are there.

    A misspelt name must not leave an empty run folder behind, nor be told after the training.
    """
    from fcnship.recipe import Recipe

    session = _session(options, events)
    _ = session.source, session.data_source, session.baseline
    if "int8" in options.precisions:
        from fcnship.precision.calibration import find_calibration

        find_calibration(options.calibration)
    if options.value_range and isinstance(session.source, Recipe):
        raise UsageError(
            "--value-range is for saved models",
            cause=f"{session.source.path} says itself which pixel values it takes",
            next="leave it out, or change VALUE_RANGE in the recipe",
        )
    return session


def run_until(model: str | Path, given: BuildOptions, until: str) -> Run:
    from fcnship.driver import drive
    from fcnship.stages import STAGES
    from fcnship.training.cluster import cluster_of

    names = [stage.name for stage in STAGES]
    stages = STAGES[: names.index(until) + 1]
    session = named_session(options_from(model, given), given.get("events"))
    cluster = cluster_of(os.environ)
    if cluster and not cluster.chief:
        return _followed(session, cluster)
    for stage in stages:
        if stage.name == "engine":
            stage.requires(session)  # a flavour that is not here is told before anything is trained
    with session.workspace.locked():
        drive(stages, session, force=given.get("force", False))
        return _finished(session, reported=until == "report")


def _followed(session: Session, cluster: Cluster) -> Run:
    """Train along with another machine, which alone has a run folder and does the stages that follow."""
    from fcnship.driver import named
    from fcnship.recipe import Recipe
    from fcnship.stages.fitted import follow
    from fcnship.stages.train import Train

    train = Train()
    session.events.stage_started(train.name)
    if isinstance(session.source, Recipe):
        with named(train, []):
            train.requires(session)
            follow(session, session.source, train.inputs(session), cluster)
    else:
        session.events.say(f"{session.source.path.name} is trained already: there is nothing to do here")
    return Run(folder=session.workspace.root, stages=(), kept=False)


def run_again(
    options: Options, stages: Iterable[str], events: Events | None, checks: Checks | None = None
) -> Run:
    """Do stages of an existing run once more, with the options that it was built with."""
    from fcnship.driver import drive
    from fcnship.stages import STAGES

    session = _session(options, events)
    _ = session.baseline
    wanted: list[Stage] = [_checking(stage, checks) for stage in STAGES if stage.name in set(stages)]
    names = [stage.name for stage in STAGES]
    with session.workspace.locked():
        for stage in STAGES[: names.index(wanted[0].name)]:
            check_whole(session.workspace, stage.name)
        drive(wanted, session, force=True)
        return _finished(session, reported=True)


def _checking(stage: Stage, checks: Checks | None) -> Stage:
    """The stage; validate as it was asked for."""
    if checks is None or stage.name != "validate":
        return stage
    from fcnship.stages.validate import Validate

    return Validate(checks)


def check_whole(workspace: Workspace, stage: str) -> None:
    """Refuse to go on from a stage that was never done, has failed, or whose files are not what it made."""
    record = workspace.records().get(stage)
    if record is None or record.status == "failed":
        raise UsageError(
            f"{workspace.root} is not built as far as this needs: "
            + (f"{stage} failed: {record.reason}" if record else f"{stage} was never done"),
            cause="the build was stopped or has failed",
            next="run the same fcnship build again: it goes on from the last whole stage",
        )
    for path, wrong in workspace.damage(record).items():
        raise ArtifactError(
            f"{workspace.path(path)} {wrong}",
            cause="it was changed, cut off or removed after the build",
            next="run the same fcnship build again: it makes what is missing",
        )


def options_of(folder: Path) -> Options:
    """The options with which a run folder was built.

    Raises:
        UsageError: the folder is no run folder.
        ArtifactError: its run.json is damaged.
    """
    if not (folder / "run.json").is_file():
        raise UsageError(
            f"{folder} is no run folder",
            cause="there is no run.json in it",
            next="name a folder that fcnship build made, like artifacts/multiscale",
        )
    run = Workspace(folder).run()
    try:
        kept = dict(run["options"])
        profiles = tuple(Profile.parse(text) for text in kept.pop("profiles"))
        span, baseline = kept.pop("value_range"), kept.pop("baseline", None)
        kept |= {key: tuple(kept[key]) for key in ("precisions", "keep_fp32") if key in kept}
        return Options(
            **kept,
            profiles=profiles,
            value_range=tuple(span) if span else None,
            baseline=Path(baseline) if baseline else None,
            name=folder.resolve().name,
            out=folder.resolve().parent,
        )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        told = error.what if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise ArtifactError(
            f"{folder / 'run.json'} is damaged: its options cannot be read",
            cause=f"it was edited or written by another program ({told})",
            next="remove the file and build again",
        ) from None


def _finished(session: Session, *, reported: bool) -> Run:
    from fcnship.reports.json_report import read_report

    records = tuple(session.workspace.records().values())
    if not reported:
        return Run(folder=session.workspace.root, stages=records)
    found = read_report(session.workspace.path("report.json"))
    run = Run(folder=session.workspace.root, stages=records, report=found)
    if not run.passed:
        raise verdict_of(run)
    return run


def verdict_of(run: Run) -> FcnshipError:
    """The error of a report's first reason. It carries the run, so that a caller can show the report."""
    from fcnship import errors

    assert run.report
    reason = run.report["reasons"][0]
    kinds = (errors.ParityFailed, errors.AccuracyBelowFloor, errors.LatencyExceeded)
    kind = next(kind for kind in kinds if kind.exit_code == reason["code"])
    error = kind(
        reason["text"],
        cause=f"{_CAUSES[reason['code']]}; the report has every size",
        next=f"open {run.folder / 'report.html'}"
        if run.kept
        else "give --out DIR to keep the report and a reproducer",
    )
    error.run = run
    return error
