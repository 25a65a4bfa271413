"""Install: live in one step, or nothing changed. And what it refuses."""

from __future__ import annotations

import json
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import ORIN
from drops import DEVICE, Made
from refusals import refused

from fcnship.device.cuda import Gpu, first_gpu
from fcnship.device.install import InstallRequest, install
from fcnship.device.installed import read_installed
from fcnship.device.proving import SelfTestFailed
from fcnship.device.status import status
from fcnship.device.store import Root
from fcnship.device.verify import verify_drop


def installed(drop: Made | Path, root: Path, **options: Any) -> dict[str, Any]:
    """Install on the device that has ONNX Runtime alone."""
    device = options.pop("device", DEVICE)
    place = drop if isinstance(drop, Path) else drop.folder
    return install(InstallRequest(drop=place, root=root, **options), device, lambda line: None)


def entries(root: Path) -> dict[str, str]:
    """All that lies in a root, with what it is; to see that nothing changed."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = "a folder" if path.is_dir() else path.read_bytes().hex()
    return {name: kind for name, kind in found.items() if name != "lock"}


def test_the_first_install(drop: Made, root: Path) -> None:
    facts = installed(drop, root)
    assert (facts["release"], facts["previous"], facts["changed"]) == (drop.release, None, True)
    assert (facts["name"], facts["version"], facts["signer"]) == ("tiny", "1", None)
    assert (facts["backend"], facts["precision"], facts["engine"]) == ("onnxruntime", "fp32", None)
    assert [(row["height"], row["width"], row["passed"]) for row in facts["parity"]] == [
        (8, 8, True),
        (16, 12, True),
    ]
    release = root / "releases" / drop.release
    assert (root / "current").resolve() == release.resolve()
    assert not (root / "previous").exists()
    assert verify_drop(release, None).manifest.sha256 == drop.release
    assert stat.S_IMODE((release / "fcnship-device").stat().st_mode) == 0o755
    assert stat.S_IMODE((release / "onnx/fp32.onnx").stat().st_mode) == 0o644
    assert json.loads((release / "install.json").read_text())["precision"] == "fp32"


def test_the_same_again_changes_nothing(drop: Made, root: Path) -> None:
    first = installed(drop, root)
    before = entries(root)
    again = installed(drop, root)
    assert again == {**first, "changed": False}
    assert entries(root) == before


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive(drop: Made, root: Path, tmp_path: Path, mode: str) -> None:
    with tarfile.open(tmp_path / "d.tar", mode) as archive:  # type: ignore[call-overload]
        archive.add(drop.folder, ".")
    assert installed(tmp_path / "d.tar", root)["changed"]
    assert not installed(drop, root)["changed"]


def test_an_upgrade_and_back(drop: Made, newer: Made, root: Path) -> None:
    installed(drop, root)
    facts = installed(newer, root)
    assert (facts["release"], facts["previous"], facts["changed"]) == (newer.release, drop.release, True)
    facts = installed(drop, root)
    assert (facts["release"], facts["previous"], facts["changed"]) == (drop.release, newer.release, True)


def test_another_precision_of_what_is_live(drop: Made, root: Path) -> None:
    installed(drop, root)
    facts = installed(drop, root, precision="fp16")
    assert (facts["precision"], facts["changed"], facts["previous"]) == ("fp16", True, None)
    assert not installed(drop, root, precision="fp16")["changed"]
    assert installed(drop, root)["precision"] == "fp32"


def test_another_onnxruntime_is_proved_anew(drop: Made, root: Path) -> None:
    installed(drop, root)
    assert installed(drop, root, device=replace(DEVICE, onnxruntime="1.99"))["changed"]
    assert not installed(drop, root, device=replace(DEVICE, onnxruntime="1.99"))["changed"]


def _flip(path: Path) -> None:
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


@pytest.mark.parametrize(
    "damage",
    [
        lambda release: _flip(release / "onnx/fp32.onnx"),
        lambda release: (release / "README.md").unlink(),
        lambda release: (release / "manifest.json").write_text("{}"),
        lambda release: (release / "manifest.json").unlink(),
        lambda release: (release / "extra/deep").mkdir(parents=True),
        lambda release: (release / "onnx").rename(release / "elsewhere"),
        lambda release: ((release / "README.md").unlink(), (release / "README.md").mkdir()),
        lambda release: ((release / "README.md").unlink(), (release / "README.md").symlink_to("/etc/passwd")),
        lambda release: (release / "install.json").write_text("{"),
        lambda release: (release / "install.json").unlink(),
    ],
)
def test_a_damaged_live_release_is_repaired(drop: Made, root: Path, damage: Callable[[Path], object]) -> None:
    installed(drop, root)
    damage(root / "releases" / drop.release)
    assert installed(drop, root)["changed"]
    live = status(root, DEVICE)["current"]
    assert (live["release"], live["whole"]) == (drop.release, True)
    assert not installed(drop, root)["changed"]


def test_a_damaged_drop_of_the_live_release_is_refused_all_the_same(drop: Made, root: Path) -> None:
    installed(drop, root)
    before = entries(root)
    _flip(drop.folder / "README.md")
    assert refused(lambda: installed(drop, root))[0] == 8
    assert entries(root) == before


def test_the_live_release_is_a_drop(drop: Made, root: Path) -> None:
    """``ROOT/current/fcnship-device install`` installs the folder that it lies in."""
    installed(drop, root)
    assert not installed(root / "current", root)["changed"]
    assert installed(root / "current", root.parent / "other")["changed"]


def test_a_dry_run(drop: Made, newer: Made, root: Path) -> None:
    facts = installed(drop, root, dry_run=True)
    size = sum(row["bytes"] for row in drop.manifest["files"])
    assert (facts["changed"], facts["dry_run"]) == (True, True)
    assert facts["would"] == {"copy_bytes": size, "build_engine": False}
    assert not root.exists()
    installed(drop, root)
    before = entries(root)
    assert installed(drop, root, dry_run=True)["changed"] is False
    facts = installed(newer, root, dry_run=True)
    assert (facts["changed"], facts["previous"], entries(root) == before) == (True, drop.release, True)
    _flip(newer.folder / "README.md")
    assert refused(lambda: installed(newer, root, dry_run=True))[0] == 8


# What it refuses.


@pytest.fixture
def live(drop: Made, root: Path) -> dict[str, str]:
    """The first drop installed: what lies in the root."""
    installed(drop, root)
    return entries(root)


def worse(newer: Made) -> Made:
    """A drop whose golden outputs are not its network's, by less at one size than at the other."""
    for name, by in (("p0-8x8-b2", 0.25), ("p0-16x12-b2", 0.125)):
        path = newer.folder / f"golden/{name}.npz"
        with np.load(path) as arrays:
            image, expected = arrays["image"], arrays["expected"]
        np.savez(path, image=image, expected=(expected + by).astype(np.float32))
    return newer.rewrite()


