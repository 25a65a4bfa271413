"""Arguments that several commands of fcnship-device share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from fcnship.device.store import DEFAULT_ROOT
from fcnship.errors import UsageError

# A command takes its arguments, tells a person what it does, and gives the facts that its JSON holds.
Command = Callable[[argparse.Namespace], dict[str, Any]]
_RELEASE = re.compile("[0-9a-f]{64}", re.ASCII)
EPILOG = "Each command prints one JSON object on standard output, and text for a person on standard error."


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is an error like any other: exit 2, and JSON."""

    def error(self, message: str) -> NoReturn:
        """Raise it.

        Raises:
            UsageError: always.
        """
        raise UsageError(message, cause="the command line is wrong", next=f"{self.prog} --help")


def add_command(commands: Any, name: str, run: Command, text: str) -> argparse.ArgumentParser:
    """A command's own parser."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, epilog=EPILOG)
    parser.set_defaults(run=run)
    return parser


def path(text: str) -> Path:
    """A path that was given: an empty one (``--root "$UNSET"``) is not the current folder.

    Raises:
        ArgumentTypeError: it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return Path(text)


def add_drop(parser: argparse.ArgumentParser) -> None:
    """The drop: by default the folder that this program lies in."""
    text = "a drop: a folder, a .tar or a .tar.gz (default: the folder that this program lies in)"
    own = Path(sys.argv[0]).resolve().parent
    parser.add_argument("drop", metavar="DROP", nargs="?", type=path, default=own, help=text)


def add_root(parser: argparse.ArgumentParser) -> None:
    """The store: by default the one that this program is live in."""
    text = "where releases are kept (default: %(default)s)"
    parser.add_argument("--root", metavar="DIR", type=path, default=own_root(Path(sys.argv[0])), help=text)


def own_root(program: Path) -> Path:
    """The store that a program lies in as a part of a release: ``~/store/current/fcnship-device rollback`` is
    not to change another one. /data/fcnship for a program that lies elsewhere, as on a stick.
    """
    release = program.resolve().parent
    root = release.parent.parent
    if release.parent.name != "releases" or not _RELEASE.fullmatch(release.name):
        return DEFAULT_ROOT
    return DEFAULT_ROOT if root == DEFAULT_ROOT.resolve() else root


def add_signers(parser: argparse.ArgumentParser) -> None:
    """Whose signature is asked for."""
    text = "refuse what none of these signed; lines of NAME KEY (default: ROOT/allowed_signers if it exists)"
    parser.add_argument("--allowed-signers", metavar="FILE", type=path, help=text)
