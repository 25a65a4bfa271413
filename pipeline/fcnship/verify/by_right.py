"""Which cells of a larger map may differ from the original on their crop, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnship.graph.crops import cells_as_on_crop
from fcnship.graph.geometry import last_map, map_stride, sees_everything
from fcnship.graph.nodes import Network
from fcnship.graph.trace import Flags, ancestors, trace_node
from fcnship.sizes import Size


@dataclass(frozen=True, kw_only=True, eq=False)
class Rights:
    """For each cell of a map: must it equal its crop, does the crop fit into the image, why may it differ.

    ``reasons`` maps a reason to the cells that have it; a cell may have several.
    """

    must: Flags
    has_crop: Flags
    stride: tuple[int, int]
    reasons: dict[str, Flags]

    def as_json(self) -> list[dict[str, Any]]:
        """Each reason with its number of cells, their share of the map and the borders where they lie."""
        return [
            {
                "why": why,
                "cells": int(flags.sum()),
                "share": float(flags.mean()),
                "where": borders(flags),
            }
            for why, flags in self.reasons.items()
            if flags.any()
        ]


def rights_of(network: Network, size: Size, crop: Size, output: int) -> Rights:
    """Sort the cells of an output's last map at ``size``, against the original on crops of ``crop``."""
    target, stride = last_map(network, output), map_stride(network, output)
    must = cells_as_on_crop(network, size, crop, output)
    whole, part = trace_node(network, size, target), trace_node(network, crop, target)
    rows, columns = (np.arange(side) for side in must.shape)
    fits = (rows * stride[0] + crop.height <= size.height)[:, None] & (
        columns * stride[1] + crop.width <= size.width
    )[None, :]
    padding, every = _padding_layers(network, target), np.ones_like(must)
    reasons: dict[str, Flags] = {}
    if sees_everything(network, target):
        reasons["a layer lets every cell see the whole image, which a crop does not hold"] = every
    if part.rows.touches_padding[0] or part.columns.touches_padding[0]:
        reasons[f"{padding} at the border of the crop, where the larger image has pixels"] = every
    reasons[f"{padding} at the border of the larger image"] = whole.touches_padding
    reasons["its crop reaches beyond the larger image"] = ~fits
    explained = np.logical_or.reduce([must, *reasons.values()])
    reasons["a pooling or stride does not meet the same pixels as in the crop"] = ~explained
    return Rights(must=must, has_crop=fits, stride=stride, reasons=reasons)


def borders(flags: Flags) -> str:
    """Where cells lie: ``all``, or how many rows and columns at which border, or ``inside`` too."""
    if flags.all():
        return "everywhere"
    full_rows, full_columns = np.all(flags, axis=1), np.all(flags, axis=0)
    counts = {
        "top row": _leading(full_rows),
        "bottom row": _leading(full_rows[::-1]),
        "left column": _leading(full_columns),
        "right column": _leading(full_columns[::-1]),
    }
    told = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count]
    left = flags.copy()
    left[: counts["top row"]] = False
    left[flags.shape[0] - counts["bottom row"] :] = False
    left[:, : counts["left column"]] = False
    left[:, flags.shape[1] - counts["right column"] :] = False
    if left.any():
        told.append(f"{int(left.sum())} cells inside")
    return ", ".join(told)


def _leading(flags: Flags) -> int:
    return int(np.argmin(flags)) if not flags.all() else len(flags)


def _padding_layers(network: Network, target: int) -> str:
    """The layers that pad, by name."""
    nodes = [network.nodes[index] for index in ancestors(network, target)]
    names = [n.name for n in nodes if n.kind == "pad" or n.rows.same or n.columns.same]
    named = ", ".join(repr(name) for name in dict.fromkeys(names[:3]))
    several = len(names) > 1
    more = f" and {len(names) - 3} more layers" if len(names) > 3 else ""
    return f"{named}{more} {'pad' if several else 'pads'}" if named else "a layer pads"