def test_a_parity_beyond_tolerance(newer: Made, root: Path, live: dict[str, str]) -> None:
    assert refused(lambda: installed(worse(newer), root)) == (
        4,
        "tiny 2 at fp32 is not what Keras computes, at 8x8 in batches of 2: "
        "differs by 0.25, 1e-05 is allowed\n"
        "  cause: 2 of 2 checks fail with onnxruntime on this device\n"
        "  next:  keep what is live, or try another --precision; report it to whoever made the drop",
    )
    assert entries(root) == live


def test_the_rows_of_a_failed_self_test_come_with_the_error(newer: Made, root: Path) -> None:
    with pytest.raises(SelfTestFailed) as caught:
        installed(worse(newer), root)
    assert [row["passed"] for row in caught.value.facts["parity"]] == [False, False]
    assert not (root / "current").exists()


def test_a_precision_that_fails_on_the_live_release_leaves_it_live(drop: Made, root: Path) -> None:
    drop.rewrite(lambda m: [row["tolerance"].update(fp16=0.0) for row in m["golden"]])
    installed(drop, root)
    before = entries(root)
    assert refused(lambda: installed(drop, root, precision="fp16"))[0] == 4
    assert entries(root) == before


def test_a_network_that_does_not_open(newer: Made, root: Path, live: dict[str, str]) -> None:
    (newer.folder / "onnx/fp32.onnx").write_bytes(b"no network")
    assert refused(lambda: installed(newer.rewrite(), root))[0] == 8
    assert entries(root) == live


