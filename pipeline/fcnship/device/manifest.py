"""manifest.json of a drop, schema ``fcnship.drop/1``: what is shipped, for which devices, and its proof.

The SHA-256 of its bytes names the release. It is read as a stranger's text: anything that the schema does not
know is refused, because a requirement that is not understood may not be passed over.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import get_args

from fcnship.device.fields import Malformed, Record, number_in, strict_json, text_in
from fcnship.device.manifest_facts import (
    DropFile,
    GoldenFile,
    Manifest,
    NetworkFacts,
    Precision,
    Requires,
    Variant,
)
from fcnship.errors import InputRefused, UsageError
from fcnship.sizes import Profile, Size

__all__ = [
    "DropFile",
    "GoldenFile",
    "Manifest",
    "NetworkFacts",
    "Precision",
    "Requires",
    "Variant",
    "manifest_bytes",
    "no_drop",
    "parse_manifest",
    "read_manifest",
]

SCHEMA = "fcnship.drop/1"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
INSTALLED = "install.json"
MAX_BYTES = 8 << 20
MAX_FILES = 2000

_PART = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}"
_PATH = rf"{_PART}(?:/{_PART}){{0,5}}"
_SHA256 = r"[0-9a-f]{64}"
_VERSION = r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}"
_RESERVED = {MANIFEST, SIGNATURE, INSTALLED}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the drop or release in ``folder``.

    Raises:
        UsageError: there is none.
        InputRefused: it is too large, damaged, or of another schema.
    """
    return parse_manifest(manifest_bytes(folder))


def manifest_bytes(folder: Path) -> bytes:
    """The bytes of a folder's manifest, at most ``MAX_BYTES``. Raises as ``read_manifest``."""
    path = folder / MANIFEST
    try:
        # is_file follows links; a link may lead out of the drop, and a pipe would wait for ever.
        if path.is_symlink() or not path.is_file():
            raise no_drop(folder)
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", next="look at the folder's owner and permissions"
        ) from None
    return text


def no_drop(folder: Path) -> UsageError:
    """That a path holds no drop."""
    return UsageError(
        f"{folder} is no drop",
        cause=f"there is no file {MANIFEST} in it",
        next="name the folder or the .tar that `fcnship drop` made",
    )


def parse_manifest(text: bytes) -> Manifest:
    """A manifest from its bytes.

    Raises:
        InputRefused: it is too large, no JSON, of a schema that is not known, or against the schema.
    """
    if len(text) > MAX_BYTES:
        raise _refused(f"it has more than {MAX_BYTES} bytes")
    try:
        top = Record(strict_json(text), "manifest")
        _check_schema(top.any("schema"))
        manifest = _manifest(top, hashlib.sha256(text).hexdigest())
        _check_whole(manifest)
    except Malformed as error:
        raise _refused(str(error)) from None
    return manifest


def _refused(cause: str) -> InputRefused:
    return InputRefused(
        f"{MANIFEST} is not a manifest of the schema {SCHEMA}",
        cause=cause,
        next="copy the drop again; if it is still so, make it anew with `fcnship drop`",
    )


def _check_schema(schema: object) -> None:
    if schema == SCHEMA:
        return
    newer = isinstance(schema, str) and re.fullmatch(r"fcnship\.drop/[0-9]{1,6}", schema, re.ASCII)
    raise InputRefused(
        f"the drop has the schema {ascii(schema)[:80]}, this fcnship-device knows {SCHEMA} alone",
        cause="it was made by another version of fcnship" if newer else "it is not a drop of fcnship",
        next="use the fcnship-device that lies in the drop itself",
    )


def _manifest(top: Record, sha256: str) -> Manifest:
    profiles = tuple(_profile(row) for row in top.records("profiles", least=1, most=64))
    manifest = Manifest(
        sha256=sha256,
        name=top.text("name"),
        version=top.text("version"),
        created=top.text("created"),
        fcnship=top.text("fcnship"),
        sources=_sources(top.record("sources")),
        network=_network(top.record("network")),
        requires=_requires(top.record("requires")),
        live=top.one_of("live", get_args(Precision)),
        profiles=profiles,
        variants=tuple(_variant(row) for row in top.records("variants", least=1)),
        golden=tuple(_golden(row, profiles) for row in top.records("golden", least=1)),
        files=tuple(_file(row) for row in top.records("files", least=1, most=MAX_FILES)),
        evidence=top.record("evidence").values(),
    )
    top.closed()
    return manifest


def _sources(row: Record) -> dict[str, str]:
    return {text_in(key, row.where): row.text(key, r".*") for key in row.keys()}  # noqa: SIM118


