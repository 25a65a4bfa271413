"""The error budget over all sizes: what each step of the chain added, as every renderer tells it."""

from __future__ import annotations

from dataclasses import dataclass

from fcnship.reports.figures import error_text, where_text
from fcnship.reports.order import Report, Row, in_order

BUDGET_HEADS = (
    "step to",
    "from",
    "adds at most",
    "at",
    "adds on average",
    "total at most",
    "share of the total",
)


@dataclass(frozen=True, kw_only=True)
class BudgetSummary:
    """All budget rows of one variant: its largest and mean step, its largest total, its mean contribution."""

    variant: str
    before: str
    worst: Row
    step_mean: float
    total_max: float
    contribution: float
    share: float | None


def budget_summaries(report: Report) -> list[BudgetSummary]:
    """One summary for each step, in the order of the chain; the shares add up to 1."""
    steps: dict[tuple[str, str], list[Row]] = {}
    for row in in_order(report.get("budget", ())):
        steps.setdefault((row["variant"], row["before"]), []).append(row)
    cases = max((len(rows) for rows in steps.values()), default=1)
    contributions = {key: sum(row["contribution"] for row in rows) / cases for key, rows in steps.items()}
    whole = sum(contributions.values())
    return [
        BudgetSummary(
            variant=variant,
            before=before,
            worst=max(rows, key=lambda row: row["step_max"]),
            step_mean=sum(row["step_mean"] for row in rows) / len(rows),
            total_max=max(row["total_max"] for row in rows),
            contribution=contributions[variant, before],
            share=contributions[variant, before] / whole if whole else None,
        )
        for (variant, before), rows in steps.items()
    ]


def budget_cells(summary: BudgetSummary) -> tuple[str, ...]:
    """The cells under ``BUDGET_HEADS``."""
    return (
        summary.variant,
        summary.before,
        error_text(summary.worst["step_max"]),
        where_text(summary.worst),
        error_text(summary.step_mean),
        error_text(summary.total_max),
        "-" if summary.share is None else f"{round(summary.share * 100)} %",
    )