@pytest.mark.parametrize(
    ("change", "code", "first"),
    [
        (lambda m: m.update(schema="fcnship.drop/2"), 3,
         "the drop has the schema 'fcnship.drop/2', this fcnship-device knows fcnship.drop/1 alone"),
        (lambda m: m["requires"].update(architectures=["riscv64"]), 9,
         "this device is x86_64, the drop is for riscv64"),
        (lambda m: m["requires"].update(disk_bytes=1 << 40), 7,
         "the drop needs 1,099,511.6 MB of disk, 68,719.5 MB are free"),
        (lambda m: m["requires"].update(memory_bytes=1 << 40), 7,
         "the drop needs 1,099,511.6 MB of memory, 8,589.9 MB are free"),
        (lambda m: m["network"].update(minimum_size=[8, 9]), 3,
         "the profile 8,8,16@1,1,4 starts at 8x8, tiny needs at least 8x9"),
    ],
)  # fmt: skip
def test_a_drop_that_does_not_fit(
    newer: Made,
    root: Path,
    live: dict[str, str],
    change: Callable[[dict[str, Any]], object],
    code: int,
    first: str,
) -> None:
    refusal = refused(lambda: installed(newer.rewrite(change), root))
    assert (refusal[0], refusal[1].splitlines()[0]) == (code, first)
    assert refusal[1].count("\n") == 2
    assert entries(root) == live


@pytest.mark.parametrize(
    ("device", "code", "first"),
    [
        (replace(DEVICE, machine="riscv64"), 9, "this device is riscv64, the drop is for aarch64 and x86_64"),
        (replace(DEVICE, onnxruntime=None), 7,
         "no NVIDIA GPU answers here, and ONNX Runtime is not installed"),
        (replace(DEVICE, disk_bytes=20_000), 7, "the drop needs 0.1 MB of disk, 0.0 MB are free"),
        (replace(DEVICE, memory_bytes=200_000), 7, "the drop needs 1.0 MB of memory, 0.2 MB are free"),
        (replace(ORIN, compute_capability="7.2"), 9, "Orin has compute capability 7.2, the drop needs 7.5"),
        (replace(ORIN, tensorrt="8.6.2"), 7, "TensorRT 8.6.2 is too old: the drop needs 10.3 or later"),
        (replace(ORIN, tensorrt="11.5.0"), 7,
         "TensorRT 11.5.0 is untested: the drop was made for 10.3 up to, and without, 11.5"),
        (replace(ORIN, tensorrt=None, tensorrt_flavour=None, tensorrt_fault="tensorrt is not installed"), 7,
         "TensorRT for Python is not installed here: tensorrt is not installed"),
        (replace(ORIN, l4t="35.4.1", jetpack="5"), 9,
         "this board runs JetPack 5 (L4T 35.4.1), which fcnship does not support"),
        (replace(ORIN, l4t="36.3.0", jetpack="6.0"), 9,
         "this board runs JetPack 6.0 (L4T 36.3.0), which fcnship does not support"),
        (replace(ORIN, gpu=None, gpu_fault="libcuda.so.1 is not installed"), 7,
         "there is an NVIDIA GPU here (NVIDIA Jetson AGX Orin), and its driver does not answer: "
         "libcuda.so.1 is not installed"),
    ],
)  # fmt: skip
def test_a_device_that_does_not_fit(
    newer: Made, root: Path, live: dict[str, str], device: Any, code: int, first: str
) -> None:
    refusal = refused(lambda: installed(newer, root, device=device))
    assert (refusal[0], refusal[1].splitlines()[0]) == (code, first)
    assert refusal[1].count("\n") == 2
    assert entries(root) == live


