"""``fcnship-device``: what is in it, that it is the same each time, and that it needs nothing from here."""

from __future__ import annotations

import ast
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fcnship.ship.zipapp import LIGHT_MODULES, SHEBANG, zipapp_bytes

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipeline" / "fcnship"
# What a device has, or may have: Pillow, for pictures that are no PNG.
FOREIGN = {"numpy", "tensorrt", "tensorrt_rtx", "onnxruntime", "polygraphy", "PIL", "fcnship"}


@pytest.fixture(scope="module")
def content() -> bytes:
    return zipapp_bytes()


@pytest.fixture(scope="module")
def sources(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_is_the_same_each_time(content: bytes) -> None:
    assert content.startswith(SHEBANG)
    assert hashlib.sha256(zipapp_bytes()).digest() == hashlib.sha256(content).digest()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o644}
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)


def test_it_holds_the_device_s_commands_and_what_they_need(sources: dict[str, bytes]) -> None:
    device = (path for path in (PACKAGE / "device").rglob("*.py"))
    expected = {
        "fcnship/__init__.py",
        *(f"fcnship/{name}.py" for name in LIGHT_MODULES),
        *(f"fcnship/{path.relative_to(PACKAGE).as_posix()}" for path in device),
    }
    assert {name for name in sources if name.startswith("fcnship/")} == expected
    assert sources["fcnship/__init__.py"] == b""
    rest = {name.partition("/")[0] for name in sources} - {"fcnship"}
    assert rest == {"__main__.py", "LICENSE", "polygraphy", next(n for n in rest if n.endswith(".dist-info"))}
    assert "polygraphy/backend/trt/runner.py" in sources
    assert not any(name.startswith("polygraphy/tools/") for name in sources)
    assert b"Apache License" in sources["LICENSE"]
    assert (PACKAGE / "ship" / "LICENSE.txt").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_module_is_python_3_10(sources: dict[str, bytes]) -> None:
    for name, text in sources.items():
        if name.endswith(".py"):
            ast.parse(text, name, feature_version=(3, 10))


def test_its_modules_import_nothing_that_is_not_there(sources: dict[str, bytes]) -> None:
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in sources}
    for name, text in sources.items():
        if name.startswith("fcnship/"):
            for imported in imports(ast.parse(text)):
                top = imported.partition(".")[0]
                assert top in FOREIGN | set(sys.stdlib_module_names), f"{name} imports {imported}"
                if top == "fcnship":
                    parent = imported.rpartition(".")[0]
                    assert imported in modules or parent in modules, f"{name} imports {imported}"


def imports(tree: ast.Module) -> set[str]:
    """Every module, or name of one, that a module imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with nothing but NumPy beside the standard library, as on a fresh device."""
    import numpy

    folder = tmp_path_factory.mktemp("device")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages, own = Path(numpy.__file__).parents[1], folder / "lib" / version / "site-packages"
    for path in packages.glob("numpy*"):
        (own / path.name).symlink_to(path)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def program(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "fcnship-device"
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_it_runs_where_there_is_numpy_alone(python: Path, program: Path, tmp_path: Path) -> None:
    done = run(str(python), "-I", str(program), "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("probe", "verify", "install", "status", "rollback"):
        assert command in done.stdout
    assert run(str(python), "-I", "-c", "import onnx", cwd=tmp_path).returncode == 1


def test_every_module_of_it_can_be_imported_there(
    python: Path, program: Path, sources: dict[str, bytes], tmp_path: Path
) -> None:
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in sources
        if name.startswith("fcnship/") and not name.endswith("__main__.py")
    ]
    code = "import importlib, sys; sys.path.insert(0, sys.argv[1])"
    code += "; list(map(importlib.import_module, sys.argv[2:]))"
    done = run(str(python), "-I", "-c", code, str(program), *modules, "polygraphy.backend.trt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_older_python_is_told_so(sources: dict[str, bytes], tmp_path: Path) -> None:
    entry = tmp_path / "entry.py"
    older = 'import sys\nsys.version_info = (3, 8, 10)\nsys.argv[1:] = ["probe"]\n'
    entry.write_text(older + sources["__main__.py"].decode(), encoding="utf-8")
    done = run(sys.executable, "-I", str(entry), cwd=tmp_path)
    assert done.returncode == 7
    assert done.stdout == (
        '{"schema": "fcnship.device/1", "command": "probe", "ok": false, "error": {"exit": 7, "what": '
        '"Python 3.10 or later is needed, this is 3.8", "cause": "JetPack 5 has Python 3.8: its '
        'TensorRT is too old as well", "next": "use a device with JetPack 6.1 or later"}}\n'
    )
    assert done.stderr == (
        "fcnship-device: Python 3.10 or later is needed, this is 3.8\n"
        "  cause: JetPack 5 has Python 3.8: its TensorRT is too old as well\n"
        "  next:  use a device with JetPack 6.1 or later\n"
    )
    ast.parse(sources["__main__.py"], feature_version=(3, 6))
