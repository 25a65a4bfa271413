"""Calibration recipes: found by name or path, and refused with the file and what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fcnship.errors import UsageError
from fcnship.precision.calibration import (
    CalibrationRecipe,
    find_calibration,
    read_calibration,
    shipped_calibrations,
)
from fcnship.precision.methods import Method
from fcnship.sizes import Size

SHORT = 'method = "minmax"\nimages = 8\n'


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        find_calibration(text)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_recipe_gives_its_settings(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'method = "percentile"\npercentile = 99.5\nimages = 32\nsizes = [28, "40x56"]\nseed = 3\n'
        'keep_fp32 = ["dense", "outer/conv", "dense"]\n',
    )
    assert read_calibration(path) == CalibrationRecipe(
        path=path,
        method=Method(name="percentile", percentile=99.5),
        images=32,
        sizes=(Size(28, 28), Size(40, 56)),
        seed=3,
        keep_fp32=("dense", "outer/conv"),
    )


def test_what_may_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, SHORT)
    assert read_calibration(path) == CalibrationRecipe(path=path, method=Method(), images=8)


@pytest.mark.parametrize("word", ["profile", "ladder", "data"])
def test_sizes_can_be_a_word(word: str, tmp_path: Path) -> None:
    assert read_calibration(written(tmp_path, f'{SHORT}sizes = "{word}"\n')).sizes == word


def test_a_recipe_as_the_report_names_it(tmp_path: Path) -> None:
    recipe = read_calibration(written(tmp_path, SHORT + 'sizes = [28, "40x56"]\n'))
    assert recipe.as_json() == {
        "name": "mine",
        "sha256": recipe.sha256,
        "method": "minmax",
        "images": 8,
        "sizes": ["28x28", "40x56"],
        "seed": 0,
        "keep_fp32": [],
    }
    assert len(recipe.sha256) == 64


def test_the_shipped_recipes_can_be_read_by_name() -> None:
    names = shipped_calibrations()
    assert "default" in names
    for name in names:
        recipe = find_calibration(name)
        assert recipe.name == name
        assert recipe.sizes == "profile"
    methods = {find_calibration(name).method.name for name in names}
    assert methods == {"minmax", "percentile", "entropy", "mse"}


def test_a_recipe_of_the_current_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "calibration").mkdir()
    written(tmp_path / "calibration", SHORT, "default.toml")
    monkeypatch.chdir(tmp_path)
    assert find_calibration("default").images == 8


# What is refused

NEXT = (
    "\n  cause: the file is not a calibration recipe, or not a whole one"
    "\n  next:  compare it with calibration/default.toml"
)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("images = 8", "method is missing"),
        ('method = "minmax"', "images is missing"),
        (SHORT + "imagse = 9", "has an unknown key 'imagse'; did you mean 'images'?"),
        (SHORT + "zzz = 9", "has an unknown key 'zzz'"),
        (SHORT + "[more]\nsizes = 1", "has an unknown key 'more'"),
        (
            'method = "minmaks"\nimages = 8',
            "method is 'minmaks', not one of minmax, percentile, entropy, mse; did you mean 'minmax'?",
        ),
        ("method = 3\nimages = 8", "method is 3, not one of minmax, percentile, entropy, mse"),
        ("method = []\nimages = 8", "method is [], not one of minmax, percentile, entropy, mse"),
        (
            SHORT + "percentile = 99",
            "percentile belongs to the method percentile, and method is 'minmax'",
        ),
        (
            'method = "percentile"\nimages = 8\npercentile = 0.999',
            "percentile is 0.999, not a number from 50 to 100",
        ),
        (
            'method = "percentile"\nimages = 8\npercentile = "99"',
            "percentile is '99', not a number from 50 to 100",
        ),
        (
            'method = "percentile"\nimages = 8\npercentile = nan',
            "percentile is nan, not a number from 50 to 100",
        ),
        ('method = "mse"\nimages = 0', "images is 0, not a whole number from 1 to 16384"),
        ('method = "mse"\nimages = true', "images is True, not a whole number from 1 to 16384"),
        ('method = "mse"\nimages = 8.0', "images is 8.0, not a whole number from 1 to 16384"),
        (SHORT + "seed = -1", "seed is -1, not a whole number from 0 to 2147483647"),
        (
            SHORT + 'sizes = "profil"',
            "sizes is 'profil', not one of profile, ladder, data; did you mean 'profile'?",
        ),
        (SHORT + "sizes = []", "sizes is [], neither profile, ladder, data nor a list like [28, '40x56']"),
        (SHORT + "sizes = 28", "sizes is 28, neither profile, ladder, data nor a list like [28, '40x56']"),
        (
            SHORT + "sizes = [28.0]",
            "sizes has 28.0, which is neither a whole number nor a text like '28x40'",
        ),
        (SHORT + 'sizes = ["28xx40"]', "sizes: '28xx40' is not a size"),
        (SHORT + "sizes = [0]", "sizes: '0' is not a size"),
        (SHORT + 'keep_fp32 = "dense"', "keep_fp32 is 'dense', not a list of Keras layers' names"),
        (SHORT + "keep_fp32 = [1]", "keep_fp32 is [1], not a list of Keras layers' names"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_file(text: str, what: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    assert refusal(str(path)) == f"{path}: {what}{NEXT}"


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "method = minmax")
    message = refusal(str(path))
    assert message.startswith(f"{path}: is no TOML: Invalid value (at line 1, column 10")
    assert message.endswith(NEXT)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    assert "x.toml: is no TOML: 'utf-8' codec can't decode" in refusal(str(tmp_path / "x.toml"))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    known = ", ".join(shipped_calibrations())
    assert refusal("defualt") == (
        "there is no calibration recipe 'defualt'\n"
        f"  cause: it is neither a .toml file nor one of {known}; did you mean 'default'?\n"
        "  next:  name one of these, or the path of a .toml file"
    )


def test_a_file_that_is_not_there_is_refused() -> None:
    assert refusal("some/where.toml") == (
        "there is no file some/where.toml\n"
        "  cause: the path is misspelt, or relative to another folder\n"
        "  next:  look at what is there: ls some"
    )


def test_a_folder_and_an_impossible_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    assert "there is no file" in refusal(str(tmp_path / "folder.toml"))
    # What a path of this length makes of is_file() differs between versions of Python.
    assert any(why in refusal("x" * 5000 + ".toml") for why in ("File name too long", "there is no file"))
