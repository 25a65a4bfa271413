"""Recipes: found by name or path, executed once, and refused with the line that is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fcnship.errors import FcnshipError, ModelRefused, UsageError
from fcnship.recipe import Augment, ModelFile, Recipe, Training, find_model, shipped_recipes
from fcnship.sizes import Size


def recipe(folder: Path, text: str, name: str = "net.py") -> Recipe:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return Recipe(path)


def refusal(made: Recipe, attribute: str) -> str:
    with pytest.raises(ModelRefused) as caught:
        getattr(made, attribute)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_a_recipe_gives_its_settings(tmp_path: Path) -> None:
    made = recipe(
        tmp_path,
        "VALUE_RANGE = (0, 255)\n"
        "SIZE = (28, 40)\n"
        "TRAINING = {'steps': 9, 'pixels': 4096, 'growth': 0.5}\n"
        "AUGMENT = {'rotate': 5}\n",
    )
    assert made.name == "net"
    assert made.value_range == (0.0, 255.0)
    assert made.size == Size(28, 40)
    assert made.training == Training(steps=9, pixels=4096, growth=0.5)
    assert made.augment == Augment(rotate=5)


def test_what_may_be_left_out(tmp_path: Path) -> None:
    made = recipe(tmp_path, "SIZE = None")
    assert made.size is None
    assert made.augment == Augment()


@pytest.mark.parametrize(
    ("training", "images", "steps"),
    [
        (Training(epochs=3, batch=64), 100, 6),
        (Training(steps=10, pixels=1), 10**6, 10),
        (Training(steps=10, steps_per_image=0.1, most_steps=50, pixels=1), 10, 10),
        (Training(steps=10, steps_per_image=0.1, most_steps=50, pixels=1), 200, 20),
        (Training(steps=10, steps_per_image=0.1, most_steps=50, pixels=1), 10**6, 50),
    ],
)
def test_steps_for_a_training_set(training: Training, images: int, steps: int) -> None:
    assert training.steps_for(images) == steps


# Wrong settings

WRONG = (
    "\n  cause: the file is not a recipe, or not a whole one\n  next:  compare it with models/multiscale.py"
)
FINE = "TRAINING = {'steps': 9, 'pixels': 4096, "


@pytest.mark.parametrize(
    ("text", "attribute", "what"),
    [
        ("", "value_range", "VALUE_RANGE is missing"),
        ("VALUE_RANGE = [0, 1]", "value_range", "VALUE_RANGE is list, not tuple"),
        ("VALUE_RANGE = (1, 0)", "value_range", "VALUE_RANGE is (1, 0), not (low, high)"),
        ("VALUE_RANGE = (0, 1, 2)", "value_range", "VALUE_RANGE is (0, 1, 2), not (low, high)"),
        ("VALUE_RANGE = ('0', '1')", "value_range", "VALUE_RANGE is ('0', '1'), not (low, high)"),
        ("VALUE_RANGE = (0, 1e999)", "value_range", "VALUE_RANGE is (0, inf), not (low, high)"),
        ("VALUE_RANGE = (float('nan'), 1)", "value_range", "VALUE_RANGE is (nan, 1), not (low, high)"),
        ("SIZE = 28", "size", "SIZE is int, not tuple"),
        ("SIZE = (28, 0)", "size", "SIZE is (28, 0), not (height, width)"),
        ("SIZE = (28, 1.5)", "size", "SIZE is (28, 1.5), not (height, width)"),
        ("", "training", "TRAINING is missing"),
        ("TRAINING = 3", "training", "TRAINING is int, not dict"),
        ("TRAINING = {}", "training", "TRAINING needs either epochs and batch, or steps and pixels"),
        (
            "TRAINING = {'epochs': 1, 'batch': 8, 'steps': 1, 'pixels': 8}",
            "training",
            "TRAINING needs either epochs and batch, or steps and pixels",
        ),
        (FINE + "'step': 1}", "training", "TRAINING has an unknown key 'step'; did you mean 'steps'?"),
        (FINE + "'zzz': 1}", "training", "TRAINING has an unknown key 'zzz'"),
        (FINE + "7: 1}", "training", "TRAINING has an unknown key 7"),
        (FINE + "'growth': '1'}", "training", "TRAINING growth is '1', not a number of zero or more"),
        (FINE + "'growth': -1}", "training", "TRAINING growth is -1, not a number of zero or more"),
        (FINE + "'growth': True}", "training", "TRAINING growth is True, not a number of zero or more"),
        (FINE + "'growth': 1e999}", "training", "TRAINING growth is inf, not a number of zero or more"),
        (
            FINE + "'growth': float('nan')}",
            "training",
            "TRAINING growth is nan, not a number of zero or more",
        ),
        ("TRAINING = {'steps': 9.5, 'pixels': 1}", "training", "TRAINING steps is 9.5, not a whole number"),
        (
            FINE + "'most_images': 0}",
            "training",
            "TRAINING most_images is 0; a batch holds at least one image",
        ),
        (
            FINE + "'patience': 3}",
            "training",
            "TRAINING has patience and no validation_share of images to look at",
        ),
        (FINE + "'patience': 1.5}", "training", "TRAINING patience is 1.5, not a whole number"),
        (
            FINE + "'validation_share': 0.6}",
            "training",
            "TRAINING validation_share is 0.6, more than 0.5",
        ),
        (FINE + "'growth': 1.5}", "training", "TRAINING growth is 1.5, more than 1.0"),
        ("AUGMENT = {'shift': 3}", "augment", "AUGMENT shift is 3, more than 1.0"),
        (
            "AUGMENTATION = {'shift': 0.1}",
            "augment",
            "AUGMENTATION would not be used; did you mean AUGMENT?",
        ),
        (
            "ARGUMENTS = {'filters': 3}\naugment = {'shift': 0.1}",
            "augment",
            "augment would not be used; did you mean AUGMENT?",
        ),
        ("AUGMENT = ['rotate']", "augment", "AUGMENT is list, not dict"),
        (
            "AUGMENT = {'rotation': 5}",
            "augment",
            "AUGMENT has an unknown key 'rotation'; did you mean 'rotate'?",
        ),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, attribute: str, what: str) -> None:
    made = recipe(tmp_path, text)
    assert refusal(made, attribute) == f"{made.path}: {what}{WRONG}"


# Executing


def test_it_is_executed_once_under_a_name_of_its_own(tmp_path: Path) -> None:
    text = "import sys\nSELF = sys.modules[__name__]\nCOUNT = []\nCOUNT.append(1)\n"
    first, second = recipe(tmp_path, text), recipe(tmp_path, text + "\n", "other.py")
    assert first.module.SELF is first.module  # registered before it was executed: dataclasses need that
    assert first.module.COUNT == [1]
    assert first.module.__name__ == f"fcnship_recipe_net_{first.sha256[:12]}"
    assert first.module.__name__ != second.module.__name__
    assert first.module.__file__ == str(first.path)


def test_dataclasses_work_in_it(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass A:\n  x: int\n"
    )
    assert recipe(tmp_path, text).module.A(3).x == 3


def test_its_annotations_are_its_own(tmp_path: Path) -> None:
    """Not texts, as in a file that begins with the __future__ of ours."""
    assert recipe(tmp_path, "def f(x: int): ...\n").module.f.__annotations__ == {"x": int}


def test_nothing_is_left_beside_it_and_a_quick_change_counts(tmp_path: Path) -> None:
    # Python's own cache of a module looks at whole seconds and at the length: both stay the same here.
    assert recipe(tmp_path, "SIZE = (1, 1)").size == Size(1, 1)
    assert recipe(tmp_path, "SIZE = (2, 2)").size == Size(2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]


def test_its_folder_is_not_searched_for_modules(tmp_path: Path) -> None:
    (tmp_path / "fractions.py").write_text("raise SystemExit('shadowed')")
    assert recipe(tmp_path, "import fractions\nSIZE = (1, 1)").size == Size(1, 1)


def test_it_cannot_take_the_whole_program_to_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert recipe(tmp_path, "import os\nos.chdir('/')\nSIZE = (1, 1)").size == Size(1, 1)
    assert Path.cwd() == tmp_path


def test_a_module_beside_a_recipe_is_told_from_one_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "blocks.py").touch()
    made = recipe(tmp_path, "from blocks.dense import head\n")
    assert refusal(made, "module") == (
        f"{made.path}, line 1: ModuleNotFoundError: No module named 'blocks'\n"
        "  cause: a recipe is one file: what lies beside it is not imported, nor are its changes noticed\n"
        "  next:  put what it takes from blocks into the recipe, or install blocks as a package"
    )


RAISED = (
    "\n  cause: the recipe itself raised this when it was loaded or called\n  next:  try it alone: python "
)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = 1\n\nx / 0\n", ", line 3: ZeroDivisionError: division by zero"),
        ("def f():\n    g()\ndef g():\n    raise ValueError('no')\nf()\n", ", line 4: ValueError: no"),
        ("import json\njson.loads('{')\n", ", line 2: JSONDecodeError: Expecting property name"),
        ("raise ValueError", ", line 1: ValueError"),
        ("x = 1\nif x\n", ", line 2: SyntaxError: expected ':'"),
        ("import no_such_module\n", ", line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(): f()\nf()\n", ", line 1: RecursionError: maximum recursion depth exceeded"),
        ("import sys\nsys.exit()\n", ", line 2: SystemExit"),
        ("import sys\nsys.exit(0)\n", ", line 2: SystemExit: 0"),
        ("import sys\nsys.exit('bye')\n", ", line 2: SystemExit: bye"),
        ("assert False, 'never'", ", line 1: AssertionError: never"),
        ("\0", ": "),
    ],
)
def test_a_recipe_that_raises(tmp_path: Path, text: str, what: str) -> None:
    made = recipe(tmp_path, text)
    told = refusal(made, "module")
    assert told.startswith(f"{made.path}{what}")
    assert told.endswith(f"{RAISED}{made.path}")


def test_a_recipe_that_raised_is_not_left_among_the_modules(tmp_path: Path) -> None:
    made = recipe(tmp_path, "raise ValueError('only here')")
    refusal(made, "module")
    assert f"fcnship_recipe_net_{made.sha256[:12]}" not in sys.modules


def test_a_path_with_spaces_and_letters_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "mein größtes Netz 数"
    made = recipe(Path(), "1 / 0", f"{name}.py")
    assert made.name == name
    assert refusal(made, "module") == (
        f"{name}.py, line 1: ZeroDivisionError: division by zero{RAISED}'{name}.py'"
    )


def test_ctrl_c_in_a_recipe_is_ctrl_c(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _ = recipe(tmp_path, "raise KeyboardInterrupt").module


# Finding


def test_models_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("net.py", "net.keras", "net.h5"):
        (tmp_path / name).touch()
    assert find_model("net.py") == Recipe(Path("net.py"))
    assert find_model("net.keras") == ModelFile(Path("net.keras"))
    assert find_model(str(tmp_path / "net.h5")) == ModelFile(tmp_path / "net.h5")
    assert isinstance(find_model("multiscale"), Recipe)


def test_a_folder_s_own_models_come_before_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("multiscale.py", "mine.py", "_part.py"):
        (tmp_path / "models" / name).touch()
    assert find_model("multiscale") == Recipe(Path("models/multiscale.py"))
    assert find_model("mine") == Recipe(Path("models/mine.py"))
    assert "_part" not in shipped_recipes()


def test_a_recipe_s_name_means_the_recipe_where_a_folder_has_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "multiscale").mkdir()
    assert isinstance(find_model("multiscale"), Recipe)


def not_found(text: str) -> FcnshipError:
    with pytest.raises(FcnshipError) as caught:
        find_model(text)
    return caught.value


def test_models_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipes = ", ".join(shipped_recipes())
    error = not_found("multiscal")
    assert isinstance(error, UsageError)
    assert str(error) == (
        "there is no model 'multiscal'\n"
        f"  cause: it is neither a file nor one of the recipes {recipes}; did you mean 'multiscale'?\n"
        "  next:  name a recipe, a recipe's path or a .keras file"
    )
    assert not_found("").what == "there is no model ''"
    assert str(not_found("my nets/a.py")) == (
        "there is no file my nets/a.py\n"
        "  cause: the path is misspelt, or relative to another folder\n"
        "  next:  look at what is there: ls 'my nets'"
    )
    assert not_found("a" * 300).what == f"the model {'a' * 80!r} cannot be looked up: File name too long"


def test_things_that_are_no_models(tmp_path: Path) -> None:
    saved, other, text = tmp_path / "saved", tmp_path / "x.keras", tmp_path / "net.pt"
    saved.mkdir()
    other.mkdir()
    (saved / "saved_model.pb").touch()
    text.touch()
    ways = "\n  next:  name a recipe, a recipe's path or a .keras file"
    assert str(not_found(str(saved))) == (
        f"{saved} is a folder, not a model\n  cause: a SavedModel holds a graph without its layers{ways}"
    )
    assert str(not_found(str(other))) == (
        f"{other} is a folder, not a model\n"
        f"  cause: a recipe is one .py file, a saved model one .keras file{ways}"
    )
    assert str(not_found(str(text))) == (
        f"{text} is no model that fcnship reads\n"
        "  cause: its name ends neither in .py nor in .keras, .h5, .hdf5\n"
        "  next:  save it from Keras with model.save('NAME.keras')"
    )
    assert {not_found(str(path)).exit_code for path in (saved, other, text)} == {3}
