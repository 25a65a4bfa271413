"""The commands, from Python. Imports stay light: what a command needs is imported when it is called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from typing_extensions import Unpack

from fcnship.errors import UsageError
from fcnship.options import AverageOf, Fit, Head, Options
from fcnship.runs import (
    BuildOptions,
    Profiles,
    Run,
    named_session,
    options_from,
    options_of,
    profiles_from,
    run_again,
    run_until,
    verdict_of,
)
from fcnship.sizes import Size

if TYPE_CHECKING:
    from fcnship.comparison import Comparison
    from fcnship.conversion import ConvertedFile
    from fcnship.diagnosis import Diagnosis
    from fcnship.driver import Change
    from fcnship.events import Events
    from fcnship.explanation import Explanation
    from fcnship.lint.findings import Linted
    from fcnship.reproduction import Reproduction
    from fcnship.verify.certificate import Certificate
    from fcnship.verify.checks import Checks
    from fcnship.verify.selftest.outcome import SelfTest
    from fcnship.verify.sizes_that_find import SizeSet


def build(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Train, convert, export, build engines, validate and report; what is up to date is left alone.

    ``model`` is a recipe's name, a recipe's path or a saved Keras model.

    Raises:
        FcnshipError: of the exit code that the failure has; ParityFailed if a variant disagrees.
    """
    return run_until(model, options, "report")


def train(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Do ``build`` up to the trained Keras model."""
    return run_until(model, options, "train")


def export(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Do ``build`` up to the SavedModel and the ONNX file."""
    return run_until(model, options, "onnx")


def quantize(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Do ``build`` up to the FP16 and INT8 ONNX files; of both, unless ``precision`` names one."""
    return run_until(model, {"precision": ("fp32", "fp16", "int8"), **options}, "int8")


def engine(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> Run:
    """Do ``build`` up to the TensorRT engine."""
    return run_until(model, options, "engine")


def why(model: str | Path = "multiscale", **options: Unpack[BuildOptions]) -> dict[str, list[Change]]:
    """For each stage, what would make ``build`` with these options do it again. Changes nothing."""
    from fcnship.driver import stale
    from fcnship.stages import STAGES

    return stale(STAGES, named_session(options_from(model, options), None))


def validate(
    *paths: str | Path,
    sizes: SizeSet = "default",
    atol: float | None = None,
    rtol: float | None = None,
    save_outputs: str | Path | None = None,
    load_outputs: str | Path | None = None,
    attribute: bool = False,
    size: str | Size | None = None,
    variant: Sequence[str] = (),
    try_fix: bool = False,
    min_accuracy: float | None = None,
    max_slowdown: float | None = None,
    baseline: str | Path | None = None,
    profile: Profiles = (),
    data: str | Path = "",
    skip_bad: bool = False,
    seed: int = 0,
    value_range: tuple[float, float] | None = None,
    out: str | Path | None = None,
    events: Events | None = None,
) -> Run:
    """Measure the variants of a run folder again and write its report anew; or compare model files.

    Of several files, or one and ``load_outputs``, the first is the reference; parity alone is measured, and
    a report is written where ``out`` names a folder. ``sizes="all"`` compares at every size. ``atol`` and
    ``rtol`` (of the largest output) take the place of the measured tolerance. ``save_outputs`` keeps the
    outputs for another machine's ``load_outputs``. ``attribute`` ranks the layers of the ONNX variants (or of
    those that ``variant`` names) by the error that they add, at ``size`` or where it is worst, and
    ``try_fix`` tries what it suggests. ``min_accuracy``, ``max_slowdown`` and ``baseline`` are those of
    ``build`` and belong to a run folder; ``profile``, ``data``, ``skip_bad``, ``seed``, ``value_range`` and
    ``out`` belong to files.

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
        attribute=attribute,
        attribute_size=Size.parse(size) if isinstance(size, str) else size,
        attribute_variants=tuple(variant),
        try_fix=try_fix,
    )
    gates = _gates(min_accuracy, max_slowdown, baseline)
    words = ("profile", "data", "skip-bad", "seed", "value-range", "out")
    given = (profile, data, skip_bad, seed, value_range, out)
    of_files = {word: value for word, value in zip(words, given, strict=True) if value}
    if len(paths) == 1 and (Path(paths[0]) / "run.json").is_file():
        _refuse_options(of_files, "a run folder has its own")
        options = replace(options_of(Path(paths[0])), **gates)
        return run_again(options, ("validate", "report"), events, checks)
    if len(paths) == 1 and not load_outputs:
        options_of(Path(paths[0]))
    _refuse_options(gates, "accuracy and latency are measured in a run folder")
    return _of_files(tuple(map(Path, paths)), checks, of_files, events)


