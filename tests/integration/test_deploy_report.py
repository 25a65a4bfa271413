"""What a device measured, in the report of the run that its drop was made of."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sshd import MISSING, make_client, serving

from fcnship import api, api_ship
from fcnship.errors import ArtifactError, UsageError
from fcnship.ship.deploy import Deployment
from fcnship.ship.merge import keep_device_results

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
VARIANT = "device-fp32@orin"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A run, its drop, and what the deployments of it gave: the first, and one of the same again."""

    run: Path
    drop: Path
    first: Deployment
    again: Deployment


@pytest.fixture(scope="module")
def done(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    run, drop = folder / "artifacts" / "tiny", folder / "tiny.tar"
    with ExitStack() as opened, pytest.MonkeyPatch.context() as patch:
        client = make_client(folder / "client")
        server = opened.enter_context(serving(folder / "server", client))
        with client.config.open("a", encoding="utf-8") as file:
            file.write(f"Host orin\n  HostName 127.0.0.1\n  Port {server.port}\n")
        for name, value in client.environment.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        api_ship.drop(run, drop)
        first, again = (api_ship.deploy(drop, "orin", root="~/store") for _ in range(2))
        yield Deployed(run=run, drop=drop, first=first, again=again)


@pytest.fixture
def run(done: Deployed, tmp_path: Path) -> Path:
    """A copy of the run, to change."""
    return Path(shutil.copytree(done.run, tmp_path / "artifacts" / "tiny"))


def report_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "report.json").read_text(encoding="utf-8")))


def rows_of(run: Path, table: str) -> list[dict[str, Any]]:
    return [row for row in report_of(run)[table] if row["variant"] == VARIANT]


def test_the_devices_rows_are_in_every_form_of_the_report(done: Deployed) -> None:
    assert done.first.report == Path("artifacts/tiny/report.json") and not done.first.warnings
    assert done.first.device and done.first.bench
    parity, latency = rows_of(done.run, "parity"), rows_of(done.run, "latency")
    assert len(parity) == len(done.first.device["parity"]) > 0
    assert len(latency) == len(done.first.bench["latency"]) > 0
    assert {row["verdict"] for row in latency} == {"alone"} and {row["ratio"] for row in latency} == {None}
    assert [row["status"] for row in rows_of(done.run, "variants")] == ["run"]
    for name in ("report.md", "report.html", "junit.xml"):
        assert VARIANT in (done.run / name).read_text(encoding="utf-8")
    device = report_of(done.run)["devices"][0]
    assert (device["host"], device["backend"]) == ("orin", "onnxruntime")
    assert report_of(done.run)["verdict"] == "pass"


def test_deployed_again_they_take_the_place_of_the_old_ones(done: Deployed) -> None:
    assert not done.again.changed and done.again.report == done.first.report
    assert len(report_of(done.run)["devices"]) == 1
    assert done.again.bench
    assert {row["runs"] for row in rows_of(done.run, "latency")} == {
        row["runs"] for row in done.again.bench["latency"]
    }


def test_a_bench_that_is_left_out_is_kept_of_the_same_release_alone(done: Deployed, run: Path) -> None:
    again = {**done.again.as_json(), "bench": None}
    before = rows_of(run, "latency")
    keep_device_results(run, again)
    assert rows_of(run, "latency") == before != []
    keep_device_results(run, {**again, "changed": True})
    assert rows_of(run, "latency") == []
    keep_device_results(run, again)
    assert rows_of(run, "latency") == []


def test_a_report_written_anew_has_them_still(run: Path) -> None:
    before = rows_of(run, "parity")
    api.report(run)
    assert rows_of(run, "parity") == before != []


def test_a_device_that_disagrees_fails_the_report_until_it_agrees(
    done: Deployed, run: Path, tmp_path: Path
) -> None:
    good = done.again.as_json()
    bad = copy.deepcopy(good)
    bad["device"]["parity"][0] |= {"max_abs": 0.5, "passed": False, "fault": "differs"}
    keep_device_results(run, bad)
    assert report_of(run)["verdict"] == "fail"
    assert f"{VARIANT} differs from keras in 1 comparison" in report_of(run)["reasons"][0]["text"]
    # It is no reason against another drop, and no other drop than before.
    assert api_ship.drop(run, tmp_path / "drop").release == done.first.release
    keep_device_results(run, good)
    assert (report_of(run)["verdict"], report_of(run)["reasons"]) == ("pass", [])


@pytest.mark.parametrize("parity", ["?", [1], [{}], [{"height": "<b>"}]], ids=repr)
def test_what_does_not_fit_is_not_kept(done: Deployed, run: Path, parity: Any) -> None:
    before = (run / "report.json").read_bytes(), (run / "devices" / "orin.json").read_bytes()
    with pytest.raises(ArtifactError):
        keep_device_results(run, {**done.again.as_json(), "device": {"ok": True, "parity": parity}})
    assert ((run / "report.json").read_bytes(), (run / "devices" / "orin.json").read_bytes()) == before


def test_of_another_network_they_are_left_out(done: Deployed, run: Path) -> None:
    keep_device_results(run, {**done.again.as_json(), "onnx_sha256": "0" * 64})
    assert rows_of(run, "parity") == rows_of(run, "variants") == []
    assert "devices" not in report_of(run)


def test_a_run_that_is_another_is_refused_before_anything_is_sent(
    done: Deployed, run: Path, tmp_path: Path
) -> None:
    records = json.loads((run / "run.json").read_text(encoding="utf-8"))
    for stage in records["stages"]:
        for artifact in stage["artifacts"]:
            artifact["sha256"] = "0" * 64
    (run / "run.json").write_text(json.dumps(records), encoding="utf-8")
    with pytest.raises(UsageError, match="was not made of"):
        api_ship.deploy(done.drop, "orin", run=run)
    with pytest.raises(UsageError, match="is no run folder"):
        api_ship.deploy(done.drop, "orin", run=tmp_path)


def test_two_devices_behind_one_name(done: Deployed, run: Path) -> None:
    keep_device_results(run, {**done.again.as_json(), "port": 2222})
    keep_device_results(run, {**done.again.as_json(), "port": 2223})
    assert [row["host"] for row in report_of(run)["devices"]] == ["orin", "orin:2222", "orin:2223"]
    variants = [row["variant"] for row in report_of(run)["variants"]]
    assert len(set(variants)) == len(variants)


def test_deploys_to_several_devices_at_once(done: Deployed, run: Path) -> None:
    """Each waits for its turn at the report: none is told that the run is in use."""
    found = [{**done.again.as_json(), "port": port} for port in (2222, 2223, 2224)]
    with ThreadPoolExecutor(len(found)) as pool:
        assert set(pool.map(partial(keep_device_results, run), found)) == {run / "report.json"}
    hosts = ["orin", "orin:2222", "orin:2223", "orin:2224"]
    assert [row["host"] for row in report_of(run)["devices"]] == hosts


def test_a_damaged_run_that_nobody_named_is_no_bar(done: Deployed) -> None:
    path = done.run / "run.json"
    before = path.read_bytes()
    path.write_bytes(b"{")
    try:
        found = api_ship.deploy(done.drop, "orin", root="~/store", bench=False)
        assert (found.report, found.device is None) == (None, False)
        with pytest.raises(ArtifactError):
            api_ship.deploy(done.drop, "orin", root="~/store", run=done.run)
    finally:
        path.write_bytes(before)
