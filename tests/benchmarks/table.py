"""Numbers of interleaved pairs, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HEADER = (
    "| measure | heliostat: median (min–max) | torchrun script: median (min–max) "
    "| pair by pair: median (min–max) | wanted |\n|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """One measure of n pairs; `difference` compares by subtraction, otherwise by ratio."""

    name: str
    ours: Sequence[float]
    theirs: Sequence[float]
    wanted: str
    difference: bool = False

    def compared(self) -> list[float]:
        """Return each pair's ratio ours/theirs, or its difference ours − theirs."""
        pairs = list(zip(self.ours, self.theirs, strict=True))
        return [a - b if self.difference else a / b for a, b in pairs]

    def __str__(self) -> str:
        digits = 0 if self.difference else 3
        cells = (
            self.name,
            spread(self.ours),
            spread(self.theirs),
            spread(self.compared(), digits, sign=self.difference),
            self.wanted,
        )
        return f"| {' | '.join(cells)} |"


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table."""
    return "\n".join([HEADER, *map(str, rows)])


def spread(values: Sequence[float], digits: int = 1, *, sign: bool = False) -> str:
    """Return `median (min–max)`."""
    style = f"{'+' if sign else ''},.{digits}f"
    low, middle, high = (format(v, style) for v in (min(values), median(values), max(values)))
    return f"{middle} ({low} – {high})"
