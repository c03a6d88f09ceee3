"""A training that returns at once: what is left of a trial is the search's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliostat.training.custom import CustomRun


def train(run: CustomRun, x: float) -> None:
    """Report a parabola."""
    run.report({"val/distance": (x - 0.3) ** 2}, step=1)
