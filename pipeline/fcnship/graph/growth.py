"""The size of a network's output map as a formula in the image's height and width."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from fcnship.graph.geometry import last_map, scales
from fcnship.graph.nodes import Network
from fcnship.graph.propagate import is_legal, maps, minimum
from fcnship.sizes import Size

_PERIODS = 4
_TRIES = 256


@dataclass(frozen=True, kw_only=True)
class Formula:
    """Cells along one axis for an image of ``n`` pixels: ``floor((n - offset) / step) * finer + base``.

    ``floor``, ``ceil`` and plain sums are written as what reads best; ``text`` is the formula in ``letter``.
    """

    text: str
    offset: int
    step: int
    finer: int
    base: int

    def cells(self, pixels: int) -> int:
        """The number of cells."""
        return (pixels - self.offset) // self.step * self.finer + self.base


def formula_of(network: Network, axis: int, output: int = 0) -> Formula | None:
    """The formula for rows (axis 0, in H) or columns (axis 1, in W) of an output's last map.

    It is read off the network's own arithmetic and holds at every legal size that was tried: a few hundred
    sides from the smallest on. None where no formula of this form does.
    """
    scale = scales(network, axis)[last_map(network, output)]
    if scale == 0:
        return None
    sides = _sides(network, axis, output)
    first = next(iter(sides))
    step, finer = ceil(scale), (scale.denominator if scale < 1 else 1)
    if scale != step and scale != Fraction(1, finer):
        return None
    # A side at which a cell is added; if none was met, one is as good as the other.
    known = [n for n in list(sides)[1:] if n - 1 in sides and sides[n] != sides[n - 1]] or [first]
    offset = known[0]
    found = Formula(text="", offset=offset, step=step, finer=finer, base=sides[offset])
    if any(found.cells(n) != cells for n, cells in sides.items()):
        return None
    same = any(node.along(axis).same for node in network.nodes)
    text = _written("HW"[axis], offset, step, finer, sides[offset], same)
    return Formula(text=text, offset=offset, step=step, finer=finer, base=sides[offset])


def _sides(network: Network, axis: int, output: int) -> dict[int, int]:
    """Legal sides, rising, and the cells that they make."""
    low = minimum(network)[0]
    start = (low.height, low.width)[axis]
    period = max(ceil(scale) for scale in scales(network, axis))
    target = last_map(network, output)
    found: dict[int, int] = {}
    for side in range(start, start + max(_TRIES, _PERIODS * period) + 1):
        size = Size(low.height, side) if axis else Size(side, low.width)
        if is_legal(network, size):
            found[side] = maps(network, size)[axis][target]
    return found


def _written(letter: str, offset: int, step: int, finer: int, base: int, same: bool) -> str:
    if step == 1:
        return _sum(f"{finer} * {letter}" if finer > 1 else letter, base - finer * offset)
    behind = offset - (base - 1) * step  # the side at which the map would have its first cell
    if same and (behind - 1) % step == 0:
        return _sum(f"ceil({letter} / {step})", -((behind - 1) // step))
    return f"floor(({_sum(letter, -behind)}) / {step}) + 1".replace(f"({letter})", letter)


def _sum(term: str, number: int) -> str:
    return term if number == 0 else f"{term} {'+' if number > 0 else '-'} {abs(number)}"
