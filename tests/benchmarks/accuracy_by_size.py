"""MNIST over image sizes: models/multiscale.py beside the published networks that run at any size.

    python tests/benchmarks/accuracy_by_size.py

Trains each with its recipe by ``fcnship train`` and measures it on all 10,000 test images at every size.
About twenty minutes on two cores; ``--runs DIR`` keeps what was trained, and measures it again without.
Exit code 1: multiscale is below 98.0 % somewhere, has more than 75,000 parameters, or took over 6 minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from published_networks import MNIST_BESIDE

import fcnship
from fcnship.data import Dataset, find_data
from fcnship.graph.facts import ModelFacts
from fcnship.runners import ORIGINAL
from fcnship.runners.keras import KerasRunner
from fcnship.sizes import Size, short
from fcnship.verify.accuracy import accuracy_rows

SIZES = "28 32 40 56 84 112 160 224 28x40 224x160 150x75"
NETWORKS = {"multiscale": "28-224", "fcn": "28-224", "variable": "28-224"}
PROMISED = "multiscale"
LEAST_ACCURACY, MOST_PARAMETERS, MOST_SECONDS = 0.98, 75_000, 360
_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A trained network: parameters, seconds of its train stage, accuracy by size."""

    parameters: int
    seconds: float
    accuracy: dict[Size, float]

    @property
    def lowest(self) -> float:
        """At the worst of the sizes."""
        return min(self.accuracy.values())


def measure(name: str, data: Dataset, given: argparse.Namespace, folder: Path) -> Measured:
    """Train one network, unless the folder has it, and measure it at every size."""
    run = fcnship.train(name, data=given.mnist, profile=NETWORKS[name], name=name, out=folder)
    record = next(stage for stage in run.stages if stage.name == "train")
    facts = ModelFacts.from_json(record.facts)
    runner = KerasRunner(ORIGINAL, run.folder / "keras" / "model.keras")
    accuracy = {}
    for size in given.sizes:
        rows = accuracy_rows([runner], data, facts.value_range, size, {ORIGINAL: _BATCH}, given.images)
        accuracy[size] = rows[0]["accuracy"]
    return Measured(parameters=facts.parameters, seconds=record.seconds, accuracy=accuracy)


def table(found: dict[str, Measured], sizes: Sequence[Size]) -> list[str]:
    """Accuracy in per cent by size, in Markdown."""
    heads = ["network", "parameters", "training, s", *map(short, sizes), "lowest"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in found.items():
        shares = [*(row.accuracy[size] for size in sizes), row.lowest]
        cells = [name, f"{row.parameters:,}", f"{row.seconds:.0f}", *(f"{100 * each:.2f}" for each in shares)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a promise is broken."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    beside = str(MNIST_BESIDE) if MNIST_BESIDE.is_file() else "mnist"
    asked.add_argument("--mnist", default=beside, help="mnist, or an .npz of it")
    asked.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    asked.add_argument("--sizes", type=Size.parse, nargs="+", default=list(map(Size.parse, SIZES.split())))
    asked.add_argument("--images", type=int, default=10_000, help="of the test images")
    asked.add_argument("--runs", type=Path, help="where run folders are kept")
    given = asked.parse_args(words)
    data = find_data(given.mnist).load()
    with tempfile.TemporaryDirectory(prefix="fcnship-") as folder:
        runs = given.runs or Path(folder)
        found = {name: measure(name, data, given, runs) for name in given.networks}
    print(*table(found, given.sizes), sep="\n")
    return 1 if PROMISED in found and broken(found[PROMISED]) else 0


def broken(row: Measured) -> bool:
    """Whether what is promised of the default recipe does not hold."""
    return row.lowest < LEAST_ACCURACY or row.parameters > MOST_PARAMETERS or row.seconds > MOST_SECONDS


if __name__ == "__main__":
    raise SystemExit(main())
