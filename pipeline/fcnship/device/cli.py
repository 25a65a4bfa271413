"""fcnship-device: parse, call, print. No logic."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from fcnship.device import cli_run, cli_store
from fcnship.device.arguments import EPILOG, Parser
from fcnship.device.disk import of_system
from fcnship.device.output import only_json_on_stdout, open_standard_files, print_error, print_facts, tell
from fcnship.device.stopping import interrupted, stopped_by_signals
from fcnship.errors import FcnshipError, StageFailed
from fcnship.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    open_standard_files()
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in words if not word.startswith("-")), "")
    try:
        parsed = _parser().parse_args(words)
        with stopped_by_signals(), only_json_on_stdout():
            facts = parsed.run(parsed)
        print_facts(parsed.command, facts)
    except FcnshipError as error:
        return _failed(command, error, error.exit_code)
    except KeyboardInterrupt as stop:
        status, told = interrupted(stop)
        return _failed(command, told, status)
    except Exception as error:  # noqa: BLE001 (what is no fault of the system is printed whole: a bug of ours)
        known = of_system(error)
        if known is None:
            tell(traceback.format_exc())
        return _failed(command, known or _bug(error), (known or StageFailed).exit_code)
    return 0


def _failed(command: str, error: FcnshipError, status: int) -> int:
    print_error(command, error, status)
    return status


def _bug(error: Exception) -> FcnshipError:
    return StageFailed(
        f"{type(error).__name__}: {error}",
        cause="a bug of fcnship-device, or a fault of this device",
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
