"""manifest.json as a stranger may write it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from drops import Made
from refusals import refused

from fcnship.device.manifest import MAX_BYTES, parse_manifest, read_manifest
from fcnship.sizes import Profile, Size

Change = Callable[[dict[str, Any]], object]
_NEXT = "\n  next:  copy the drop again; if it is still so, make it anew with `fcnship drop`"
_WHAT = "manifest.json is not a manifest of the schema fcnship.drop/1\n  cause: "


def test_a_whole_manifest(drop: Made) -> None:
    manifest = read_manifest(drop.folder)
    assert manifest.sha256 == hashlib.sha256((drop.folder / "manifest.json").read_bytes()).hexdigest()
    assert (manifest.name, manifest.version, manifest.live) == ("tiny", "1", "fp32")
    assert manifest.profiles == (Profile(Size(8, 8), Size(8, 8), Size(16, 16), (1, 1, 4)),)
    assert manifest.network.total_stride == (1, 1)
    assert manifest.input_shape(Size(8, 9), 2) == (2, 1, 8, 9)
    assert [variant.file for variant in manifest.variants] == ["onnx/fp32.onnx", "onnx/fp16.onnx"]
    assert manifest.size_bytes == sum(file.bytes for file in manifest.files)
    assert manifest.evidence == {"verdict": "pass", "parity": [], "accuracy": []}


def test_pairs_and_nhwc(drop: Made) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["network"] |= {"total_stride": [4, 2], "minimum_size": [3, 5], "layout": "nhwc"}

    manifest = read_manifest(drop.rewrite(change).folder)
    assert (manifest.network.total_stride, manifest.network.minimum_size) == ((4, 2), Size(3, 5))
    assert manifest.input_shape(Size(8, 9), 2) == (2, 8, 9, 1)


def test_a_precision_that_is_not_there(drop: Made) -> None:
    assert refused(lambda: read_manifest(drop.folder).variant("int8")) == (
        2,
        "the drop tiny 1 holds no int8\n"
        "  cause: it was made with fp32, fp16\n"
        "  next:  name one of fp32, fp16 with --precision",
    )


def test_no_manifest(drop: Made) -> None:
    (drop.folder / "manifest.json").unlink()
    assert refused(lambda: read_manifest(drop.folder)) == (
        2,
        f"{drop.folder} is no drop\n"
        "  cause: there is no file manifest.json in it\n"
        "  next:  name the folder or the .tar that `fcnship drop` made",
    )


def test_a_link_is_no_manifest(drop: Made) -> None:
    (drop.folder / "manifest.json").rename(drop.folder.parent / "elsewhere")
    (drop.folder / "manifest.json").symlink_to(drop.folder.parent / "elsewhere")
    assert refused(lambda: read_manifest(drop.folder))[0] == 2


@pytest.mark.parametrize(
    ("schema", "cause"),
    [
        ("fcnship.drop/2", "it was made by another version of fcnship"),
        ("fcnship.run/1", "it is not a drop of fcnship"),
        (None, "it is not a drop of fcnship"),
        ("\x1b[2J", "it is not a drop of fcnship"),
    ],
)
def test_another_schema(schema: object, cause: str) -> None:
    assert refused(lambda: parse_manifest(json.dumps({"schema": schema}).encode())) == (
        3,
        f"the drop has the schema {schema!a}, this fcnship-device knows fcnship.drop/1 alone\n"
        f"  cause: {cause}\n"
        "  next:  use the fcnship-device that lies in the drop itself",
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"", "line 1, column 1: Expecting value"),
        (b"{", "line 1, column 2: Expecting property name enclosed in double quotes"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b'"\xed\xa0\x80"', "byte 1 is not UTF-8"),
        (b"[]", "manifest is a list, not an object"),
        (b"null", "manifest is null, not an object"),
        (b"1", "manifest is a number, not an object"),
        (b"{}", "manifest.schema is missing"),
        (b'{"schema": "fcnship.drop/1", "schema": "x"}', "the key 'schema' stands twice in one object"),
        (b'{"a": {"b": 1, "b": 1}}', "the key 'b' stands twice in one object"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": %s}' % (b"9" * 5000), "a number has 5000 digits"),
        (b"[" * 200_000, "it is nested too deep"),
        (b" " * (MAX_BYTES + 1), f"it has more than {MAX_BYTES} bytes"),
    ],
)
def test_not_even_json(text: bytes, cause: str) -> None:
    assert refused(lambda: parse_manifest(text)) == (3, _WHAT + cause + _NEXT)


def _set(*path: str | int, to: object) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def _drop_key(*path: str | int) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


def _file(path: str) -> Change:
    return lambda manifest: manifest["files"].append({"path": path, "bytes": 0, "sha256": "0" * 64})


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (_drop_key("name"), "manifest.name is missing"),
        (_set("name", to=7), "manifest.name is a number, not text"),
        (_set("name", to=""), "manifest.name is '', which does not fit"),
        (_set("name", to="a\nb"), "manifest.name is 'a\\nb', which does not fit"),
        (_set("version", to="\x1b[2J"), "manifest.version is '\\x1b[2J', which does not fit"),
        (_set("surprise", to=1), "manifest has an unknown key 'surprise'"),
        (_set("requires", "cuda", to="13"), "manifest.requires has an unknown key 'cuda'"),
        (_set("requires", "tensorrt", "least", to="ten"), "manifest.requires.tensorrt.least is 'ten', "
         "which does not fit"),
        (_set("requires", "architectures", to=[]),
         "manifest.requires.architectures has 0 entries, not 1 to 100000"),
        (_set("requires", "disk_bytes", to=-1),
         f"manifest.requires.disk_bytes is -1, not between 0 and {1 << 50}"),
        (_set("requires", "disk_bytes", to=1.5), "manifest.requires.disk_bytes is 1.5, not a whole number"),
        (_set("requires", "disk_bytes", to=True), "manifest.requires.disk_bytes is True, not a whole number"),
        (_set("network", "layout", to="chw"), "manifest.network.layout is 'chw', not one of nchw, nhwc"),
        (_set("network", "labels", to=["a"]), "manifest.network has 1 labels for 3 classes"),
        (_set("network", "total_stride", to=[1]), "manifest.network.total_stride is [1], "
         "not a list of 2 whole numbers"),
        (_set("network", "minimum_size", to=0),
         f"manifest.network.minimum_size is 0, not between 1 and {1 << 50}"),
        (_set("network", "value_range", 1, to="x"), "manifest.network.value_range[1] is 'x', not a number"),
        (_set("network", "value_range", to=[1, 1]),
         "manifest.network.value_range is 1 to 1, which is no range"),
        (_set("live", to="int8"), "manifest.live is int8, which is not among the variants"),
        (_set("live", to="best"), "manifest.live is 'best', not one of fp32, fp16, int8"),
        (_set("profiles", to=[]), "manifest.profiles has 0 entries, not 1 to 64"),
        (_set("profiles", 0, "max", to=[4, 4]),
         "manifest.profiles[0]: its maximum 4x4 is smaller than its minimum 8x8"),
        (_set("profiles", 0, "batch", to=[1, 9, 4]), "manifest.profiles[0]: the batches 1, 9, 4 do not rise"),
        (_set("variants", 0, "file", to="onnx/../../x"), "manifest.variants[0].file is 'onnx/../../x', "
         "which does not fit"),
        (_set("variants", 0, "file", to="gone.onnx"), "gone.onnx is used and not among manifest.files"),
        (_set("variants", 1, "precision", to="fp32"), "manifest.variants names a precision twice"),
        (_set("golden", 0, "profile", to=1), "manifest.golden[0].profile is 1, not between 0 and 0"),
        (_set("golden", 0, "batch", to=5), "manifest.golden[0] is 8x8 in batches of 5: "
         "its profile has no such image"),
        (_set("golden", 0, "tolerance", to={"fp32": 1}), "golden/p0-8x8-b2.npz has tolerances for fp32"),
        (_set("golden", 0, "tolerance", "fp32", to=-1),
         "manifest.golden[0].tolerance.fp32 is -1, less than 0"),
        (_set("golden", 0, "tolerance", "\x1b[31mRED", to=1),
         "manifest.golden[0].tolerance has an unknown key '\\x1b[31mRED'"),
        (_set("files", 0, "sha256", to="0" * 63),
         f"manifest.files[0].sha256 is '{'0' * 63}', which does not fit"),
        (_set("files", to={}), "manifest.files is an object, not a list"),
        (_file("/etc/passwd"), "manifest.files[6].path is '/etc/passwd', which does not fit"),
        (_file("../x"), "manifest.files[6].path is '../x', which does not fit"),
        (_file("onnx/./x"), "manifest.files[6].path is 'onnx/./x', which does not fit"),
        (_file("a//b"), "manifest.files[6].path is 'a//b', which does not fit"),
        (_file("C:\\x"), "manifest.files[6].path is 'C:\\\\x', which does not fit"),
        (_file("a\x00b"), "manifest.files[6].path is 'a\\x00b', which does not fit"),
        (_file("golden/stra\u00dfe"), "manifest.files[6].path is 'golden/stra\\xdfe', which does not fit"),
        (_file("readme.md"), "manifest.files names README.md twice, but for upper and lower case"),
        (_file("onnx"), "manifest.files has onnx as a file and as a folder"),
        (_file("Manifest.json"), "manifest.files lists Manifest.json, which is not a file of the drop's own"),
        (_file("install.json"), "manifest.files lists install.json, which is not a file of the drop's own"),
    ],
)  # fmt: skip
def test_against_the_schema(drop: Made, change: Change, cause: str) -> None:
    manifest = drop.manifest
    change(manifest)
    assert refused(lambda: parse_manifest(json.dumps(manifest).encode())) == (3, _WHAT + cause + _NEXT)


def test_a_profile_without_golden_data(drop: Made) -> None:
    manifest = drop.manifest
    manifest["profiles"].append({"min": [16, 16], "opt": [16, 16], "max": [32, 32], "batch": [1, 1, 4]})
    code, message = refused(lambda: parse_manifest(json.dumps(manifest).encode()))
    assert (code, message) == (3, f"{_WHAT}no golden data prove the profile 16,16,32@1,1,4{_NEXT}")


def test_whatever_is_cut_off_is_refused(drop: Made) -> None:
    """No beginning of a manifest is one, and no exception but a refusal comes out of any."""
    text = (drop.folder / "manifest.json").read_bytes()
    for end in range(0, len(text) - 1, 7):
        assert refused(lambda end=end: parse_manifest(text[:end]))[0] == 3  # type: ignore[misc]
