"""Which layer, in memory that people have: VGG16 at 224, FP32 and FP16, cut at each layer.

python tests/benchmarks/attribution_vgg16.py         random weights; about a minute
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from random_weights import liven

from fcnship.frameworks import import_keras
from fcnship.graph.convert import convert
from fcnship.graph.onnx_export import export
from fcnship.graph.onnx_layers import layers_of
from fcnship.precision.fp16 import narrowed
from fcnship.recipe import Recipe
from fcnship.sizes import Size
from fcnship.verify.attribution.attributed import Candidate, Place
from fcnship.verify.attribution.attribution import Attribution
from fcnship.verify.image_batches import ImageBatches

REPOSITORY = Path(__file__).parents[2]
VGG16 = REPOSITORY / "models" / "vgg16.py"
GB = 1e9
PARTS = ("make", "narrow", "spoil")
VARIANTS = ("onnx-fp32", "onnx-fp16", "onnx-fp32:spoilt")


def make(model: Path, channels: int, classes: int, folder: Path) -> None:
    """The network of random weights, made fully convolutional, as Keras and as ONNX."""
    import_keras().utils.set_random_seed(0)
    built = Recipe(model).build(channels, classes)
    liven(built)
    converted = convert(built)
    converted.save(folder / "model.keras")
    export(converted, folder / "onnx-fp32.onnx", "nchw", {})


def narrow(folder: Path) -> None:
    """FP16."""
    onnx.save(narrowed(onnx.load(folder / "onnx-fp32.onnx")), folder / "onnx-fp16.onnx")


def spoil(folder: Path) -> None:
    """A copy in which the kernel of a convolution halfway is transposed; ``spoilt.txt`` names its layer."""
    model = onnx.load(folder / "onnx-fp32.onnx")
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    node = convolutions[len(convolutions) // 2 - 1]
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    turned = np.ascontiguousarray(numpy_helper.to_array(kernel).swapaxes(2, 3))
    kernel.CopyFrom(numpy_helper.from_array(turned, kernel.name))
    onnx.save(model, folder / "onnx-fp32:spoilt.onnx")
    (folder / "spoilt.txt").write_text(layers_of(model)[node.name].path, encoding="utf-8")


def measure(variant: str, size: Size, channels: int, folder: Path) -> None:
    """Rank the layers of one variant, and print the worst and the peak of memory."""
    start = time.perf_counter()
    images = ImageBatches(channels=channels, value_range=(0.0, 1.0))
    attribution = Attribution("keras", folder / "model.keras", "nhwc", images)
    candidate = Candidate(variant=variant, path=folder / f"{variant}.onnx", layout="nchw")
    found = attribution.of(candidate, Place(size=size, batch=1)).as_json()
    print(f"{variant} at {size}: {found['finding']}")
    for row in found["rows"][:3]:
        print(
            f"  {row['layer']}: adds {row['local']:.2g}, {row['steps']:.3g} steps; {row['fault'] or 'sound'}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB
    print(
        f"  {len(found['rows'])} layers, {time.perf_counter() - start:.1f} s, peak {peak:.2f} GB", flush=True
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when each part stayed within the memory and the fault was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=VGG16, help="another recipe")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--size", type=Size.parse, default=Size(224, 224))
    parser.add_argument("--most-gb", type=float, default=4)
    parser.add_argument("--part", choices=(*PARTS, *VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    words = list(sys.argv[1:] if words is None else words)
    wanted = parser.parse_args(words)
    if wanted.part:
        _part(wanted)
        return 0
    with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
        command = [sys.executable, __file__, *words, "--folder", folder, "--part"]
        for part in PARTS:
            subprocess.run([*command, part], check=True)
        spoilt = (Path(folder) / "spoilt.txt").read_text(encoding="utf-8")
        outs, peaks = {}, {}
        for variant in VARIANTS:
            done = subprocess.run([*command, variant], check=True, stdout=subprocess.PIPE, text=True)
            outs[variant] = done.stdout
            peaks[variant] = float(done.stdout.rpartition("peak ")[2].split()[0])
            print(done.stdout, end="", flush=True)
    found = f": {spoilt} computes something else: its kernel is transposed" in outs["onnx-fp32:spoilt"]
    good = found and max(peaks.values()) <= wanted.most_gb
    print(f"the fault in {spoilt} was {'found' if found else 'NOT FOUND'}, "
          f"peak {max(peaks.values()):.2f} GB (at most {wanted.most_gb:g})")  # fmt: skip
    print("good" if good else "NOT GOOD")
    return int(not good)


def _part(wanted: argparse.Namespace) -> None:
    match wanted.part:
        case "make":
            make(wanted.model, wanted.channels, wanted.classes, wanted.folder)
        case "narrow":
            narrow(wanted.folder)
        case "spoil":
            spoil(wanted.folder)
        case variant:
            measure(variant, wanted.size, wanted.channels, wanted.folder)


if __name__ == "__main__":
    raise SystemExit(main())
