"""The wheel and the source distribution: what is in them, and that the wheel works outside the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import pytest
from builds import BUILD_TINY, STAGES, TINY, Done, files, outcomes, read

from fcnship.version import __version__

ROOT = Path(__file__).parents[2]
INFO = f"fcnship-{__version__}.dist-info"
UNWANTED = ("__pycache__", ".pyc", ".mypy_cache", "tests/", ".keras", ".npz")

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("build", "hatchling")),
    reason="build and hatchling are not installed: pip install fcnship[dev]",
)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from that."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    return distributions / f"fcnship-{__version__}-py3-none-any.whl"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A virtual environment with the wheel, and beside it the libraries of the Python that runs the tests."""

    folder: Path

    def run(self, *words: str, cwd: Path) -> Done:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            [str(self.folder / "bin" / words[0]), *words[1:]],
            cwd=cwd,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # Behind the environment's own packages: only what is not in it is found there.
    (own / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n", encoding="utf-8")
    return Installed(folder=folder)


def shipped(folder: Path, name: str) -> set[str]:
    """The files of a folder of the checkout by their paths in the package."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {f"{name}/{path}" for path in found if "__pycache__" not in path}


def test_the_wheel_holds_the_package_the_recipes_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {name for name in names if not name.startswith(f"{INFO}/")}
    assert package == (
        shipped(ROOT / "pipeline/fcnship", "fcnship")
        | shipped(ROOT / "models", "fcnship/shipped/models")
        | shipped(ROOT / "calibration", "fcnship/shipped/calibration")
    )
    assert {
        "fcnship/py.typed",
        "fcnship/reports/schema.json",
        "fcnship/reports/report.html.in",
        "fcnship/shipped/models/multiscale.py",
    } <= package
    assert not [name for name in names if any(word in name for word in UNWANTED)]
    assert names - package == {
        f"{INFO}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        said = HeaderParser().parsestr(archive.read(f"{INFO}/METADATA").decode())
        scripts = archive.read(f"{INFO}/entry_points.txt").decode()
    assert (said["Name"], said["Version"]) == ("fcnship", __version__)
    assert (said["License-Expression"], said["Requires-Python"]) == ("Apache-2.0", ">=3.10")
    required = {re.split(r"[^\w-]", line)[0] for line in said.get_all("Requires-Dist", [])}
    assert {"tensorflow", "tf2onnx", "onnx", "onnxruntime", "polygraphy", "tensorrt-rtx"} <= required
    assert scripts.split() == ["[console_scripts]", "fcnship", "=", "fcnship.__main__:main"]


def test_the_source_distribution_is_the_project(distributions: Path) -> None:
    top = f"fcnship-{__version__}"
    with tarfile.open(distributions / f"{top}.tar.gz") as archive:
        names = {name.removeprefix(f"{top}/") for name in archive.getnames()}
    expected = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "constraints.txt", "PKG-INFO"}
    expected |= shipped(ROOT / "pipeline/fcnship", "pipeline/fcnship") | shipped(ROOT / "models", "models")
    assert expected | {"tests/integration/test_package.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("artifacts", ".git/"))]


def test_it_is_the_wheel_that_runs(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("python", "-c", "import fcnship; print(fcnship.__file__)", cwd=tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(installed.folder)


def test_the_shipped_recipe_is_found(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("fcnship", "explain", "multiscale", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["total_stride"], facts["receptive_field"], facts["minimum_size"]) == (32, 252, 4)


def test_it_builds_outside_the_checkout(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    done = installed.run("fcnship", *BUILD_TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(outcomes(done)) == set(STAGES)
    run = tmp_path / "artifacts/tiny"
    assert read(run / "report.json")["verdict"] == "pass"
    assert {"onnx/fp32.onnx", "report.html", "junit.xml", "savedmodel/saved_model.pb"} <= files(run)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.py", "artifacts"}
