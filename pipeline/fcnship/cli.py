"""The command line: parse, call, print. No logic."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from fcnship import api, cli_convert, cli_doctor, cli_selftest, cli_ship, cli_validate
from fcnship.cli_build import GATES, OF_PRECISION, Json, takes_build_options
from fcnship.errors import FcnshipError, UsageError
from fcnship.runs import BuildOptions, Run

# Exit codes of a process that a signal ended: 128 and the signal's number.
STOPPED = {129: "the end of its terminal", 130: "Ctrl-C", 143: "SIGTERM"}

app = typer.Typer(
    name="fcnship",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Ship a Keras image network to edge devices, right at any image size in a range.",
    epilog="A traceback of an error: put --debug anywhere. Loading a recipe or MODEL.py runs its code.",
)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, like artifacts/multiscale.")]


@app.command(epilog="Example: fcnship build --profile 28-224 --precision fp32,fp16,int8")
@takes_build_options()
def build(model: str, given: BuildOptions, as_json: bool) -> None:
    """Train, convert, export, narrow, build engines, validate, report: all of it."""
    _shown(api.build, model, given, as_json, summarised=True)


@app.command(epilog="Example: fcnship train multiscale --data mnist --profile 28-224")
@takes_build_options(without=("precision", *OF_PRECISION, *GATES))
def train(model: str, given: BuildOptions, as_json: bool) -> None:
    """Do a build up to the trained Keras model."""
    _shown(api.train, model, given, as_json)


@app.command(epilog="Example: fcnship export my.keras --data my.npz")
@takes_build_options(without=("precision", *OF_PRECISION, *GATES))
def export(model: str, given: BuildOptions, as_json: bool) -> None:
    """Do a build up to the SavedModel and the ONNX file."""
    _shown(api.export, model, given, as_json)


@app.command(epilog="Example: fcnship quantize my.keras --data my.npz --precision int8")
@takes_build_options(without=GATES, precision="fp32,fp16,int8")
def quantize(model: str, given: BuildOptions, as_json: bool) -> None:
    """Do a build up to the FP16 and INT8 ONNX files."""
    _shown(api.quantize, model, given, as_json)


@app.command(epilog="Example: fcnship engine --profile 28-64 --profile 64-224")
@takes_build_options(without=GATES)
def engine(model: str, given: BuildOptions, as_json: bool) -> None:
    """Do a build up to the TensorRT engines, one optimisation profile a --profile."""
    _shown(api.engine, model, given, as_json)


app.command(epilog=cli_convert.EXAMPLE)(cli_convert.convert)


app.command(epilog=cli_validate.EXAMPLE)(cli_validate.validate)
app.command(epilog=cli_validate.EXAMPLE_AGAIN)(cli_validate.reproduce)
app.command(epilog=cli_selftest.EXAMPLE)(cli_selftest.selftest)


@app.command(epilog="Example: fcnship report artifacts/multiscale")
def report(run: RunFolder, as_json: Json = False) -> None:
    """Show a run's report, and write its files anew."""
    show_outcome(as_json, lambda events: api.report(run, events=events))


@app.command(epilog="Example: fcnship diff main/report.json artifacts/multiscale/report.json")
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A report.json, or a run folder.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The one that may not be worse.")],
    max_error_growth: Annotated[
        float, typer.Option(metavar="TOLERANCES", help="How much of its tolerance an error may grow.")
    ] = 0.5,
    max_accuracy_drop: Annotated[float, typer.Option(metavar="SHARE", help="0.005 is half a point.")] = 0.005,
    max_slowdown: Annotated[
        float, typer.Option(metavar="RATIO", help="How many times a ratio to the original may grow.")
    ] = 1.05,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a job summary.")] = False,
    as_json: Json = False,
) -> None:
    """Say what differs between two reports: exit 4, 5 or 6 if parity, accuracy or latency is worse."""
    from fcnship import terminal

    if markdown and as_json:
        raise UsageError(
            "--markdown does not go with --json",
            cause="one of them says how standard output is written",
            next="leave one of them out",
        )
    found = api.diff(
        old,
        new,
        max_error_growth=max_error_growth,
        max_accuracy_drop=max_accuracy_drop,
        max_slowdown=max_slowdown,
    )
    terminal.show_comparison(found, as_json, markdown)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


