"""fcnship-device: parse, call, print. No logic."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Sequence

from fcnship.device import cli_run, cli_store
from fcnship.device.arguments import EPILOG, Parser
from fcnship.device.disk import of_disk
from fcnship.device.output import print_error, print_facts, say
from fcnship.errors import FcnshipError, StageFailed
from fcnship.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in words if not word.startswith("-")), "")
    try:
        parsed = _parser().parse_args(words)
        # Polygraphy and TensorRT log to standard output, where the JSON is to stand alone.
        with contextlib.redirect_stdout(sys.stderr):
            facts = parsed.run(parsed)
        print_facts(parsed.command, facts)
    except FcnshipError as error:
        print_error(command, error)
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted; what was live is live still")
        return 130
    except Exception as error:  # noqa: BLE001 (what is no fault of a disk is printed whole: a bug of ours)
        known = of_disk(error)
        if known is None:
            traceback.print_exc()
        print_error(command, known or _bug(error))
        return (known or StageFailed).exit_code
    return 0


def _bug(error: Exception) -> FcnshipError:
    return StageFailed(
        f"{type(error).__name__}: {error}",
        cause="a bug of fcnship-device, or a fault of this device; what was live is live still",
        next="report it with the text above and the output of fcnship-device probe",
    )


def _parser() -> Parser:
    text = "Install and run drops of fcnship on this device."
    parser = Parser(prog="fcnship-device", description=text, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"fcnship-device {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    cli_store.add_commands(commands)
    cli_run.add_commands(commands)
    return parser
