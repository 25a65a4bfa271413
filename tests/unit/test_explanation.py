"""Explaining a run folder from its records: no TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fcnship
from fcnship.errors import ArtifactError, FcnshipError, ProfileRefused, UsageError
from fcnship.graph.facts import ModelFacts
from fcnship.graph.nodes import Axis, Network, Node
from fcnship.options import Options
from fcnship.sizes import Profile, Size
from fcnship.workspace import StageRecord, Workspace

AXIS = Axis(kernel=5, stride=2)
IMAGE = Node(name="image", layer_class="InputLayer", kind="input", inputs=(), channels=3)
CONV = Node(
    name="conv",
    layer_class="Conv2D",
    kind="conv",
    inputs=(0,),
    channels=10,
    rows=AXIS,
    columns=AXIS,
    kernel_elements=750,
)
FACTS = ModelFacts(network=Network(name="net", nodes=(IMAGE, CONV), outputs=(1,), parameters=760))


def recorded(folder: Path, **more: Any) -> Path:
    run = folder / "run"
    row = {"name": "train", "status": "done", "seconds": 1.0, "facts": FACTS.as_json(), **more}
    options = Options(profiles=(Profile.parse("8-64"),)).as_json()
    Workspace(run).write_record(StageRecord(**row), options)
    return run


def refusal(*words: Any, **options: Any) -> FcnshipError:
    with pytest.raises(FcnshipError) as caught:
        fcnship.explain(*words, **options)
    return caught.value


def test_a_run_folder_is_explained_for_its_own_profiles(tmp_path: Path) -> None:
    found = fcnship.explain(recorded(tmp_path), size="9x12")
    assert found.facts.network == FACTS.network
    assert found.profiles == (Profile.parse("8-64"),)
    assert (found.size, found.output_map) == (Size(9, 12), Size(3, 4))
    assert found.profile == found.profiles[0]
    assert found.cost is not None
    assert found.cost.multiply_adds == 3 * 4 * 750
    assert found.unserved == []


def test_as_json_it_holds_what_the_design_says(tmp_path: Path) -> None:
    run = recorded(tmp_path)
    without = fcnship.explain(run).as_json()
    assert {"parameters", "total_stride", "receptive_field", "minimum_size"} <= set(without)
    assert (without["parameters"], without["receptive_field"], without["minimum_size"]) == (760, 5, 5)
    found = json.loads(json.dumps(fcnship.explain(run, size=Size(9, 12)).as_json()))
    assert (found["size"], found["output_map"]) == ([9, 12], [3, 4])
    assert found["profile"]["max"] == [64, 64]


def test_other_profiles_may_be_asked_for(tmp_path: Path) -> None:
    found = fcnship.explain(recorded(tmp_path), size="20", profile=["4-16", "128-256"])
    assert found.profile is None
    assert found.unserved == [Size(4, 4)]


def test_a_size_below_the_minimum_is_refused(tmp_path: Path) -> None:
    error = refusal(recorded(tmp_path), size="4x9")
    assert isinstance(error, ProfileRefused)
    assert "'conv'" in str(error)


@pytest.mark.parametrize(("channels", "classes"), [(0, 10), (3, 0), (1025, 10), (3, 1_000_001), (-1, 10)])
def test_numbers_that_are_no_image_network(channels: int, classes: int) -> None:
    error = refusal("multiscale", channels=channels, classes=classes)
    assert isinstance(error, UsageError)
    assert str(error) == (
        f"{channels} channels and {classes} classes is no image network\n"
        "  cause: an image has 1 to 1,024 channels, and there are 1 to 1,000,000 classes\n"
        "  next:  give --channels and --classes like 3 and 10"
    )


def test_a_run_that_failed_before_there_was_a_network(tmp_path: Path) -> None:
    run = recorded(tmp_path, status="failed", reason="refused", facts={})
    assert str(refusal(run)) == (
        f"{run} has no trained model yet\n  cause: the build was not finished\n  next:  fcnship build"
    )


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ({"network": {}}, "ValueError: schema is None"),
        ({"network": None}, "AttributeError: "),
        ({"value_range": [0]}, "ValueError: "),
        ({"labels": None}, "TypeError: "),
    ],
    ids=str,
)
def test_a_record_that_describes_no_network(tmp_path: Path, damage: dict[str, Any], cause: str) -> None:
    run = recorded(tmp_path, facts={**FACTS.as_json(), **damage})
    error = refusal(run)
    assert isinstance(error, ArtifactError)
    assert str(error).startswith(
        f"{run}/run.json is damaged: it does not describe the network of the stage train\n"
        f"  cause: it was edited or written by another program ({cause}"
    )
    assert str(error).endswith("\n  next:  remove the file and build again")


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ({"profiles": ["224-28"]}, "'224-28' is not a profile"),
        ({"profiles": None}, "TypeError: "),
        ({"flavour": "cudnn"}, "there is no flavour 'cudnn'"),
        ({"seed": "x"}, "TypeError: "),
        ({"more": 1}, "TypeError: "),
        ({"value_range": [0]}, "TypeError: "),
    ],
    ids=str,
)
def test_options_that_cannot_be_read(tmp_path: Path, damage: dict[str, Any], cause: str) -> None:
    run = recorded(tmp_path)
    file = run / "run.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "options": {**content["options"], **damage}}))
    error = refusal(run)
    assert isinstance(error, ArtifactError)
    assert str(error).startswith(
        f"{file} is damaged: its options cannot be read\n"
        f"  cause: it was edited or written by another program ({cause}"
    )
