"""The commands, from Python. Imports stay light: what a command needs is imported when it is called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from typing_extensions import Unpack

from fcnship.errors import ArtifactError, FcnshipError, UsageError
from fcnship.options import AverageOf, Flavour, Head, Layout, Options
from fcnship.sizes import Profile, Size
from fcnship.workspace import StageRecord, Workspace

if TYPE_CHECKING:
    from fcnship.comparison import Comparison
    from fcnship.conversion import ConvertedFile
    from fcnship.diagnosis import Diagnosis
    from fcnship.driver import Change, Stage
    from fcnship.events import Events
    from fcnship.explanation import Explanation
    from fcnship.reproduction import Reproduction
    from fcnship.session import Session
    from fcnship.verify.certificate import Certificate
    from fcnship.verify.checks import Checks
    from fcnship.verify.sizes_that_find import SizeSet

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
    max_slowdown: float | None
    """The ratio of times to the original above which a variant fails: 1.05 allows 5 % more."""
    baseline: str | Path | None
    """An earlier report, or its run folder: no ratio may have grown by more than that, else by 5 %."""
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


def validate(
    *paths: str | Path,
    sizes: SizeSet = "default",
    atol: float | None = None,
    rtol: float | None = None,
    save_outputs: str | Path | None = None,
    load_outputs: str | Path | None = None,
    max_slowdown: float | None = None,
    baseline: str | Path | None = None,
    profile: Profiles = (),
    data: str | Path = "",
    seed: int = 0,
    value_range: tuple[float, float] | None = None,
    out: str | Path | None = None,
    events: Events | None = None,
) -> Run:
    """Measure the variants of a run folder again and write its report anew; or compare model files.

    Of several files, or one and ``load_outputs``, the first is the reference; parity alone is measured, and
    a report is written where ``out`` names a folder. ``sizes="all"`` compares at every size. ``atol`` and
    ``rtol`` (of the largest output) take the place of the measured tolerance. ``save_outputs`` keeps the
    outputs for another machine's ``load_outputs``. ``max_slowdown`` and ``baseline`` are those of ``build``
    and belong to a run folder; ``profile``, ``data``, ``seed``, ``value_range`` and ``out`` belong to files.

    Raises:
        FcnshipError: as ``build`` does.
    """
    from fcnship.verify.checks import Checks

    checks = Checks(
        sizes=sizes,
        atol=atol,
        rtol=rtol,
        save_outputs=Path(save_outputs) if save_outputs else None,
        load_outputs=Path(load_outputs) if load_outputs else None,
    )
    gates: dict[str, Any] = {} if max_slowdown is None else {"max_slowdown": max_slowdown}
    gates |= {"baseline": Path(baseline)} if baseline else {}
    of_files = {"profile": profile, "data": data, "seed": seed, "value-range": value_range, "out": out}
    of_files = {key: value for key, value in of_files.items() if value}
    if len(paths) == 1 and (Path(paths[0]) / "run.json").is_file():
        _refuse_options(of_files, "a run folder has its own")
        options = replace(options_of(Path(paths[0])), **gates)
        return _again(options, ("validate", "report"), events, checks)
    if len(paths) == 1 and not load_outputs:
        options_of(Path(paths[0]))
    _refuse_options(gates, "files are not timed: latency is measured in a run folder")
    return _of_files(tuple(map(Path, paths)), checks, of_files, events)


def _of_files(paths: tuple[Path, ...], checks: Checks, given: dict[str, Any], events: Events | None) -> Run:
    from fcnship.events import Silence
    from fcnship.validation import FilesRequest, validate_files

    out = Path(given["out"]) if "out" in given else None
    request = FilesRequest(
        paths=paths,
        profiles=_profiles(given.get("profile", ())),
        data=str(given.get("data", "digits")),
        seed=given.get("seed", 0),
        value_range=given.get("value-range"),
        checks=checks,
        out=out,
        events=events or Silence(),
    )
    run = Run(folder=out or Path(), stages=(), report=validate_files(request), kept=out is not None)
    if not run.passed:
        raise _verdict(run)
    return run


def _refuse_options(given: Iterable[str], why: str) -> None:
    for option in given:
        flag = option.replace("_", "-")
        raise UsageError(
            f"--{flag} does not go with what is validated here",
            cause=why,
            next=f"leave out --{flag}",
        )


def reproduce(file: str | Path, model: str | Path | None = None) -> Reproduction:
    """Show a failure again: a file that ``validate`` wrote to ``reproduce/``, on its model or another one.

    Raises:
        ParityFailed: it still fails.
    """
    from fcnship.reproduction import reproduce_file

    return reproduce_file(Path(file), Path(model) if model else None)


def report(run: str | Path, *, events: Events | None = None) -> Run:
    """Write the report of a run folder anew from what was measured. Imports no TensorFlow."""
    return _again(options_of(Path(run)), ("report",), events)


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
    from fcnship.explanation import explanation_of

    wanted = Size.parse(size) if isinstance(size, str) else size
    profiles = _profiles(profile)
    if not profiles:
        known = (Path(model) / "run.json").is_file()
        profiles = options_of(Path(model)).profiles if known else Options().profiles
    return explanation_of(str(model), wanted, profiles, channels, classes)


def diff(
    old: str | Path,
    new: str | Path,
    *,
    max_error_growth: float = 0.5,
    max_accuracy_drop: float = 0.005,
    max_slowdown: float = 1.05,
) -> Comparison:
    """What differs between two reports (each a report.json or a run folder), and what of it is worse.

    An error may grow by ``max_error_growth`` tolerances, an accuracy drop by ``max_accuracy_drop`` (of 1), a
    variant's time over the original's grow ``max_slowdown`` times, its whole interval considered.

    Raises:
        UsageError: there is no report at a path, or a limit is negative.
        ArtifactError: a report cannot be read.
    """
    from fcnship.comparison import Limits, compare
    from fcnship.reports.json_report import report_at

    limits = Limits(
        max_error_growth=max_error_growth, max_accuracy_drop=max_accuracy_drop, max_slowdown=max_slowdown
    )
    return compare(report_at(Path(old)), report_at(Path(new)), limits)


def doctor() -> Diagnosis:
    """What is installed here, what can be built and run with it, and what to do about the rest."""
    from fcnship.diagnosis import diagnose

    return diagnose()


def convert(model: Any, *, head: Head = "map", average_of: AverageOf = "probabilities") -> Any:
    """A Keras model in, a fully convolutional Keras model out: weights moved, never retrained.

    ``average_of`` says what ``head="average"`` averages: ``probabilities``, or the ``scores`` before them.

    Raises:
        ModelRefused: a layer cannot be converted; the message names it and the way out.
    """
    from fcnship.frameworks import import_keras

    import_keras()
    from fcnship.graph.convert import convert as converted

    return converted(model, head=head, average_of=average_of)


def prove(
    original: Any,
    converted: Any,
    *,
    images: Any = None,
    head: Head | None = None,
    seed: int = 0,
    value_range: tuple[float, float] | None = None,
) -> Certificate:
    """Hold a converted Keras model against its original, at the trained size and cell by cell above it.

    ``images`` are real ones of the original's size; random ones always take part. The certificate says what
    is equal, to which tolerance, and which cells differ by right; its ``proved`` is the verdict.

    Raises:
        ModelRefused: the two models do not belong together.
    """
    from fcnship.frameworks import import_keras

    import_keras()
    from fcnship.verify.certificate import prove as certificate_of

    return certificate_of(original, converted, images=images, head=head, seed=seed, value_range=value_range)


def convert_file(
    model: str | Path,
    out: str | Path,
    *,
    head: Head = "map",
    average_of: AverageOf = "probabilities",
    prove: bool = False,
    trust: bool = False,
    data: str | Path = "",
    value_range: tuple[float, float] | None = None,
    channels: int = 1,
    classes: int = 10,
) -> ConvertedFile:
    """Convert a model file or a recipe to the file ``out``, which appears whole or not at all.

    With ``prove`` the certificate is written beside it as ``NAME.certificate.json``; ``data`` adds real
    images to it. ``trust`` lets a file's own code run. ``channels`` and ``classes`` are used for recipes.

    Raises:
        ModelRefused: the model cannot be read or converted.
        ParityFailed: the certificate failed; ``out`` is not written.
    """
    from fcnship.conversion import Request, convert_to_file

    return convert_to_file(
        Request(
            model=str(model),
            out=Path(out),
            head=head,
            average_of=average_of,
            prove=prove,
            trust=trust,
            data=str(data),
            value_range=value_range,
            channels=channels,
            classes=classes,
        )
    )


def _options(model: str | Path, given: BuildOptions) -> Options:
    defaults = Options()
    baseline = given.get("baseline")
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
        max_slowdown=given.get("max_slowdown", defaults.max_slowdown),
        baseline=Path(baseline) if baseline else None,
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
    from fcnship.recipe import Recipe

    session = _session(options, events)
    _ = session.source, session.data_source, session.baseline
    if options.value_range and isinstance(session.source, Recipe):
        raise UsageError(
            "--value-range is for saved models",
            cause=f"{session.source.path} says itself which pixel values it takes",
            next="leave it out, or change VALUE_RANGE in the recipe",
        )
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


def _again(
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
            _check_whole(session.workspace, stage.name)
        drive(wanted, session, force=True)
        return _finished(session, reported=True)


def _checking(stage: Stage, checks: Checks | None) -> Stage:
    """The stage; validate as it was asked for."""
    if checks is None or stage.name != "validate":
        return stage
    from fcnship.stages.validate import Validate

    return Validate(checks)


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
        span, baseline = kept.pop("value_range"), kept.pop("baseline", None)
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
        cause=f"{_CAUSES[reason['code']]}; the report has every size",
        next=f"open {run.folder / 'report.html'}"
        if run.kept
        else "give --out DIR to keep the report and a reproducer",
    )
    error.run = run
    return error
