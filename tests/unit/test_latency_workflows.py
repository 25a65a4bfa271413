"""The README's workflow files: what they run exists, and what they keep is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fcnship.cli import main
from fcnship.stages.report import FILES

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
LINE = re.compile(r"^\s*(?:- )?(?:run: )?(fcnship [^|#\n]*)", re.MULTILINE)
LINES = [line.strip() for block in BLOCKS for line in LINE.findall(block)]
CI = README.partition("## In CI")[2].partition("\n## ")[0]
LINES += [line.strip() for line in LINE.findall(CI.partition("```sh\n")[2].partition("```")[0])]


def test_there_is_one_for_each_server() -> None:
    github, gitlab = BLOCKS
    assert "actions/checkout" in github and "GITHUB_STEP_SUMMARY" in github
    assert "reports:\n      junit: artifacts/*/junit.xml" in gitlab
    assert len(LINES) == 6


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_the_options_that_they_use_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, command, *words = shlex.split(line)
    assert main([command, "--help"]) == 0
    known = capsys.readouterr().out
    options = [word for word in words if word.startswith("--")]
    assert options or command == "diff"
    assert [option for option in options if option not in known] == []


def test_what_they_keep_is_what_a_build_writes() -> None:
    for block in BLOCKS:
        kept = set(re.findall(r"artifacts/\*/(\S+)", block))
        assert kept == {"report.html", "report.json", "junit.xml"}
        assert kept <= set(FILES)
        assert "cache" in block and "pip install -c constraints.txt ." in block


def test_indentation_is_spaces_and_keys_are_not_repeated() -> None:
    for block in BLOCKS:
        assert "\t" not in block
        top = re.findall(r"^([\w-]+):", block, re.MULTILINE)
        assert len(top) == len(set(top))
