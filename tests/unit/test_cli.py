"""The command line: help as people see it, words that are wrong, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fcnship import api, cli
from fcnship.errors import ArtifactError, FcnshipError, ModelRefused, ParityFailed, StageFailed
from fcnship.runs import Run
from fcnship.version import __version__

GOLDEN = Path(__file__).parents[1] / "data" / "help"
COMMANDS = [
    *(command.name or command.callback.__name__ for command in cli.app.registered_commands),  # type: ignore[union-attr]
    *(
        f"{group.name} {command.name}"
        for group in cli.app.registered_groups
        for command in group.typer_instance.registered_commands
    ),  # type: ignore[union-attr]
]
NAMES = ["fcnship", *COMMANDS, *(str(group.name) for group in cli.app.registered_groups)]
USED = "this command is used as: "


def helped(*words: str) -> str:
    """Help in a process of its own, at 80 columns and without colour."""
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "_TYPER_FORCE_DISABLE_TERMINAL"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "fcnship", *words, "--help"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def command_of(name: str) -> tuple[str, ...]:
    return () if name == "fcnship" else tuple(name.split())


def golden(name: str) -> Path:
    return GOLDEN / f"{name.replace(' ', '-')}.txt"


@pytest.mark.parametrize("name", NAMES)
def test_help_is_the_golden_one(name: str) -> None:
    """FCNSHIP_UPDATE_GOLDEN=1 writes the files anew."""
    path, text = golden(name), helped(*command_of(name))
    if os.environ.get("FCNSHIP_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80


def test_no_golden_help_is_left_over() -> None:
    assert {*GOLDEN.glob("*")} == {*map(golden, NAMES)}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_an_example(name: str) -> None:
    assert f"Example: fcnship {name}" in golden(name).read_text(encoding="utf-8")


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "--version") == (0, f"{__version__}\n", "")


def test_no_words_are_answered_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys)
    assert (code, err) == (2, "")
    assert "Usage: fcnship" in out


@pytest.mark.parametrize(
    ("words", "what", "used"),
    [
        (["biuld"], "no such command 'biuld'. Did you mean 'build'?", "fcnship [OPTIONS] COMMAND [ARGS]..."),
        (["build", "--profil", "28"], "no such option: --profil", "fcnship build [OPTIONS] [MODEL]"),
        (["build", "--seed", "x"], "invalid value for '--seed': ", "fcnship build [OPTIONS] [MODEL]"),
        (["build", "--seed", "1.5"], "invalid value for '--seed': ", "fcnship build [OPTIONS] [MODEL]"),
        (["build", "--layout", "x"], "invalid value for '--layout': ", "fcnship build [OPTIONS] [MODEL]"),
        (["build", "a", "b"], "got unexpected extra argument", "fcnship build [OPTIONS] [MODEL]"),
        (["build", "--profile"], "option '--profile' requires an argument", "fcnship"),
        (["validate"], "missing argument 'RUN|FILES'", "fcnship validate"),
        (["--nope"], "no such option: --nope", "fcnship [OPTIONS] COMMAND [ARGS]..."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_are_wrong(
    words: list[str], what: str, used: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ran(capsys, *words)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"fcnship: {what}")
    assert lines[1].startswith(f"  cause: {USED}{used}")
    assert lines[2].startswith("  next:  fcnship ")
    assert lines[2].endswith(" --help")


def test_a_report_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two reports, which? And it can be written again only where its run lies beside it."""
    monkeypatch.chdir(tmp_path)
    for folder in ("mine", "other's"):
        Path(folder).mkdir()
        Path(folder, "report.json").write_text("{}", encoding="utf-8")
    Path("other's", "run.json").touch()
    code, out, err = ran(capsys, "diff", "mine", "other's")
    assert (code, out) == (8, "")
    assert err.startswith(
        "fcnship: mine/report.json: this is not a valid fcnship.report/1: schema is missing\n"
    )
    assert err.endswith("  next:  name a report.json or a run folder of fcnship\n")
    code, out, err = ran(capsys, "diff", "other's", "mine")
    assert err.endswith("  next:  write it again: fcnship report 'other'\"'\"'s'\n")


def test_two_forms_of_a_comparison_are_not_asked_for_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "diff", "a", "b", "--json", "--markdown") == (
        2,
        "",
        "fcnship: --markdown does not go with --json\n"
        "  cause: one of them says how standard output is written\n"
        "  next:  leave one of them out\n",
    )


@pytest.mark.parametrize("span", ["3", "a,b", "1,2,3", ","])
def test_a_value_range_is_two_numbers(span: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "build", "--value-range", span) == (
        2,
        "",
        f"fcnship: {span!r} is not a value range\n"
        "  cause: it is two numbers with a comma between them\n"
        "  next:  write it like --value-range 0,255\n",
    )


