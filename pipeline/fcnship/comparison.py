"""Two reports against each other: what differs, and what of it is worse than allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fcnship.errors import AccuracyBelowFloor, LatencyExceeded, ParityFailed, UsageError
from fcnship.reports.figures import bytes_text, error_phrase, percent_text, share, size_text, where_text
from fcnship.reports.order import in_order
from fcnship.verify.baseline import ratio_changes, unlike
from fcnship.verify.ratios import ZONE

Report = Mapping[str, Any]
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much worse a new report may be.

    ``max_error_growth`` is in tolerances, ``max_accuracy_drop`` in shares of the images, ``max_slowdown`` a
    ratio of ratios.
    """

    max_error_growth: float = 0.5
    max_accuracy_drop: float = 0.005
    max_slowdown: float = 1.05

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value >= 0:
                raise UsageError(
                    f"{value:g} is no limit",
                    cause="a limit is a number from 0 up",
                    next=f"give another --{name.replace('_', '-')}",
                )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that differs; ``code`` is the exit code where it is worse than allowed, else 0."""

    part: str
    subject: str
    before: str
    now: str
    code: int = 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs between two reports, the worst first, and what could not be compared."""

    old: str
    new: str
    limits: Limits
    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...]

    @property
    def worse(self) -> tuple[Difference, ...]:
        """The differences that are worse than allowed."""
        return tuple(difference for difference in self.differences if difference.code)

    @property
    def exit_code(self) -> int:
        """4 (parity) before 5 (accuracy) before 6 (latency); 0 if nothing is worse than allowed."""
        return min((difference.code for difference in self.worse), default=0)

    def as_json(self) -> dict[str, Any]:
        """The comparison for programs."""
        return {**asdict(self), "exit_code": self.exit_code}


def compare(old: Report, new: Report, limits: Limits) -> Comparison:
    """Hold a new report against an old one. Times are compared only if both were timed alike."""
    found = [
        *_verdict(old, new),
        *_parity(old, new, limits),
        *_accuracy(old, new, limits),
        *_latency(old, new, limits),
        *_variants(old, new),
        *_facts("model", old["model"], new["model"]),
        *_facts("data", old["data"], new["data"]),
        *_listed("profiles", old, new),
        *_environment(old["environment"], new["environment"]),
        *_facts("fcnship", {"version": old["fcnship"]}, {"version": new["fcnship"]}),
    ]
    return Comparison(
        old=f"{old['name']}, {old['created']}",
        new=f"{new['name']}, {new['created']}",
        limits=limits,
        differences=tuple(sorted(found, key=lambda difference: difference.code == 0)),
        not_compared=tuple(_not_compared(old, new)),
    )


def _verdict(old: Report, new: Report) -> Iterator[Difference]:
    codes = {reason["code"] for reason in new["reasons"]} - {reason["code"] for reason in old["reasons"]}
    if old["verdict"] != new["verdict"] or codes:
        yield Difference(
            part="verdict",
            subject="; ".join(reason["text"] for reason in new["reasons"] if reason["code"] in codes)
            or "all",
            before=old["verdict"],
            now=new["verdict"],
            code=min(codes, default=0),
        )


def _parity(old: Report, new: Report, limits: Limits) -> Iterator[Difference]:
    before = {_parity_place(row): row for row in old["parity"]}
    rows = {_parity_place(row): row for row in in_order(new["parity"])}
    for place, row in rows.items():
        was = before.get(place)
        failed = not row["passed"] and (was is None or was["passed"])
        mended = was is not None and row["passed"] and not was["passed"]
        grown = was is not None and share(row) - share(was) > limits.max_error_growth
        if failed or mended or grown:
            yield Difference(
                part="parity",
                subject=f"{row['variant']} against {row['reference']} at {where_text(row)}",
                before="not compared" if was is None else _parity_text(was),
                now=_parity_text(row),
                code=ParityFailed.exit_code if failed or (grown and not mended) else 0,
            )
    yield from _coverage("parity", len(before.keys() - rows.keys()), len(rows.keys() - before.keys()))