def _network(row: Record) -> NetworkFacts:
    low, high = _two_numbers(row, "value_range")
    network = NetworkFacts(
        input=row.text("input"),
        output=row.text("output"),
        layout=row.one_of("layout", ("nchw", "nhwc")),
        channels=row.whole("channels", least=1),
        classes=row.whole("classes", least=1),
        labels=tuple(text_in(item, place) for item, place in row.items("labels")),
        value_range=(low, high),
        total_stride=row.pair("total_stride"),
        receptive_field=row.pair("receptive_field"),
        minimum_size=Size(*row.pair("minimum_size")),
    )
    row.closed()
    if network.labels and len(network.labels) != network.classes:
        raise Malformed(f"{row.where} has {len(network.labels)} labels for {network.classes} classes")
    return network


def _two_numbers(row: Record, key: str) -> tuple[float, float]:
    low, high = (number_in(item, place) for item, place in row.items(key, least=2, most=2))
    if low >= high:
        raise Malformed(f"{row.place(key)} is {low:g} to {high:g}, which is no range")
    return low, high


def _requires(row: Record) -> Requires:
    tensorrt, capability = row.record("tensorrt"), row.record("compute_capability")
    machines = [text_in(item, place) for item, place in row.items("architectures", least=1)]
    requires = Requires(
        architectures=tuple(machines),
        tensorrt_least=tensorrt.text("least", _VERSION),
        tensorrt_below=tensorrt.text("below", _VERSION),
        compute_capability_least=capability.text("least", _VERSION),
        disk_bytes=row.whole("disk_bytes"),
        memory_bytes=row.whole("memory_bytes"),
    )
    for part in (tensorrt, capability, row):
        part.closed()
    return requires


def _profile(row: Record) -> Profile:
    low, opt, high = (Size(*row.wholes(edge, 2)) for edge in ("min", "opt", "max"))
    least, usual, most = row.wholes("batch", 3)
    row.closed()
    try:
        return Profile(low, opt, high, (least, usual, most))
    except UsageError as error:
        raise Malformed(f"{row.where}: {error.cause}") from None


def _variant(row: Record) -> Variant:
    variant = Variant(
        precision=row.one_of("precision", get_args(Precision)),
        file=row.text("file", _PATH),
        io=row.one_of("io", ("fp32", "fp16")),
        opset=row.whole("opset", least=1, most=1000),
        kept_fp32=tuple(text_in(item, place) for item, place in row.items("kept_fp32")),
    )
    row.closed()
    return variant


def _golden(row: Record, profiles: tuple[Profile, ...]) -> GoldenFile:
    golden = GoldenFile(
        file=row.text("file", _PATH),
        profile=row.whole("profile", most=len(profiles) - 1),
        height=row.whole("height", least=1),
        width=row.whole("width", least=1),
        batch=row.whole("batch", least=1),
        tolerance=_tolerance(row.record("tolerance")),
    )
    row.closed()
    size = Size(golden.height, golden.width)
    if not profiles[golden.profile].serves(size, golden.batch):
        raise Malformed(f"{row.where} is {size} in batches of {golden.batch}: its profile has no such image")
    return golden


def _tolerance(row: Record) -> dict[str, float]:
    found = {name: row.number(name, least=0) for name in get_args(Precision) if name in row.keys()}  # noqa: SIM118
    row.closed()
    return found


def _file(row: Record) -> DropFile:
    entry = DropFile(
        path=row.text("path", _PATH), bytes=row.whole("bytes"), sha256=row.text("sha256", _SHA256)
    )
    row.closed()
    return entry


def _check_whole(manifest: Manifest) -> None:
    """What parts of the manifest say of one another."""
    _check_paths([file.path for file in manifest.files])
    there = {file.path for file in manifest.files}
    for name in [*(v.file for v in manifest.variants), *(g.file for g in manifest.golden)]:
        if name not in there:
            raise Malformed(f"{name} is used and not among manifest.files")
    precisions = [v.precision for v in manifest.variants]
    if len(set(precisions)) != len(precisions):
        raise Malformed("manifest.variants names a precision twice")
    if manifest.live not in precisions:
        raise Malformed(f"manifest.live is {manifest.live}, which is not among the variants")
    for row in manifest.golden:
        if set(row.tolerance) != set(precisions):
            raise Malformed(f"{row.file} has tolerances for {', '.join(sorted(row.tolerance)) or 'nothing'}")
    for index, profile in enumerate(manifest.profiles):
        if all(row.profile != index for row in manifest.golden):
            raise Malformed(f"no golden data prove the profile {profile}")


def _check_paths(paths: list[str]) -> None:
    """Names that would meet on some file system, or that this program writes itself, are refused.

    They are ASCII by their pattern, so letter case is the one way left for two names to be equal.
    """
    folded = [path.lower() for path in paths]
    times = Counter(folded)
    folders = {path[:at] for path in folded for at in range(len(path)) if path[at] == "/"}
    for path, low in zip(paths, folded, strict=True):
        if times[low] > 1:
            raise Malformed(f"manifest.files names {path} twice, but for upper and lower case")
        if low in folders:
            raise Malformed(f"manifest.files has {path} as a file and as a folder")
        if low in _RESERVED:
            raise Malformed(f"manifest.files lists {path}, which is not a file of the drop's own")