def doing(result: Any) -> Callable[..., Any]:
    """A command that returns or raises."""

    def command(*arguments: Any, **options: Any) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    return command


REFUSED = ModelRefused("no", cause="why", next="how")


@pytest.mark.parametrize(
    ("raised", "code", "err"),
    [
        (REFUSED, 3, "fcnship: no\n  cause: why\n  next:  how\n"),
        (ArtifactError("in use"), 8, "fcnship: in use\n"),
        (
            SystemExit(143),
            143,
            "fcnship: stopped by SIGTERM\n"
            "  next:  run the same command again: it goes on from the last finished stage,\n"
            "         a training from its last checkpoint\n",
        ),
        (
            KeyboardInterrupt(),
            130,
            "fcnship: stopped by Ctrl-C\n"
            "  next:  run the same command again: it goes on from the last finished stage,\n"
            "         a training from its last checkpoint\n",
        ),
    ],
    ids=repr,
)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_what_ends_a_command_gives_its_exit_code(
    raised: BaseException,
    code: int,
    err: str,
    form: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "report", doing(raised))
    assert ran(capsys, "report", "run", *form) == (code, "", err)


def test_debug_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "report", doing(REFUSED))
    code, out, err = ran(capsys, "report", "--debug", "run")
    assert (code, out) == (3, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("fcnship: no\n  cause: why\n  next:  how\n")


def test_a_bug_shows_it_always(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "report", doing(StageFailed("broke")))
    code, out, err = ran(capsys, "report", "run")
    assert (code, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("fcnship: broke\n")


def test_a_failed_verdict_still_shows_the_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: FcnshipError = ParityFailed("disagrees")
    failed.run = Run(folder=Path("artifacts/x"), stages=())
    monkeypatch.setattr(api, "report", doing(failed))
    assert ran(capsys, "report", "run") == (
        4,
        "Everything is in artifacts/x\n",
        "fcnship: disagrees\n",
    )


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command line, as a shell runs it; ``fcnship`` and ``python`` are those of the tests."""
    begun = {"fcnship": f"'{sys.executable}' -m fcnship", "python": f"'{sys.executable}'"}
    first, _, rest = line.partition(" ")
    return subprocess.run(
        ["bash", "-c", f"{begun[first]} {rest}"],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},  # as a person
    )


@pytest.mark.parametrize("words", ["why", "why --json", "--help", "build --help"])
def test_a_reader_that_leaves_is_no_error(words: str, tmp_path: Path) -> None:
    done = shell(f"fcnship {words} | true; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", ["why", "why --json", "--help"])
def test_a_full_disk_behind_standard_output(words: str, tmp_path: Path) -> None:
    done = shell(f"fcnship {words} >/dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "fcnship: cannot go on: No space left on device: standard output\n"
        "  cause: the disk is full, or a file or folder may not be read or written\n"
        "  next:  make room or change permissions, and run it again\n"
    )


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "0<&- 2>&-"])
def test_without_standard_error_the_exit_code_still_tells(closed: str, tmp_path: Path) -> None:
    done = shell(f"fcnship why no_such_model {closed}", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")


def test_without_standard_output(tmp_path: Path) -> None:
    done = shell("fcnship why >&-", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_file_takes_a_closed_stream_s_place(tmp_path: Path) -> None:
    code = (
        "from fcnship.__main__ import _open_standard_streams; _open_standard_streams(); "
        "print(open('model', 'w').fileno() > 2)"
    )
    done = shell(f'python -c "{code}" 2>&-', tmp_path)
    assert done.stdout == "True\n"


# Sends Ctrl-C to itself when it comes to load a module, then runs ``fcnship --version``.
STOPPED_AT = """
import os, signal, sys

class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
module, sys.argv[1:] = sys.argv[1], ["--version"]
sys.meta_path.insert(0, Presses())
from fcnship.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["fcnship.cli", "fcnship.api", "typer", "fcnship.cli_ship"])
def test_ctrl_c_while_fcnship_is_loaded_is_no_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_AT, module], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_a_command_line_is_parsed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "app", doing(KeyboardInterrupt()))
    code, out, err = ran(capsys, "why")
    assert (code, out) == (130, "")
    assert err.startswith("fcnship: stopped by Ctrl-C\n")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("fcnship bu", ["build"]),
        ("fcnship device ", ["add"]),
        ("fcnship build --pr", ["--profile", "--precision"]),
        ("fcnship build --fit ", ["bucket", "letterbox"]),
        ("fcnship report ", []),  # a path: the shell's own completion
    ],
)
def test_a_shell_completes(words: str, offered: list[str], tmp_path: Path) -> None:
    asked = {
        "_FCNSHIP_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-m", "fcnship"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, offered, "")