@app.command(epilog="Example: fcnship why --profile 28-320")
@takes_build_options(without=("force",))
def why(model: str, given: BuildOptions, as_json: bool) -> None:
    """Say what the next build would redo, and for which changed input."""
    from fcnship import terminal

    terminal.show_changes(api.why(model, **given), as_json)


@app.command(epilog="Example: fcnship explain multiscale --size 37x53")
def explain(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A recipe's name or path, a .keras file or a run folder.")
    ] = "multiscale",
    size: Annotated[str, typer.Option(metavar="SIZE", help="28 or 37x53: the map and the cost there.")] = "",
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="SIZES", help="28-224; a run folder's own if left out."),
    ] = None,
    channels: Annotated[int, typer.Option(metavar="N", help="Channels, for a recipe.")] = 1,
    classes: Annotated[int, typer.Option(metavar="N", help="Classes, for a recipe.")] = 10,
    as_json: Json = False,
) -> None:
    """Show a network's geometry: legal sizes, and which profile serves one."""
    from fcnship import terminal

    with terminal.kept_for_facts():
        found = api.explain(
            model, size=size or None, profile=profile or (), channels=channels, classes=classes
        )
    terminal.show_explanation(found, as_json)


app.command(epilog=cli_doctor.EXAMPLE)(cli_doctor.doctor)
app.command(epilog=cli_ship.DROP_EXAMPLE)(cli_ship.drop)
app.command(epilog=cli_ship.DEPLOY_EXAMPLE)(cli_ship.deploy)
app.add_typer(cli_ship.device, name="device")


def _version(wanted: bool) -> None:
    if wanted:
        from fcnship.version import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Ship a Keras image network to edge devices, right at any image size in a range."""


def _shown(
    function: Callable[..., Run], model: str, given: BuildOptions, as_json: bool, summarised: bool = False
) -> None:
    show_outcome(as_json, lambda events: function(model, **{**given, "events": events}), summarised)


def show_outcome(as_json: bool, command: Callable[[Any], Run], summarised: bool = False) -> None:
    """Run a command that gives a run, with progress on standard error and the outcome on standard output.

    A CI server's job summary is given the outcome too, where it is asked for.
    """
    from fcnship import terminal

    with terminal.listening() as events:
        try:
            with terminal.kept_for_facts():
                run = command(events)
        except FcnshipError as error:
            if error.run is not None:
                terminal.show_run(error.run, as_json, summarised)
            raise
    terminal.show_run(run, as_json, summarised)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        return _ended(app(words, prog_name="fcnship", standalone_mode=False) or 0)
    except KeyboardInterrupt:  # typer tells of those that came while it ran a command
        return _ended(128 + signal.SIGINT)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            return 0  # a reader that has gone while help was printed
        return _ended(int(ended.code or 0))
    except typer.TyperException as error:
        return _refused(_misused(error), debug) if error.format_message() else error.exit_code
    except FcnshipError as error:
        return _refused(error, debug)
    except OSError as error:
        return _refused(_unusable(error), debug)


def _unusable(error: OSError) -> UsageError:
    """A stream, file or folder that the system did not let us use."""
    from fcnship import terminal

    if error.filename is None:
        terminal.stop_writing_to(sys.stdout)
    return UsageError(
        f"cannot go on: {error.strerror}: {error.filename or 'standard output'}",
        cause="the disk is full, or a file or folder may not be read or written",
        next="make room or change permissions, and run it again",
    )


def _refused(error: FcnshipError, debug: bool) -> int:
    from fcnship import terminal

    if debug or error.exit_code == 1:
        import traceback

        traceback.print_exc()
    terminal.complain(str(error))
    return error.exit_code


def _misused(error: typer.TyperException) -> UsageError:
    """What typer says of a command line, as an error of the tree."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "fcnship"
    used = " ".join(context.get_usage().split()[1:]) if context else f"{command} COMMAND"
    what = error.format_message().replace("Value error, ", "").rstrip(".")
    return UsageError(
        what[0].lower() + what[1:], cause=f"this command is used as: {used}", next=f"{command} --help"
    )


def _ended(code: int) -> int:
    """Say of a command that was stopped from outside that nothing is lost."""
    from fcnship import terminal

    if code in STOPPED:
        terminal.complain(
            f"stopped by {STOPPED[code]}\n"
            "  next:  run the same command again: it goes on from the last finished stage,\n"
            "         a training from its last checkpoint"
        )
    return code
