"""Every module can be imported by itself, and the light ones bring in none of the heavy libraries."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fcnship

HEAVY = {
    *("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime"),
    *("tensorrt", "tensorrt_rtx", "polygraphy", "sklearn", "h5py", "PIL"),
}
MODULES = [module.name for module in pkgutil.walk_packages(fcnship.__path__, "fcnship.")]
# A fork for each module, after the light libraries: a fresh interpreter for each would take a minute.
ALONE = """
import importlib, os, sys
import numpy, rich.progress, rich.table, typer
import fcnship  # whatever is imported, this comes first
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        importlib.import_module(name)
        print(name, *sorted({module.partition(".")[0] for module in sys.modules} & %r), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
"""


def python(code: str, *words: str, cwd: Path | None = None) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_imports_alone_and_light() -> None:
    lines = python(ALONE % HEAVY, *MODULES).splitlines()
    assert lines == MODULES
    assert len(MODULES) > 60


@pytest.mark.parametrize(
    "words",
    [("--help",), ("build", "--help"), ("--version",), ("why",), ("why", "--data", "digits", "--json")],
    ids=" ".join,
)
def test_looking_imports_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom fcnship.cli import main\n"
        f"assert main({list(words)!r}) == 0\n"
        f"heavy = {HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}\n"
        "assert not heavy, heavy"
    )
    assert python(code, cwd=tmp_path)


def test_the_package_offers_a_function_for_each_command() -> None:
    from fcnship.cli import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    assert commands <= set(fcnship.__all__)
    assert all(getattr(fcnship, name).__doc__ for name in commands)
    assert set(fcnship.__all__) <= {*dir(fcnship)}


def test_the_package_loads_its_functions_late_and_its_errors_with_it() -> None:
    code = (
        "import sys, fcnship; assert 'fcnship.api' not in sys.modules; "
        "print(fcnship.errors.UsageError.exit_code, hasattr(fcnship, 'biuld')); "
        "from fcnship import *; print(build.__module__, drop.__module__, Run.__module__)"
    )
    assert python(code) == "2 False\nfcnship.api fcnship.api_ship fcnship.runs\n"


def test_no_module_takes_the_place_of_a_function() -> None:
    # ``import fcnship.explain`` would put the module where the function of that name was.
    assert not {module.removeprefix("fcnship.") for module in MODULES} & set(fcnship.__all__)
