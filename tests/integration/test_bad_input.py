"""What a clumsy or hostile user gives: an exit code, a message that helps, and nothing half-written."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from builds import TINY, read
from keras import layers

from fcnship.cli import main
from fcnship.stages.engine import usable_flavours

# Keras 3.15 saves its variables with a call that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PROFILE = ("--profile", "8-16")
Prepare = Callable[[], Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test in a folder of its own, with a recipe that trains in a moment."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.py").write_text(TINY, encoding="utf-8")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """Exit code and message; standard output is empty, there is no traceback, and nothing is left over."""
    code = main(list(words))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert "fcnship: " in printed.err, printed.err
    message = printed.err[printed.err.index("fcnship: ") :].removesuffix("\n").split("\n")
    assert len(message) == 3, message
    assert message[1].startswith("  cause: ")
    assert message[2].startswith("  next:  ")
    assert all(len(line) > 12 for line in message)
    assert left_over() == []
    return code, message


def left_over() -> list[str]:
    """Temporary files, caches, and files of a stage that no record has."""
    found = [
        str(path) for path in Path().rglob("*") if ".fcnship-tmp-" in path.name or "__pycache__" in path.name
    ]
    for run in Path("artifacts").glob("*"):
        records = records_in(run / "run.json")
        whole = {a["path"] for record in records for a in record["artifacts"]} | {"run.json", ".lock"}
        assert all(record["artifacts"] == [] for record in records if record["status"] == "failed")
        inside = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
        found += [path for path in inside if path not in whole]
    return found


def records_in(path: Path) -> list[dict[str, Any]]:
    """The stage records; none where the file is damaged, as some of these tests want it."""
    try:
        return list(read(path)["stages"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def case(code: int, what: str, *words: str, prepare: Prepare = lambda: None, id: str = "") -> Any:
    return pytest.param(code, what, words, prepare, id=id or " ".join(words[1:]) or words[0])


def build(code: int, what: str, *words: str, prepare: Prepare = lambda: None, id: str = "") -> Any:
    """``fcnship build`` with words; the recipe and the profile are put in where they are not given."""
    model = () if words and not words[0].startswith("-") else ("tiny.py",)
    profile = () if "--profile" in words else PROFILE
    return case(code, what, "build", *model, *words, *profile, prepare=prepare, id=id or " ".join(words))


# The command line

PROFILES = [
    build(2, f"{text!r} is not a profile", "--profile", text, id=f"--profile {text!r}")
    for text in (
        *(
            "224-28",
            "0-10",
            "a-b",
            "28-",
            "28-28.5",
            "",
            "28-224-300",
            "-5",
            "28-224@0",
            "28,64",
            "28x40-40x28",
        ),
        *("２８-224", "28²", "9" * 30, "28-22\u200b4", "28;224", "28-224 --force"),
    )
]
LINE = [
    build(2, "the same profile is given twice", "--profile", "8-16", "--profile", "8,8,16"),
    build(2, "the seed -1 is not between 0 and 2147483647", "--seed", "-1"),
    build(2, "invalid value for '--seed'", "--seed", "9" * 5000, id="--seed 9999..."),
    build(2, "'../x' cannot name a folder", "--name", "../x"),
    build(2, "cannot write to artifacts/nnnnn", "--name", "n" * 300, id="--name nnnn..."),
    build(2, "no such option: --profiel", "--profiel", "8-16"),
    build(2, "--value-range is for saved models", "--value-range", "0,1"),
    build(2, "there is no precision 'fp8'", "--precision", "fp32,fp8"),
    build(2, "there is no calibration recipe", "--precision", "int8", "--calibration", "defualt"),
    build(2, "--int8-budget does not go with", "--int8-budget", "0.5"),
    build(2, "--min-accuracy 95 is not between 0 and 1", "--min-accuracy", "95"),
    build(2, "there is no model 'multiscal'", "multiscal"),
    build(2, "there is no file nowhere/net.keras", "nowhere/net.keras"),
    build(2, "there is no file net.py", "net.py"),
    build(2, "the model 'mmmmm", "m" * 300, id="a name of 300 letters"),
    build(2, "there is no data set 'mnits'", "--data", "mnits"),
    build(2, "there is no data set 'none.npz'", "--data", "none.npz"),
    case(2, "there is no data set 'mnits'", "why", "tiny.py", "--data", "mnits"),
    case(2, "nowhere is no run folder", "report", "nowhere"),
    case(2, "'0x3' is not a size", "explain", "tiny.py", "--size", "0x3"),
    case(2, "0 channels and 10 classes is no image network", "explain", "tiny.py", "--channels", "0"),
    case(2, "1 channels and 0 classes", "convert", "tiny.py", "-o", "x.keras", "--classes", "0"),
    case(2, "cannot read file/tiny/run.json", "why", "tiny.py", "--out", "file", prepare=Path("file").touch),
    build(3, "one image of 999999x999999 needs", "--profile", "8-999999"),
    build(3, "one image of 999999999x999999999 needs", "--profile", "8-999999999"),
    pytest.param(
        *(7, "no tensorrt engine can be built here", ("build", "tiny.py", *PROFILE, "--flavour", "tensorrt")),
        lambda: None,
        id="--flavour tensorrt",
        marks=pytest.mark.skipif(not usable_flavours()["tensorrt"], reason="full TensorRT builds here"),
    ),
]


# Recipes


def recipe(code: int, what: str, *changes: tuple[str, str], id: str) -> Any:
    """The tiny recipe with some text changed, as ``bad.py``."""

    def prepare() -> None:
        text = TINY
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        Path("bad.py").write_text(text, encoding="utf-8")

    return build(code, f"bad.py{what}", "bad.py", prepare=prepare, id=id)


FIRST, IMAGE = "import keras\n", "    image = keras.Input((None, None, channels))\n"
RELU, MADE = 'activation="relu")(x)', "    return keras.Model(image, "
KEPT, LAMBDA = "    model = keras.Model(image, ", "activation=lambda x: x)(x)"
FROZEN = ('name="tiny")', 'name="tiny")\n    model.trainable = False\n    return model')
WITHOUT_GRAPH = "    class Net(keras.Model):\n        pass\n    return Net()\n"
RECIPES = [
    recipe(3, ", line 3: ZeroDivisionError: division by zero", (FIRST, "1 / 0\n"), id="raises"),
    recipe(3, ", line 11: KeyError: 'gone'", (IMAGE, "    {}['gone']\n"), id="raises in model()"),
    recipe(3, ", line 3: SyntaxError: ", (FIRST, "import keras as\n"), id="syntax"),
    recipe(3, ", line 3: ModuleNotFoundError: ", (FIRST, "import no_such_module\n"), id="import"),
    recipe(3, ", line 3: SystemExit: 0", (FIRST, "raise SystemExit(0)\n"), id="exits"),
    recipe(3, ", line 11: SystemExit: bye", (IMAGE, "    raise SystemExit('bye')\n"), id="exits in model()"),
    recipe(3, ": model(channels, classes) returns NoneType", (MADE, KEPT), id="no model"),
    recipe(3, ": model(channels, classes) returns a Net without", (IMAGE, WITHOUT_GRAPH), id="no graph"),
    recipe(3, ": model is missing", ("def model(", "def modell("), id="no model()"),
    recipe(3, ": optimizer is missing", ("def optimizer(", "def optimiser("), id="no optimizer()"),
    recipe(3, ": optimizer(steps) returns str", ("keras.optimizers.Adam(1e-3)", "'adam'"), id="no optimizer"),
    recipe(3, ": TRAINING has an unknown key 'step'", ('"steps"', '"step"'), id="unknown key"),
    recipe(3, ": TRAINING steps is 3.5", ('"steps": 3', '"steps": 3.5'), id="half a step"),
    recipe(3, ": the model has 3 classes", ("Dense(classes", "Dense(3"), id="classes"),
    recipe(3, ": the model has 2 channels", (IMAGE, IMAGE.replace("channels)", "2)")), id="channels"),
    recipe(3, ": the model has nothing to train", (MADE, KEPT), FROZEN, id="frozen"),
    recipe(3, ": the model's outputs are no probabilities", (', activation="softmax"', ""), id="logits"),
    recipe(3, ": the model cannot be saved and loaded again", (RELU, LAMBDA), id="lambda"),
]


def saved(model: Any, name: str = "net.keras") -> Path:
    model.save(name)
    return Path(name)


def network(channels: int = 1, classes: int = 10, inputs: int = 1, padding: str = "same") -> Any:
    images = [keras.Input((None, None, channels)) for _ in range(inputs)]
    image = images[0] if inputs == 1 else layers.Add()(images)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, padding=padding, name="conv")(image))
    return keras.Model(
        images if inputs > 1 else image, layers.Dense(classes, activation="softmax")(x), name="net"
    )


def cut(bytes_kept: float) -> Prepare:
    def prepare() -> None:
        path = saved(network())
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * bytes_kept)])

    return prepare


def flip() -> None:
    path = saved(network())
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    path.write_bytes(damaged)


def diverged() -> None:
    model = network()
    model.get_layer("conv").kernel.assign(model.get_layer("conv").kernel * np.nan)
    saved(model)


NET = "net.keras"
MODELS = [
    build(3, f"{NET} is damaged or cut off", NET, prepare=cut(0.5), id="model cut off"),
    build(3, f"{NET} is damaged or cut off", NET, prepare=cut(0.99), id="model cut off at the end"),
    build(3, f"{NET} is damaged or cut off", NET, prepare=flip, id="model with a flipped byte"),
    build(3, f"{NET} is empty", NET, prepare=cut(0), id="empty model"),
    build(3, f"{NET} is not what its name says", NET, prepare=lambda: Path(NET).write_text("hi"), id="text"),
    build(3, f"{NET} is a folder, not a model", NET, prepare=lambda: Path(NET).mkdir(), id="folder.keras"),
    build(3, "net.pt is no model that fcnship reads", "net.pt", prepare=Path("net.pt").touch, id="net.pt"),
    build(
        *(3, f"{NET} takes images of 3 channels, those of digits have 1", NET),
        prepare=lambda: saved(network(3)),
    ),
    build(3, f"{NET} has 9 classes, the data set digits has 10", NET, prepare=lambda: saved(network(1, 9))),
    build(
        *(3, f"{NET} has one output, the data set digits has 10 classes", NET),
        prepare=lambda: saved(network(1, 1)),
    ),
    build(3, "the model 'net' has 2 inputs", NET, prepare=lambda: saved(network(inputs=2)), id="two inputs"),
    build(
        *(3, "the profile 2,8,16@1,1,8 starts at 2x2, net needs at least 3x3", NET, "--profile", "2-16"),
        prepare=lambda: saved(network(padding="valid")),
    ),
    build(3, f"{NET} has NaN or infinity in its weights, first in conv/kernel", NET, prepare=diverged),
    case(3, f"{NET} is damaged or cut off", "explain", NET, prepare=cut(0.5)),
]


# Data

X = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
Y = np.arange(12) % 3


def data(what: str, id: str, **arrays: Any) -> Any:
    def prepare() -> None:
        good = {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y}
        np.savez("d.npz", **{key: a for key, a in {**good, **arrays}.items() if a is not None})

    return build(3, f"d.npz{what}", "--data", "d.npz", prepare=prepare, id=id)


def data_of(content: bytes | None) -> Prepare:
    def prepare() -> None:
        np.savez("d.npz", x_train=X, y_train=Y, x_test=X, y_test=Y)
        whole = Path("d.npz").read_bytes()
        Path("d.npz").write_bytes(whole[: len(whole) // 2] if content is None else content)

    return prepare


UNREADABLE = ("d.npz cannot be read: File is not a zip file", "--data", "d.npz")
DATA = [
    data(" lacks x_test, y_test", "missing arrays", x_test=None, y_test=None),
    data(": x_train holds <U3", "strings", x_train=X.astype(str)),
    data(": x_test holds complex128", "complex", x_test=X.astype(complex)),
    data(": x_train has NaN", "NaN", x_train=X * np.nan),
    data(": y_train is an array of Python objects", "objects", y_train=Y.astype(object)),
    data(": y_test has the label 7", "label out of range", y_test=Y * 0 + 7),
    data(": y_train has the label -1", "negative label", y_train=Y - 1),
    data(": y_train is float64 of shape (12,)", "float labels", y_train=Y / 1),
    data(": x_train has 12 images and y_train 11 labels", "a label too few", y_train=Y[:11]),
    data(": x_test has the shape (0, 4, 4, 1)", "no images", x_test=X[:0], y_test=Y[:0]),
    build(3, *UNREADABLE, prepare=data_of(None), id="data cut off"),
    build(3, *UNREADABLE, prepare=data_of(b""), id="empty data"),
    build(3, *UNREADABLE, prepare=data_of(b"x,y\n1,2\n"), id="text as .npz"),
    build(3, "d.csv is no data set that fcnship reads", "--data", "d.csv", prepare=Path("d.csv").touch),
]


# Where to write


def run_json(text: str) -> Prepare:
    def prepare() -> None:
        Path("artifacts/tiny").mkdir(parents=True)
        Path("artifacts/tiny/run.json").write_text(text)

    return prepare


def read_only_out() -> None:
    Path("artifacts").mkdir()
    Path("artifacts").chmod(0o555)


def read_only() -> None:
    Path("artifacts/tiny").mkdir(parents=True)
    Path("artifacts/tiny").chmod(0o555)


DAMAGED = "artifacts/tiny/run.json is damaged: "
HALF = run_json('{"schema": "fcnship.run/1", "sta')
PLACES = [
    build(2, "cannot write to artifacts/tiny: ", prepare=read_only, id="read-only folder"),
    build(2, "cannot write to artifacts/tiny: ", prepare=read_only_out, id="read-only --out"),
    build(2, "cannot write to file/tiny: Not a directory", "--out", "file", prepare=Path("file").touch),
    build(8, DAMAGED, prepare=HALF, id="damaged run.json"),
    build(8, DAMAGED, prepare=run_json('{"schema": "fcnship.run/9"}'), id="run.json of another version"),
    build(8, DAMAGED, "--name", "tiny", "--force", prepare=run_json("[]")),
    case(8, DAMAGED, "why", "tiny.py", prepare=HALF),
    case(8, DAMAGED, "explain", "artifacts/tiny", prepare=HALF),
    case(8, DAMAGED, "report", "artifacts/tiny", prepare=HALF),
]


@pytest.mark.parametrize(
    ("code", "what", "words", "prepare"), [*PROFILES, *LINE, *RECIPES, *MODELS, *DATA, *PLACES]
)
def test_bad_input(
    code: int, what: str, words: tuple[str, ...], prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare()
    found, message = refused(capsys, *words)
    assert message[0].startswith(f"fcnship: {what}") or what in message[0]
    assert found == code


def test_a_folder_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    run_json("{}")()
    with Path("artifacts/tiny/.lock").open("w") as lock:
        lock.write("4321")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, message = refused(capsys, "build", "tiny.py", *PROFILE)
    assert (code, message[0]) == (8, "fcnship: artifacts/tiny is in use by another build (process 4321)")


def test_with_json_an_error_leaves_standard_output_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "build", "nowhere.py", *PROFILE, "--json")[0] == 2


def test_a_misspelt_name_leaves_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("multiscal",), ("tiny.py", "--data", "mnits"), ("tiny.py", "--profile", "16-8")):
        refused(capsys, "build", *words)
    assert not Path("artifacts").exists()


def test_a_refused_build_says_so_in_its_record_and_the_right_one_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused(capsys, "train", "tiny.py", "--profile", "8-999999")
    [record] = read(Path("artifacts/tiny/run.json"))["stages"]
    assert (record["name"], record["status"], record["artifacts"]) == ("train", "failed", [])
    assert "999999x999999" in record["reason"]
    assert main(["train", "tiny.py", *PROFILE]) == 0
    [record] = read(Path("artifacts/tiny/run.json"))["stages"]
    assert record["status"] == "done"


@pytest.mark.parametrize("name", ["my net.py", "größe 数.py", "-x.py", "a'b;c$d.py", ".hidden.py"])
def test_odd_names_of_recipes_work_or_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.py").rename(name)
    if name.startswith("."):
        code, message = refused(capsys, "train", name, *PROFILE)
        assert (code, message[0]) == (2, "fcnship: '.hidden' cannot name a folder")
        return
    assert main(["train", *PROFILE, "--out", "out put/ü", "--", name]) == 0
    assert capsys.readouterr().out == f"Everything is in out put/ü/{name.removesuffix('.py')}\n"
    assert (Path("out put/ü") / name.removesuffix(".py") / "keras" / "model.keras").is_file()


def test_overlapping_profiles_are_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tiny.py", "--profile", "8-16", "--profile", "12-20"]) == 0
    assert read(Path("artifacts/tiny/run.json"))["options"]["profiles"] == ["8,8,16@1,1,8", "12,16,20@1,1,8"]


def test_what_a_recipe_prints_stays_out_of_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.py").write_text(TINY.replace(FIRST, FIRST + "print('hello from the recipe')\n"))
    assert main(["train", "tiny.py", *PROFILE, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("{")
    assert "hello" not in printed.out
    assert "hello from the recipe" in printed.err


def test_modules_beside_a_recipe_or_in_the_folder_shadow_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("json", "polygraphy", "tensorrt_rtx", "numpy", "keras"):
        Path(f"{name}.py").write_text("raise SystemExit('shadowed')")
    before = list(sys.path)
    assert main(["train", "tiny.py", *PROFILE]) == 0
    assert main(["engine", "tiny.py", *PROFILE]) == 0
    assert sys.path == before
