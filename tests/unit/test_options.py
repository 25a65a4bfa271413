"""What a build may be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fcnship.errors import UsageError
from fcnship.options import Options
from fcnship.sizes import Profile


def refusal(**options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        Options(**options)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_defaults_are_the_main_job() -> None:
    assert Options().as_json() == {
        "model": "multiscale",
        "data": "digits",
        "profiles": ["28,80,224@1,1,8"],
        "seed": 0,
        "flavour": "auto",
        "layout": "nchw",
        "head": "average",
        "value_range": None,
        "max_slowdown": None,
        "baseline": None,
        "precisions": ["fp32"],
        "io": "fp32",
        "calibration": "default",
        "int8_budget": None,
        "keep_fp32": [],
        "min_accuracy": None,
        "fit": "bucket",
        "skip_bad": False,
    }


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seeds_out_of_range(seed: int) -> None:
    assert refusal(seed=seed) == (
        f"the seed {seed} is not between 0 and 2147483647\n"
        "  cause: NumPy and TensorFlow take a whole number of 31 bits\n"
        "  next:  give another --seed, like 0"
    )


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", ".", "..", ".hidden", "end.", " x", "x ", 'a"b', "a\nb", "a\x1b[2Jb", "*"]
)
def test_names_that_are_no_folder(name: str) -> None:
    assert refusal(name=name) == (
        f"{name!r} cannot name a folder\n"
        "  cause: a name has no slashes, quotes or control characters and no dots or spaces at its ends\n"
        "  next:  give another --name"
    )


@pytest.mark.parametrize("name", ["x", "my model", "v1.2", "größe", "数字", "a-b_c"])
def test_names_that_are(name: str) -> None:
    assert Options(name=name).name == name


def test_profiles_are_given_once_and_at_least_once() -> None:
    assert refusal(profiles=()) == (
        "no profile is given\n  cause: the list of profiles is empty\n  next:  give --profile 28-224"
    )
    twice = (Profile.parse("28-224"), Profile.parse("28,80,224@8"))
    assert refusal(profiles=twice) == (
        "the same profile is given twice\n"
        "  cause: an engine holds each optimisation profile once\n"
        "  next:  give each --profile once"
    )
    overlapping = (Profile.parse("28-224"), Profile.parse("64-320"))
    assert Options(profiles=overlapping).profiles == overlapping


@pytest.mark.parametrize(
    ("option", "known"),
    [("flavour", "auto, tensorrt, tensorrt_rtx"), ("layout", "nchw, nhwc"), ("head", "map, average, max")],
)
def test_choices_are_checked_from_python_too(option: str, known: str) -> None:
    assert refusal(**{option: "nope"}) == (
        f"there is no {option} 'nope'\n"
        f"  cause: it is one of {known}\n"
        f"  next:  give one of these as --{option}"
    )


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("span", [(1.0, 0.0), (1.0, 1.0), (NAN, 1.0), (0.0, NAN), (0.0, INF), (-INF, 0.0)])
def test_value_ranges_that_do_not_rise(span: tuple[float, float]) -> None:
    assert refusal(value_range=span) == (
        f"{span[0]:g},{span[1]:g} is not a value range\n"
        "  cause: it goes from a lower to a higher number\n"
        "  next:  write it like --value-range 0,255"
    )


def test_a_path_is_kept_so_that_it_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.py").touch()
    monkeypatch.chdir(tmp_path)
    kept = Options(model="my.py", data="not-there.npz").as_json()
    assert kept["model"] == str(tmp_path / "my.py")
    assert kept["data"] == "not-there.npz"


@pytest.mark.parametrize("precisions", [(), ("fp32", "fp32")])
def test_each_precision_is_made_once(precisions: tuple[Any, ...]) -> None:
    assert "next:  write it like --precision fp32,fp16,int8" in refusal(precisions=precisions)


def test_precisions_that_are_not_known() -> None:
    assert refusal(precisions=("fp32", "fp8")).startswith("there is no precision 'fp8'")
    assert refusal(precisions=("fp16",), io="int8").startswith("there is no io 'int8'")


@pytest.mark.parametrize(
    ("flag", "options"),
    [
        ("int8-budget", {"int8_budget": 0.5, "precisions": ("fp32", "fp16")}),
        ("keep-fp32", {"keep_fp32": ("conv",)}),
        ("calibration", {"calibration": "mse", "precisions": ("fp32", "fp16")}),
        ("io fp16", {"io": "fp16", "precisions": ("int8",)}),
    ],
)
def test_options_of_a_precision_that_is_not_asked_for(flag: str, options: dict[str, Any]) -> None:
    assert refusal(**options).startswith(f"--{flag} does not go with --precision")


@pytest.mark.parametrize(("option", "most"), [("int8_budget", 100), ("min_accuracy", 1)])
def test_shares_have_their_limits(option: str, most: int) -> None:
    for wrong in (-0.1, most + 0.1, float("nan")):
        assert f"is not between 0 and {most}" in refusal(**{option: wrong}, precisions=("int8",))
    assert Options(**{option: float(most)}, precisions=("int8",))  # type: ignore[arg-type]
