"""A certificate in about five lines, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcnship.graph.saving import in_words
from fcnship.sizes import Size

if TYPE_CHECKING:
    from fcnship.verify.certificate import Certificate
    from fcnship.verify.larger import LargerCheck


def lines_of(certificate: Certificate) -> list[str]:
    """Verdict, trained size, larger sizes, geometry, cost; reasons first where it failed."""
    c = certificate
    verdict = "Proved" if c.proved else "FAILED"
    says = "computes" if c.proved else "does not compute"
    first = f"{verdict}: {c.name}, made convolutional ({c.parameters:,} parameters), {says} the same."
    return [
        first,
        *(f"  because {reason}" for reason in c.reasons),
        _trained(c),
        *_larger(c),
        _geometry(c),
        *_cost(c),
    ]


def _trained(c: Certificate) -> str:
    worst = max(c.trained, key=lambda check: check.max_abs / check.tolerance if check.tolerance else 0)
    real = f"{c.real_images} real and " if c.real_images else ""
    outputs = "" if len(c.trained) == 1 else f" ({len(c.trained)} outputs)"
    return (
        f"At {c.trained_size}{outputs}: {real}{c.random_images} random images, largest difference "
        f"{worst.max_abs:.2g}; allowed {worst.tolerance:.2g}, {worst.multiple} times the measured rounding "
        f"noise {worst.floor:.2g} of the original."
    )


def _larger(c: Certificate) -> list[str]:
    maps = [check for check in c.larger if check.must_compared or check.free_compared]
    whole = [check for check in c.larger if check not in maps and check.layers_compared]
    lines = []
    if maps:
        lines.append(_on_crops(maps))
    if maps and any(check.layers_compared for check in maps) and any(_free(check) for check in maps):
        worst = max(check.layers_max for check in maps)
        cells = sum(check.layers_compared for check in maps)
        lines.append(
            "The original's own layers on the whole image, its head on each window, give the same in all "
            f"{cells:,} cells compared, to {worst:.2g}."
            if all(check.layers_max <= check.tolerance for check in maps)
            else f"The original's own layers on the whole image differ by up to {worst:.2g}."
        )
    if whole:
        worst = max(check.layers_max for check in whole)
        lines.append(
            f"At {_sizes(whole)}: the original's own layers on the whole image give the same to {worst:.2g}."
        )
    return lines


def _on_crops(maps: list[LargerCheck]) -> str:
    must = sum(check.must_compared for check in maps)
    free = sum(check.free_compared for check in maps)
    text = f"At {_sizes(maps)}, cell (i, j) against the original on its crop: "
    if must:
        worst = max(check.must_max for check in maps)
        agree = all(check.must_max <= check.tolerance for check in maps)
        word = "agree" if agree else "do NOT all agree"
        text += f"{must:,} of the {must + free:,} cells compared must be equal and {word}, to {worst:.2g}."
    if free:
        why = max((reason for check in maps for reason in check.free_why), key=lambda r: r["cells"])["why"]
        apart = max(check.free_max for check in maps)
        subject = "The others" if must else f"None of the {free:,} cells compared has to be equal: they"
        text += f"{' ' if must else ''}{subject} may differ and do by up to {apart:.2g}, because {why}."
    return text


def _free(check: LargerCheck) -> bool:
    return check.free_compared > 0


def _geometry(c: Certificate) -> str:
    geometry, ran = c.geometry.as_json(), len(c.sizes.run)
    known = f"map of {c.sizes.rows} rows and {c.sizes.columns} columns" if c.sizes.rows else "no formula"
    if all(row["expected"] is None for row in c.sizes.run):
        known = "one vector at every size"
    stride, field, low = (_side(geometry[k]) for k in ("total_stride", "receptive_field", "minimum_size"))
    return (
        f"For HxW: {known}; total stride {stride}, receptive field {field}, from {low} up; run at {ran} "
        "sizes, the smallest included."
    )


def _cost(c: Certificate) -> list[str]:
    if not c.savings:
        return []
    if c.warnings:
        return [f"WARNING: {c.warnings[0]}."]
    saving = c.savings[-1]
    return [
        f"One pass at {saving.size} takes {in_words(saving.one_pass)} multiply-adds, {saving.crops:,} crops "
        f"take {in_words(saving.by_crops)}: {saving.ratio:.1f} times as many."
    ]


def _sizes(checks: list[LargerCheck]) -> str:
    sizes: list[Size] = list(dict.fromkeys(check.size for check in checks))
    return ", ".join(map(str, sizes))


def _side(value: int | list[int]) -> str:
    return str(value) if isinstance(value, int) else "x".join(map(str, value))
