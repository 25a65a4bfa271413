"""What the timings are worth here: a model against a copy of itself, 30 times. At most 2 may be decided.

    python tests/benchmarks/latency_noise.py artifacts/multiscale
    python tests/benchmarks/latency_noise.py artifacts/multiscale --slower 0.03

Each comparison opens the same file twice, so that the copy has its own memory, and counts as decided if any
of its cases comes out as faster or slower. With ``--slower`` the copy takes that share longer, and every case
should come out as slower: the other half of the evidence.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from fcnship.runners import open_runner
from fcnship.sizes import Profile
from fcnship.verify.latency import latency_cases, latency_rows
from fcnship.verify.selftest.slowed import Slowed

FILES = {"onnx-fp32": "onnx/fp32.onnx", "savedmodel": "savedmodel", "keras": "keras/model.keras"}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("run", type=Path)
    asked.add_argument("--variant", choices=FILES, default="onnx-fp32")
    asked.add_argument("--profile", default="28,80,224@1")
    asked.add_argument("--times", type=int, default=30)
    asked.add_argument("--slower", type=float, default=0.0)
    asked.add_argument("--channels", type=int, default=1)
    given = asked.parse_args()
    cases = latency_cases([Profile.parse(given.profile)])
    rng = np.random.default_rng(0)
    images = {
        c: rng.random((c.batch, c.size.height, c.size.width, given.channels), np.float32) for c in cases
    }
    decided, effects, right = 0, [], 0
    for turn in range(given.times):
        path = given.run / FILES[given.variant]
        first, copy = (open_runner(given.variant, path, "nchw") for _ in range(2))
        second = Slowed(copy, given.slower) if given.slower else copy
        rows, timing = latency_rows([first, second], cases, images.__getitem__, seed=turn)
        copies = rows[1::2]
        verdicts = [row["verdict"] for row in copies]
        decided += any(verdict != "inconclusive" for verdict in verdicts)
        right += sum(verdict == "slower" for verdict in verdicts)
        effects += [row["smallest_effect"] for row in copies]
        shown = "  ".join(
            f"{r['height']}: {r['ratio']:.4f} ({r['ratio_low']:.4f}-{r['ratio_high']:.4f}) {r['verdict']}"
            for r in copies
        )
        print(
            f"{turn + 1:2}  {shown}  others {timing['other_load']:.0%}, {timing['seconds']:.1f} s", flush=True
        )
        for runner in (first, copy):
            runner.close()
    print(f"{decided} of {given.times} comparisons decided; {right} of {len(effects)} cases slower")
    print(f"smallest effect: median {np.median(effects):.1%}, largest {max(effects):.1%}")
    return int(not given.slower and decided > given.times * 2 // 30)


if __name__ == "__main__":
    sys.exit(main())
