"""``fcnship doctor --target T FILE.onnx``: files of every kind, exit codes, what is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from lint_graphs import CASES, WEIGHT, conv, conv_model, model, pool, quantized, stored

import fcnship
from fcnship import cli
from fcnship.errors import ArtifactError, UsageError
from fcnship.graph.onnx_layers import KEY
from fcnship.lint.lint import lint_file
from fcnship.lint.storage import LARGEST
from fcnship.lint.targets import TARGETS


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    onnx.save(conv_model(), tmp_path / "clean.onnx")
    return tmp_path / "clean.onnx"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file whose weights lie beside it in weights.bin."""
    path = tmp_path / "model.onnx"
    onnx.save(quantized(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def errors(path: Path) -> list[tuple[str, str]]:
    (found,) = lint_file(path, ["trt10.3"]).targets
    return [(finding.rule, finding.what) for finding in found.findings if finding.severity == "error"]


def test_a_clean_file(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--target", "trt10.3", "--target", "rtx", str(clean)]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        str(clean),
        "trt10.3  clean  TensorRT 10.3",
        "rtx      clean  TensorRT-RTX 1.7 (has no plugins)",
    ]


def test_without_a_target_all_are_checked(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json", str(clean)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [target["target"] for target in facts["targets"]] == list(TARGETS)
    assert facts["passed"] is True


def test_an_error_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = pool("MaxPool", dilations=[2, 2], ceil_mode=1)
    graph.graph.node[0].name = "pool_1/MaxPool"
    graph.metadata_props.add(key=KEY, value='{"pool_1": ["pool_1", 2]}')
    graph.opset_import[0].version = 22
    onnx.save(graph, tmp_path / "bad.onnx")
    assert cli.main(["doctor", "--target", "trt10.3", "--target", "trt11", str(tmp_path / "bad.onnx")]) == 3
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        str(tmp_path / "bad.onnx"),
        "trt10.3  2 errors  TensorRT 10.3",
        "trt11    1 error   TensorRT 11 (checked as 11.0, whose parser knows least)",
        "error    opset 22 is too new: TensorRT 10.3 takes opsets 9 to 20; MaxPool changed since opset 20",
        "         -> export it again: fcnship export writes opset 18",
        "         for trt10.3",
        "error    pool_1/MaxPool (MaxPool, layer pool_1 (call 2)): MaxPool with dilations: TensorRT does not "
        "take it",
        "         -> use a dilated convolution, or a pooling without dilation",
    ]


def test_a_warning_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(CASES["a slice of a constant size"]().model, tmp_path / "cut.onnx")
    assert cli.main(["doctor", "--target", "rtx", str(tmp_path / "cut.onnx")]) == 0
    assert "1 warning" in capsys.readouterr().out


def test_the_facts_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.onnx"
    onnx.save(conv_model(opset=6), path)
    assert cli.main(["doctor", "--json", "--target", "jetpack6", str(path)]) == 3
    assert json.loads(capsys.readouterr().out) == {
        "schema": "fcnship.lint/1",
        "file": str(path),
        "passed": False,
        "targets": [
            {
                "target": "jetpack6",
                "checked": "JetPack 6.1 to 6.2.2",
                "about": "checked as its TensorRT 10.3; JetPack 6.0 has 8.6, which fcnship does not serve",
                "rules": "TensorRT 10.3",
                "passed": False,
                "findings": [
                    {
                        "rule": "opset",
                        "severity": "error",
                        "node": "",
                        "operator": "",
                        "layer": "",
                        "what": "opset 6 is too old: JetPack 6.1 to 6.2.2 takes opsets 9 to 20",
                        "next": "onnx.version_converter.convert_version(model, 18), or export it again: "
                        "fcnship export writes opset 18",
                    }
                ],
            }
        ],
    }


def test_from_python(clean: Path) -> None:
    found = fcnship.doctor(clean, target="rtx")
    assert found.passed
    assert [each.target.name for each in found.targets] == ["rtx"]
    assert [each.target.name for each in fcnship.doctor(clean, target=["rtx", "trt11", "rtx"]).targets] == [
        "rtx",
        "trt11",
    ]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (
            ["--target", "trt10.2", "clean.onnx"],
            2,
            "fcnship: 'trt10.2' is no target\n"
            "  cause: the targets are trt10.3, trt10.16, trt11, rtx, jetpack6, jetpack7\n"
            "  next:  fcnship doctor --target trt10.3 FILE.onnx\n",
        ),
        (
            ["--target", "rtx"],
            2,
            "fcnship: --target needs a file\n"
            "  cause: a target is what an ONNX file is checked for\n"
            "  next:  fcnship doctor --target rtx FILE.onnx\n",
        ),
        (
            ["none.onnx"],
            2,
            "fcnship: none.onnx: no such file\n"
            "  cause: its path is misspelt, or relative to another folder\n"
            "  next:  name one, like artifacts/multiscale/onnx/fp32.onnx\n",
        ),
        (
            ["."],
            2,
            "fcnship: . is a folder, not an ONNX file\n"
            "  cause: one file is checked at a time\n"
            "  next:  name one, like artifacts/multiscale/onnx/fp32.onnx\n",
        ),
    ],
)
def test_wrong_words(
    words: list[str],
    code: int,
    told: str,
    clean: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(clean.parent)
    assert cli.main(["doctor", *words]) == code
    assert capsys.readouterr().err == told


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder, not an ONNX file"):
        lint_file(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a model", conv_model().SerializeToString()[:-20], b"\x08\x08"],
    ids=["empty", "text", "cut off", "a head alone"],
)
def test_what_is_no_onnx_ends_with_8(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as refused:
        lint_file(path)
    assert refused.value.what.startswith(f"{path} cannot be read as ONNX: ")
    assert refused.value.next == "copy it again, or export it again"
    assert cli.main(["doctor", "--target", "rtx", str(path)]) == 8
    assert capsys.readouterr().out == ""


def test_external_data_that_is_there(outside: Path) -> None:
    assert errors(outside) == []


def test_values_in_external_data_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(
        quantized(zero=np.int8(3)), path, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    assert [rule for rule, _ in errors(path)] == ["qdq-zero-point", "qdq-zero-point"]


def test_external_data_that_is_missing(outside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outside.parent / "weights.bin").unlink()
    assert errors(outside) == [("external-data", "external data 'weights.bin' of 's' and 4 more is missing")]
    assert cli.main(["doctor", "--target", "rtx", str(outside)]) == 3
    text = capsys.readouterr().out
    assert "external data 'weights.bin' of 's' and 4 more is missing" in text
    assert "-> copy weights.bin beside model.onnx, whole and under that name" in text


def test_external_data_that_is_cut_off(outside: Path) -> None:
    data = outside.parent / "weights.bin"
    data.write_bytes(data.read_bytes()[:-10])
    ((rule, what),) = errors(outside)
    assert rule == "external-data"
    assert what.startswith("external data 'weights.bin' of 's' and 4 more has ")


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd"])
def test_external_data_outside_the_folder(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(1000))
    graph = conv_model()
    tensor = graph.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.ClearField("raw_data")
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    assert errors(folder / "model.onnx") == [
        (
            "external-data",
            f"external data {location!r} of 'w' lies outside the file's folder, where no reader looks",
        )
    ]


def test_a_file_above_2_gib_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    path.touch()
    os.truncate(path, LARGEST + 1)  # sparse: it takes no room
    assert errors(path) == [
        (
            "file-size",
            "the file has 2,147,483,648 bytes; Protobuf, in which ONNX is written, ends at 2,147,483,647",
        )
    ]


def test_large_weights_are_neither_read_nor_copied(tmp_path: Path) -> None:
    """Weights of 400 MB in another file, never touched: the file itself may be sparse zeros."""
    graph = model([conv()], stored(w=WEIGHT))
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.dims[:] = [10**8 // 9, 1, 3, 3]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    tensor.external_data.add(key="length", value=str(10**8 // 9 * 36))
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
    (tmp_path / "w.bin").touch()
    os.truncate(tmp_path / "w.bin", 10**8 // 9 * 36)
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom fcnship.lint.lint import lint_file\n"
        "assert lint_file(Path(sys.argv[1])).passed\n"
        # Not ru_maxrss: a new process inherits that of the one that started it.
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.onnx")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 300_000  # kilobytes


def test_it_imports_neither_tensorflow_nor_tensorrt(clean: Path) -> None:
    code = (
        "import sys\nfrom fcnship.cli import main\nassert main(['doctor', sys.argv[1]]) == 0\n"
        "heavy = {'tensorflow', 'keras', 'onnxruntime', 'tensorrt', 'tensorrt_rtx', 'polygraphy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(clean)], capture_output=True, check=True)


def test_names_that_steer_a_terminal_are_made_harmless(tmp_path: Path, capsys: Any) -> None:
    graph = pool("MaxPool", dilations=[2, 2])
    graph.graph.node[0].name = "pool\x1b[31m"
    onnx.save(graph, tmp_path / "odd.onnx")
    assert cli.main(["doctor", "--target", "rtx", str(tmp_path / "odd.onnx")]) == 3
    assert "\x1b" not in capsys.readouterr().out