def _of_files(paths: tuple[Path, ...], checks: Checks, given: dict[str, Any], events: Events | None) -> Run:
    from fcnship.events import Silence
    from fcnship.validation import FilesRequest, validate_files

    out = Path(given["out"]) if "out" in given else None
    request = FilesRequest(
        paths=paths,
        profiles=profiles_from(given.get("profile", ())),
        data=str(given.get("data", "digits")),
        skip_bad=given.get("skip-bad", False),
        seed=given.get("seed", 0),
        value_range=given.get("value-range"),
        checks=checks,
        out=out,
        events=events or Silence(),
    )
    run = Run(folder=out or Path(), stages=(), report=validate_files(request), kept=out is not None)
    if not run.passed:
        raise verdict_of(run)
    return run


def _gates(
    min_accuracy: float | None, max_slowdown: float | None, baseline: str | Path | None
) -> dict[str, Any]:
    limits = {"min_accuracy": min_accuracy, "max_slowdown": max_slowdown}
    gates: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    return gates | ({"baseline": Path(baseline)} if baseline else {})


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


def selftest(run: str | Path | None = None, *, clean: int = 3, events: Events | None = None) -> SelfTest:
    """Put faults into copies of a run and ask the gate that has to catch each; nothing is written to the run.

    Without ``run`` it is artifacts/multiscale, else a small network is made. ``clean`` is how often copies
    without a fault must pass every gate. What was found is returned, whatever it is: see its ``exit_code``.

    Raises:
        UsageError: ``run`` is no run folder, or not built as far as its ONNX file.
        ArtifactError: it is damaged.
    """
    from fcnship.events import Silence
    from fcnship.verify.selftest.runner import selftest as tested

    return tested(Path(run) if run else None, clean, events or Silence())


def report(run: str | Path, *, events: Events | None = None) -> Run:
    """Write the report of a run folder anew from what was measured. Imports no TensorFlow."""
    return run_again(options_of(Path(run)), ("report",), events)


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
    profiles = profiles_from(profile)
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


@overload
def doctor() -> Diagnosis: ...
@overload
def doctor(file: str | Path, *, target: str | Sequence[str] = ()) -> Linted: ...
def doctor(file: str | Path | None = None, *, target: str | Sequence[str] = ()) -> Diagnosis | Linted:
    """What is installed here, what can be built and run with it, and what to do about the rest.

    With an ONNX ``file``: what TensorRT of each ``target`` (all of them if none is named) would not take of
    it, or take for something else; ``passed`` is the verdict. Needs no TensorRT.

    Raises:
        UsageError: there is no such file, or target.
        ArtifactError: it is no ONNX, or damaged.
    """
    if file is not None:
        from fcnship.lint.lint import lint_file

        return lint_file(Path(file), (target,) if isinstance(target, str) else target)
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
    fit: Fit = "bucket",
    skip_bad: bool = False,
    value_range: tuple[float, float] | None = None,
    channels: int = 1,
    classes: int = 10,
) -> ConvertedFile:
    """Convert a model file or a recipe to the file ``out``, which appears whole or not at all.

    With ``prove`` the certificate is written beside it as ``NAME.certificate.json``; ``data`` adds real
    images to it, read as ``fit`` and ``skip_bad`` say. ``trust`` lets a file's own code run. ``channels`` and
    ``classes`` are used for recipes.

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
            fit=fit,
            skip_bad=skip_bad,
            value_range=value_range,
            channels=channels,
            classes=classes,
        )
    )