def _parity_text(row: Row) -> str:
    return f"{'pass' if row['passed'] else 'fail'}: {error_phrase(row)}"


def _accuracy(old: Report, new: Report, limits: Limits) -> Iterator[Difference]:
    if old["data"]["sha256"] != new["data"]["sha256"]:
        return
    before = {_accuracy_place(row): row for row in old["accuracy"]}
    rows = {_accuracy_place(row): row for row in in_order(new["accuracy"])}
    for place, row in rows.items():
        if place in before and abs(row["accuracy"] - before[place]["accuracy"]) > limits.max_accuracy_drop:
            yield Difference(
                part="accuracy",
                subject=f"{row['variant']} at {size_text(row)}",
                before=percent_text(before[place]["accuracy"]),
                now=percent_text(row["accuracy"]),
                code=AccuracyBelowFloor.exit_code if row["accuracy"] < before[place]["accuracy"] else 0,
            )
    yield from _coverage("accuracy", len(before.keys() - rows.keys()), len(rows.keys() - before.keys()))


def _latency(old: Report, new: Report, limits: Limits) -> Iterator[Difference]:
    if unlike(old, new):
        return
    for change in ratio_changes(old, {**new, "latency": in_order(new["latency"])}):
        slower = change.change_low > limits.max_slowdown
        if slower or change.change_low > 1 + ZONE or change.change_high < 1 - ZONE:
            yield Difference(
                part="latency",
                subject=f"{change.variant} at {where_text(change.as_json())}, over the original",
                before=f"{change.before:.3f}x",
                now=f"{change.now:.3f}x: {change.change:.3f} times as much "
                f"({change.change_low:.3f}-{change.change_high:.3f})",
                code=LatencyExceeded.exit_code if slower else 0,
            )


def _variants(old: Report, new: Report) -> Iterator[Difference]:
    before = {row["variant"]: row for row in old["variants"]}
    now = {row["variant"]: row for row in in_order(new["variants"])}
    for name in [*now, *(name for name in before if name not in now)]:
        first, second = _variant_text(before.get(name)), _variant_text(now.get(name))
        if first != second:
            yield Difference(part="variants", subject=name, before=first, now=second)


def _variant_text(row: Row | None) -> str:
    if row is None:
        return "absent"
    digest = f", {row['sha256'][:8]}" if row["sha256"] else ""
    return f"{row['status']}, {bytes_text(row['bytes'])}{digest}"


def _environment(old: Row, new: Row) -> Iterator[Difference]:
    yield from _facts("environment", {**old, "libraries": ""}, {**new, "libraries": ""})
    yield from _facts("libraries", old["libraries"], new["libraries"])


def _facts(part: str, old: Row, new: Row) -> Iterator[Difference]:
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield Difference(part=part, subject=key, before=str(old.get(key)), now=str(new.get(key)))


def _listed(key: str, old: Report, new: Report) -> Iterator[Difference]:
    if old[key] != new[key]:
        yield Difference(part=key, subject="all", before=str(old[key]), now=str(new[key]))


def _coverage(part: str, gone: int, added: int) -> Iterator[Difference]:
    """Comparisons that only one of the reports has."""
    if gone or added:
        yield Difference(
            part=part,
            subject="what was compared",
            before=f"{gone} rows that are gone" if gone else "-",
            now=f"{added} rows that are new" if added else "-",
        )


def _not_compared(old: Report, new: Report) -> Iterator[str]:
    if old["data"]["sha256"] != new["data"]["sha256"]:
        yield "accuracy: the data are not the same"
    if reason := unlike(old, new):
        yield f"latency: {reason}"


def _parity_place(row: Row) -> tuple[Any, ...]:
    keys = ("variant", "reference", "height", "width", "batch", "output")
    return tuple(row.get(key) for key in keys)


def _accuracy_place(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("variant", "height", "width", "images"))