def test_an_absent_tensorrt_names_its_package(newer: Made, root: Path) -> None:
    device = replace(ORIN, tensorrt=None, tensorrt_flavour=None)
    assert "python3-libnvinfer" in refused(lambda: installed(newer, root, device=device))[1]


def test_tensorrt_that_was_asked_for_is_never_replaced(newer: Made, root: Path) -> None:
    code, message = refused(lambda: installed(newer, root, backend="tensorrt"))
    assert (code, "there is no NVIDIA GPU here" in message) == (7, True)


def test_an_engine_without_tensorrt(newer: Made, root: Path, tmp_path: Path) -> None:
    assert refused(lambda: installed(newer, root, engine=tmp_path)) == (
        2,
        f"--engine {tmp_path} is for TensorRT, and onnxruntime was chosen\n"
        "  cause: this device has no GPU, or --backend says so\n"
        "  next:  leave out --engine",
    )


@pytest.mark.skipif(isinstance(first_gpu(), Gpu), reason="there is a GPU here, which might build it")
def test_an_engine_that_cannot_be_built(newer: Made, root: Path, live: dict[str, str]) -> None:
    assert refused(lambda: installed(newer, root, device=ORIN))[0] in (7, 9)
    assert entries(root) == live


def test_an_engine_that_is_none(newer: Made, root: Path, live: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    assert refused(lambda: installed(newer, root, device=ORIN, engine=tmp_path / "engine"))[0] == 8
    assert entries(root) == live


def test_a_precision_that_the_drop_has_not(newer: Made, root: Path) -> None:
    assert refused(lambda: installed(newer, root, precision="int8"))[0] == 2


def test_a_signature_is_required_where_the_root_lists_signers(
    drop: Made, newer: Made, keys: Path, root: Path
) -> None:
    root.mkdir()
    listed = (keys / "allowed_signers").read_text(encoding="utf-8")
    (root / "allowed_signers").write_text(listed, encoding="utf-8")
    assert installed(drop.sign(keys / "ours"), root)["signer"] == "release@example.com"
    assert verify_drop(root / "current", keys / "allowed_signers").signer == "release@example.com"
    before = entries(root)
    for spoiled in (newer, newer.sign(keys / "theirs"), newer.sign(keys / "ours", "git")):
        assert refused(lambda drop=spoiled: installed(drop, root))[0] == 8  # type: ignore[misc]
    newer.sign(keys / "ours").rewrite(lambda m: m.update(version="9"))
    assert refused(lambda: installed(newer, root))[0] == 8
    assert entries(root) == before


def test_a_signature_that_comes_later_is_kept(drop: Made, keys: Path, root: Path) -> None:
    installed(drop, root)
    listed = (keys / "allowed_signers").read_text(encoding="utf-8")
    (root / "allowed_signers").write_text(listed, encoding="utf-8")
    facts = installed(drop.sign(keys / "ours"), root)
    assert (facts["changed"], facts["signer"]) == (True, "release@example.com")
    assert verify_drop(root / "current", keys / "allowed_signers").signer == "release@example.com"
    assert read_installed(root / "current").signer == "release@example.com"
    assert not installed(drop, root)["changed"]


def test_a_list_that_is_given_counts_too(drop: Made, keys: Path, root: Path) -> None:
    assert refused(lambda: installed(drop, root, allowed_signers=keys / "allowed_signers"))[0] == 8


def test_a_second_installer(newer: Made, root: Path, live: dict[str, str]) -> None:
    with Root(root).locked():
        assert refused(lambda: installed(newer, root))[0] == 8
    assert entries(root) == live


def test_a_path_that_is_no_drop_makes_no_root(root: Path, tmp_path: Path) -> None:
    assert refused(lambda: installed(tmp_path / "gone", root))[0] == 2
    assert not root.exists()


def test_a_release_that_was_copied_and_not_proved_goes(drop: Made, newer: Made, root: Path) -> None:
    """As a killed install leaves it."""
    installed(drop, root)
    newer.copy(root / "releases" / newer.release)
    (root / "releases" / newer.release / "install.json").unlink(missing_ok=True)
    installed(drop, root)
    assert Root(root).names() == [drop.release]
