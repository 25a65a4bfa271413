"""VGG16 in memory that people have: convert it, save it, export it to ONNX, check it against Keras.

python tests/benchmarks/vgg16_any_size.py            all of it; half a minute
python tests/benchmarks/vgg16_any_size.py --plain    the straightforward tf2onnx call, killed at a limit
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from random_weights import liven

from fcnship.frameworks import import_keras, import_tensorflow
from fcnship.graph.convert import convert
from fcnship.graph.onnx_export import INPUT, export
from fcnship.machine import available_bytes
from fcnship.recipe import Recipe
from fcnship.runners import run
from fcnship.runners.onnxruntime import OnnxRunner
from fcnship.sizes import Size
from fcnship.verify.noise import MULTIPLE

Array = np.ndarray[Any, Any]
REPOSITORY = Path(__file__).parents[2]
VGG16 = REPOSITORY / "models" / "vgg16.py"
GB = 1e9
PARTS = ("make", "check", "plain")
_POLL_SECONDS = 0.1


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Print what a step took."""
    start = time.perf_counter()
    yield
    gc.collect()
    seconds = time.perf_counter() - start
    print(f"| {name} | {seconds:.1f} | {peak_bytes() / GB:.2f} | {held_bytes() / GB:.2f} |", flush=True)


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def held_bytes(process: int | str = "self") -> int:
    """The memory that a process holds now; 0 when it has ended."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * resource.getpagesize()


def make(recipe: Recipe, shape: tuple[int, int], larger: Size, folder: Path) -> None:
    """Convert, save, export, and write down what Keras answers."""
    with step("import TensorFlow, build the network"):
        original = _built(recipe, *shape)
    trained = Size(*original.inputs[0].shape[1:3])
    images = _images(trained, shape[0])
    with step(f"the original answers at {trained}"):
        answer = np.asarray(original(images, training=False))
    with step("convert"):
        converted = convert(original)
        del original
    with step("save as .keras"):
        converted.save(folder / "model.keras")
    with step("export to ONNX"):
        export(converted, folder / "model.onnx", "nchw", {})
    for place, size in enumerate((trained, larger)):
        images = _images(size, shape[0])
        with step(f"Keras answers at {size}"):
            expected, floor = _answer_and_noise(converted, images)
        np.savez(folder / f"{place}.npz", images=images, expected=expected, floor=floor)
        if size == trained:
            report(f"converted against original at {size}", answer, expected, floor)


def check(folder: Path) -> None:
    """Hold ONNX Runtime against what Keras answered."""
    with step("open the ONNX file with ONNX Runtime"):
        runner = OnnxRunner("onnx-fp32", folder / "model.onnx", "nchw")
    for place in (0, 1):
        with np.load(folder / f"{place}.npz") as file:
            images, expected, floor = file["images"], file["expected"], float(file["floor"])
        size = Size(*images.shape[1:3])
        with step(f"ONNX Runtime answers at {size}"):
            found = run(runner, images)
        report(f"ONNX Runtime against Keras at {size}", found, expected, floor)


def _built(recipe: Recipe, channels: int, classes: int) -> Any:
    import_keras().utils.set_random_seed(0)
    model = recipe.build(channels, classes)
    liven(model)
    return model


def _images(size: Size, channels: int) -> Array:
    shape = (1, size.height, size.width, channels)
    return np.random.default_rng(size.pixels).random(shape, dtype=np.float32)


def _answer_and_noise(model: Any, images: Array) -> tuple[Array, float]:
    """The answer, and by how much it moves when each pixel moves by its last bit."""
    answer, moved = (
        np.asarray(model(x, training=False)) for x in (images, np.nextafter(images, np.float32(2)))
    )
    spacing = float(np.finfo(np.float32).eps * np.abs(answer).max())
    return answer, max(float(np.abs(answer - moved).max()), spacing)


def report(what: str, found: Array, expected: Array, floor: float) -> None:
    """Print the largest error beside the one that is allowed.

    Raises:
        SystemExit: it is more than that.
    """
    error = float(np.abs(found.reshape(expected.shape) - expected).max())
    allowed = MULTIPLE * floor
    shape = "x".join(map(str, expected.shape))
    print(
        f"| {what}: error {error:.1e}, allowed {allowed:.1e}, largest of {shape} {expected.max():.2g} | | | |"
    )
    if error > allowed:
        raise SystemExit(f"{what}: WRONG")


def plain_call(recipe: Recipe, shape: tuple[int, int], folder: Path) -> None:
    """What everybody writes: the converted network through ``tf2onnx.convert.from_function``."""
    tf = import_tensorflow()
    import tf2onnx

    model = convert(_built(recipe, *shape))
    image = tf.TensorSpec((None, None, None, shape[0]), tf.float32, name=INPUT)
    function = tf.function(lambda image: model(image, training=False))
    tf2onnx.convert.from_function(
        function,
        input_signature=[image],
        opset=18,
        inputs_as_nchw=[INPUT],
        output_path=str(folder / "plain.onnx"),
    )


def watched(command: Sequence[str], limit: float) -> tuple[int | None, float, float]:
    """Run a command: its exit code (None: killed at the limit), seconds and peak in bytes."""
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, held_bytes(process.pid))
            if peak > limit:
                process.kill()
                return None, time.perf_counter() - start, peak
            time.sleep(_POLL_SECONDS)
        return process.returncode, time.perf_counter() - start, peak


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when answers agree and it stayed within time and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=VGG16, help="another recipe with a dense head")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--larger", type=Size.parse, default=Size(256, 320))
    parser.add_argument("--most-seconds", type=float, default=60)
    parser.add_argument("--most-gb", type=float, default=4)
    parser.add_argument("--plain", action="store_true", help="the straightforward call instead")
    parser.add_argument("--kill-gb", type=float, default=20, help="with --plain: where it is killed")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    words = list(sys.argv[1:] if words is None else words)
    wanted = parser.parse_args(words)
    if wanted.part:
        _part(wanted)
        return 0
    with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
        command = [sys.executable, __file__, *words, "--folder", folder, "--part"]
        return _plain(wanted, command) if wanted.plain else _whole_way(wanted, command, Path(folder))


def _part(wanted: argparse.Namespace) -> None:
    recipe, shape = Recipe(wanted.model), (wanted.channels, wanted.classes)
    if wanted.part == "make":
        make(recipe, shape, wanted.larger, wanted.folder)
    elif wanted.part == "check":
        check(wanted.folder)
    else:
        plain_call(recipe, shape, wanted.folder)


def _whole_way(wanted: argparse.Namespace, command: list[str], folder: Path) -> int:
    """One process for TensorFlow, then one for ONNX Runtime: whoever deploys has the second alone."""
    print("| step | seconds | peak so far, GB | held after it, GB |\n|---|---|---|---|", flush=True)
    start = time.perf_counter()
    agree = all(subprocess.run([*command, part], check=False).returncode == 0 for part in ("make", "check"))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / GB  # of the larger of the two
    good = agree and seconds <= wanted.most_seconds and peak <= wanted.most_gb
    print()
    for file in folder.glob("model.*"):
        print(f"{file.name}: {file.stat().st_size / 1e6:,.0f} MB")
    print(
        f"{seconds:.1f} s (at most {wanted.most_seconds:g}), peak {peak:.2f} GB (at most {wanted.most_gb:g})"
    )
    print("good" if good else "NOT GOOD")
    return int(not good)


def _plain(wanted: argparse.Namespace, command: list[str]) -> int:
    limit = min(wanted.kill_gb * GB, available_bytes() - GB)
    code, seconds, peak = watched([*command, "plain"], limit)
    end = f"killed at the limit of {limit / GB:.1f} GB" if code is None else f"ended with exit code {code}"
    print(f"the straightforward tf2onnx call of {wanted.model.stem}: {end} after {seconds:.0f} s, "
          f"peak {peak / GB:.1f} GB")  # fmt: skip
    return code or 0


if __name__ == "__main__":
    raise SystemExit(main())
