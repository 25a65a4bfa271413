"""What the README names is there: files, commands, options, Python's functions."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import fcnship
from fcnship.cli import app
from fcnship.runs import BuildOptions

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = [
    Path("README.md"),
    Path("tests/benchmarks/README.md"),
    Path("calibration/README.md"),
    Path("pipeline/fcnship/ship/ansible/README.md"),
]


def command_lines() -> list[str]:
    """Each line of a shell block or in backquotes that begins with ``fcnship`` and a command."""
    blocks = re.findall(r"```(?:sh|yaml)\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL).replace("\n", " ")
    lines += re.findall(r"`(fcnship [^`]*)`", text)
    found = [re.search(r"(?:^|[ /])(fcnship [a-z].*)", line.strip()) for line in lines]
    return sorted({re.split(r" [|&#]", match[1])[0].strip() for match in found if match})


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_of_the_readme_is_understood(line: str) -> None:
    """Parsed to the end, and not run: a misspelt option or a wrong kind of value would be an error."""
    group: Any = typer.main.get_command(app)
    words = shlex.split(line.replace("artifacts/*", "artifacts/x"))[1:]
    while words and isinstance(command := group.commands[words[0]], type(group)):
        group, words = command, words[1:]
    optional = len(words) == 1  # only named in the text: its arguments are not there
    group.commands[words[0]].make_context(words[0], words[1:], resilient_parsing=optional)


def test_the_command_lines_are_found() -> None:
    assert len(command_lines()) > 25
    assert "fcnship device add jetson@orin.local" in command_lines()


@pytest.mark.parametrize("guide", GUIDES, ids=str)
def test_the_links_and_paths_of_a_guide_lead_somewhere(guide: Path) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (ROOT / guide.parent / link).exists()]
    named = set(re.findall(r"(?:models|calibration|tests/\w+)/\w+\.(?:py|toml|md|sh)\b", text))
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_python_of_the_readme_calls_what_is_there() -> None:
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    [call] = [call for call in calls if ast.unparse(call.func).startswith("fcnship.")]
    assert ast.unparse(call.func).removeprefix("fcnship.") in fcnship.__all__
    assert {word.arg for word in call.keywords} <= set(BuildOptions.__annotations__)
