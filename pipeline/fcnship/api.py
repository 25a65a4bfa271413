"""The commands, from Python. Imports stay light: what a command needs is imported when it is called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from typing_extensions import Unpack

from fcnship.errors import ArtifactError, FcnshipError, UsageError
from fcnship.options import Flavour, Head, Layout, Options
from fcnship.sizes import Profile, Size
from fcnship.workspace import StageRecord, Workspace

if TYPE_CHECKING:
    from fcnship.doctor import Diagnosis
    from fcnship.driver import Change, Stage
    from fcnship.events import Events
    from fcnship.explain import Explanation
    from fcnship.session import Session

Profiles = str | Profile | Sequence[str | Profile]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run folder, the records of its stages and, once there is one, its report (as report.json has it)."""

    folder: Path
    stages: tuple[StageRecord, ...]
    report: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        """Whether there is a report, and its verdict is pass."""
        return self.report is not None and self.report["verdict"] == "pass"


class BuildOptions(TypedDict, total=False):
    """What ``build`` and its single steps take besides the model; what is left out has its default."""

    profile: Profiles
    """Ranges of sizes, one or more: ``28-224`` (the default), ``28,64,224``, ``28x40-224x320@4``."""
    data: str | Path
    """A built-in data set's name (``digits`` is the default) or an .npz file."""
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
    force: bool
    """Do every stage again."""
    events: Events | None
    """Who listens to the run; nobody by default."""


def build(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Train, convert, export, build engines, validate and report; what is up to date is left alone.

    ``model`` is a recipe's name, a recipe's path or a saved Keras model.

    Raises:
        FcnshipError: of the exit code that the failure has; ParityFailed if a variant disagrees.
    """
    return _run(model, options, "report")


def train(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Do ``build`` up to the trained Keras model."""
    return _run(model, options, "train")


def export(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Do ``build`` up to the SavedModel and the ONNX file."""
    return _run(model, options, "onnx")


def engine(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Do ``build`` up to the TensorRT engine."""
    return _run(model, options, "engine")


def why(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> dict[str, list[Change]]:
    """For each stage, what would make ``build`` with these options do it again. Changes nothing."""
    from fcnship.driver import stale
    from fcnship.stages import STAGES

    return stale(STAGES, _named_session(_options(model, options), None))


def validate(run: str | Path, *, events: Events | None = None) -> Run:
    """Measure the variants of a run folder again and write its report anew.

    Raises:
        FcnshipError: as ``build`` does.
    """
    return _again(run, ("validate", "report"), events)


def report(run: str | Path, *, events: Events | None = None) -> Run:
    """Write the report of a run folder anew from what was measured. Imports no TensorFlow."""
    return _again(run, ("report",), events)


def explain(
    model: str | Path = "multiscale",
    *,
    size: str | Size | None = None,
    profile: Profiles = (),
    channels: int = 1,
    classes: int = 10,
) -> Explanation:
    """A network's geometry and, with ``size``, the map it makes there, what one pass costs and which profile
    serves it. ``channels`` and ``classes`` are used for recipes; a run folder is explained from its records
    and, unless ``profile`` is given, for its own profiles.
    """
    from fcnship.explain import explanation_of

    wanted = Size.parse(size) if isinstance(size, str) else size
    profiles = _profiles(profile)
    if not profiles:
        known = (Path(model) / "run.json").is_file()
        profiles = options_of(Path(model)).profiles if known else Options().profiles
    return explanation_of(str(model), wanted, profiles, channels, classes)


def doctor() -> Diagnosis:
    """What is installed here, what can be built and run with it, and what to do about the rest."""
    from fcnship.doctor import diagnose

    return diagnose()


def convert(model: Any, *, head: Head = "map") -> Any:
    """A Keras model in, a fully convolutional Keras model out: weights moved, never retrained.

    Raises:
        ModelRefused: a layer cannot be converted; the message names it and the way out.
    """
    from fcnship.frameworks import import_keras

    import_keras()
    from fcnship.graph.convert import convert as converted

    return converted(model, head=head)


def _options(model: str | Path, given: BuildOptions) -> Options:
    defaults = Options()
    return Options(
        model=str(model),
        profiles=_profiles(given["profile"]) if "profile" in given else defaults.profiles,
        data=str(given.get("data", defaults.data)),
        seed=given.get("seed", defaults.seed),
        name=given.get("name", defaults.name),
        out=Path(given.get("out", defaults.out)),
        flavour=given.get("flavour", defaults.flavour),
        layout=given.get("layout", defaults.layout),
        head=given.get("head", defaults.head),
        value_range=given.get("value_range", defaults.value_range),
    )


def _profiles(profiles: Profiles) -> tuple[Profile, ...]:
    several = [profiles] if isinstance(profiles, str | Profile) else profiles
    return tuple(p if isinstance(p, Profile) else Profile.parse(p) for p in several)


def _session(options: Options, events: Events | None) -> Session:
    from fcnship.events import Silence
    from fcnship.session import Session

    return Session(options, events or Silence())


def _named_session(options: Options, events: Events | None) -> Session:
    """A session whose model and data are there: a misspelt name must not leave an empty run folder behind."""
    session = _session(options, events)
    _ = session.source, session.data_source
    return session


def _run(model: str | Path, given: BuildOptions, until: str) -> Run:
    from fcnship.driver import drive
    from fcnship.stages import STAGES

    names = [stage.name for stage in STAGES]
    stages = STAGES[: names.index(until) + 1]
    session = _named_session(_options(model, given), given.get("events"))
    for stage in stages:
        if stage.name == "engine":
            stage.requires(session)  # a flavour that is not here is told before anything is trained
    with session.workspace.locked():
        drive(stages, session, force=given.get("force", False))
        return _finished(session, reported=until == "report")


def _again(run: str | Path, stages: Iterable[str], events: Events | None) -> Run:
    """Do stages of an existing run once more, with the options that it was built with."""
    from fcnship.driver import drive
    from fcnship.stages import STAGES

    session = _session(options_of(Path(run)), events)
    wanted: list[Stage] = [stage for stage in STAGES if stage.name in set(stages)]
    with session.workspace.locked():
        for stage in STAGES[: STAGES.index(wanted[0])]:
            _check_whole(session.workspace, stage.name)
        drive(wanted, session, force=True)
        return _finished(session, reported=True)


def _check_whole(workspace: Workspace, stage: str) -> None:
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
        span = kept.pop("value_range")
        return Options(
            **kept,
            profiles=profiles,
            value_range=tuple(span) if span else None,
            name=folder.resolve().name,
            out=folder.resolve().parent,
        )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise ArtifactError(
            f"{folder / 'run.json'} is damaged: its options cannot be read",
            cause=error.what if isinstance(error, UsageError) else f"{type(error).__name__}: {error}",
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
        raise _verdict(run)
    return run


def _verdict(run: Run) -> FcnshipError:
    """The error of a report's first reason. It carries the run, so that a caller can show the report."""
    from fcnship import errors

    assert run.report
    reason = run.report["reasons"][0]
    kinds = (errors.ParityFailed, errors.AccuracyBelowFloor, errors.LatencyExceeded)
    kind = next(kind for kind in kinds if kind.exit_code == reason["code"])
    error = kind(
        reason["text"],
        cause="the variant does not compute what the original computes; the report has every size",
        next=f"open {run.folder / 'report.html'}",
    )
    error.run = run
    return error
