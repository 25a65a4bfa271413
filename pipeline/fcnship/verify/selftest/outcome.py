"""What a self-test found: an outcome for each fault, and the passes of clean copies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Gate = Literal["parity", "refusal", "precision", "accuracy", "latency", "engine", "hash"]
Status = Literal["caught", "missed", "undecided", "skipped"]
# What each gate ends fcnship validate with.
EXIT_CODES: dict[Gate, int] = dict(zip(get_args(Gate), (4, 4, 4, 5, 6, 8, 8), strict=True))
SCHEMA = "fcnship.selftest/1"
_GATE_BROKEN, _TOO_NOISY = 1, 7


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a gate says of one thing that it was given: where it failed most, and by how much."""

    where: str
    figure: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one fault.

    ``gate`` has to catch it, ``exit_code`` is what a validation ends with then; ``network`` is the one it
    was put into, ``reason`` why it was not caught, or not put into the network that was asked for.
    """

    fault: str
    gate: Gate
    exit_code: int
    network: str
    status: Status
    where: str = ""
    figure: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Clean:
    """One pass of clean copies through all gates: what was asked, and what failed though nothing is wrong."""

    number: int
    seconds: float
    checks: int
    failures: tuple[tuple[Gate, str], ...]


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """The outcomes in the order of the faults, and the clean passes."""

    network: str
    outcomes: tuple[Outcome, ...]
    clean: tuple[Clean, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every fault that could be put anywhere was caught, and every clean pass passed."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0, or what is worst.

        1: a gate missed a fault, which is a bug of fcnship and of nobody's network. Else the code of the gate
        that clean copies failed, as ``fcnship validate`` ends with. Else 7: this machine is too noisy to
        see a slowdown of 3 %.
        """
        states = {outcome.status for outcome in self.outcomes}
        if "missed" in states:
            return _GATE_BROKEN
        codes = [EXIT_CODES[gate] for each in self.clean for gate, _ in each.failures]
        return min(codes, default=_TOO_NOISY if "undecided" in states else 0)

    def as_json(self) -> dict[str, Any]:
        """The self-test for programs."""
        return {"schema": SCHEMA, "passed": self.passed, "exit_code": self.exit_code, **asdict(self)}
