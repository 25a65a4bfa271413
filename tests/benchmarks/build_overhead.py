"""What ``fcnship build`` costs beyond its own work: its wall time over that of a script written by hand.

    python tests/benchmarks/build_overhead.py [--times 3]

Both train the network of models/multiscale.py for three steps only, so that training does not count, make the
same files for the profile 28-224 and measure the same cases; see by_hand.py. They take turns, each run in a
new process, and the medians are compared. At most 1.3.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MOST = 1.3


def seconds_of(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall time and processor time of a command that ends well, its children included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def three_steps(folder: Path) -> Path:
    """The shipped recipe, with three steps of training; its schedule of rates needs more than 100."""
    text = (ROOT / "models/multiscale.py").read_text(encoding="utf-8")
    text, steps = re.subn(r'"steps": \d+', '"steps": 3', text)
    text, factors = re.subn(r'"steps_per_image": [\d.]+', '"steps_per_image": 0', text)
    text, rates = re.subn(r"steps - 100,", "200,", text)
    assert (steps, factors, rates) == (1, 1, 1), "models/multiscale.py is not what this script expects"
    path = folder / "brief.py"
    path.write_text(text, encoding="utf-8")
    return path


def cases_of(report: Any) -> dict[str, Any]:
    """What the build measured, for the other to measure as well."""
    return {
        "parity": sorted({(r["height"], r["width"], r["batch"]) for r in report["parity"]}),
        "accuracy": sorted({(r["height"], r["width"]) for r in report["accuracy"]}),
        "latency": sorted({(r["height"], r["width"], r["batch"]) for r in report["latency"]}),
        "latency_seconds": report["timing"]["seconds"],
    }


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("--times", type=int, default=3)
    times = asked.parse_args().times
    builds, scripts, latencies = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe, cases = three_steps(folder), folder / "cases.json"
        script = str(Path(__file__).with_name("by_hand.py"))
        for turn in range(times):
            build = [sys.executable, "-m", "fcnship", "build", str(recipe), "--profile", "28-224"]
            builds.append(seconds_of([*build, "--name", f"build{turn}"], folder))
            report = folder / f"artifacts/build{turn}/report.json"
            found = cases_of(json.loads(report.read_text(encoding="utf-8")))
            cases.write_text(json.dumps(found), encoding="utf-8")
            latencies.append(found["latency_seconds"])
            by_hand = [sys.executable, script, str(recipe), str(cases), f"script{turn}"]
            scripts.append(seconds_of(by_hand, folder))
            print(f"fcnship build {told(builds[-1])}, by hand {told(scripts[-1])}", flush=True)
    build, script = median_of(builds), median_of(scripts)
    timing = statistics.median(latencies)
    print(f"\nfcnship build {told(build)}, by hand {told(script)}")
    print(f"ratio: {build[0] / script[0]:.2f} of wall time, {build[1] / script[1]:.2f} of processor time")
    # The rounds of latency take as long as they are told to, in both alike.
    print(f"without the {timing:.1f} s of timing in each: {(build[0] - timing) / (script[0] - timing):.2f}")
    print(f"at most {MOST}: {'yes' if build[0] / script[0] <= MOST else 'NO'}")
    return int(build[0] / script[0] > MOST)


def median_of(runs: list[tuple[float, float]]) -> tuple[float, float]:
    """The medians of wall and of processor time."""
    wall, processor = zip(*runs, strict=True)
    return statistics.median(wall), statistics.median(processor)


def told(run: tuple[float, float]) -> str:
    return f"{run[0]:.1f} s ({run[1]:.1f} s of processor time)"


if __name__ == "__main__":
    sys.exit(main())
