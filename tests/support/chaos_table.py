"""The table of the chaos suite: what each fault has cost."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from disturbed import Outcome

Costs = dict[str, list[Outcome]]

Survived = Callable[[str, list[Outcome]], None]
"""Puts what a fault has cost into the table."""


def table(costs: Costs) -> list[str]:
    """Return the table's lines, a fault each."""
    rows = [
        ("fault", "times", "lost steps (median, most)", "seconds to recover (median, most)", "to")
    ]
    for fault, outcomes in costs.items():
        lost = [outcome.lost_steps for outcome in outcomes]
        for to in sorted({outcome.to for outcome in outcomes}, reverse=True):
            seconds = [outcome.seconds for outcome in outcomes if outcome.to == to]
            first = to == max(outcome.to for outcome in outcomes)
            rows.append(
                (
                    fault if first else "",
                    str(len(seconds)),
                    f"{median(lost):g}, {max(lost)}" if first else "",
                    f"{median(seconds):.1f}, {max(seconds):.1f}",
                    "next new step" if to == "step" else "the job's end",
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
