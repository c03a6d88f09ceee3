"""The best so far is what a checkpoint holds: also after one of them was spoilt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.training.agreeing import agreed, loaded
from heliostat.training.checkpoints import Checkpoint

if TYPE_CHECKING:
    from heliostat.training.loop import Run


def best_checkpoint(run: Run) -> Checkpoint | None:
    """Return the best checkpoint that verifies, and have the run's best so far be its: collective.

    Where the best so far is in no checkpoint any more, the next best takes its place, or none.
    """
    if run.spec.objective is None:
        return None
    best = agreed(run.context, run.store.best)
    progress = run.progress
    objective = None if best is None else best.objective
    if run.spec.checkpoint.keep_best == 0 or progress.best in (None, objective):
        return best
    if run.context.is_main:
        run.context.reporter.event(
            "best_lost", value=progress.best, instead=None if best is None else best.folder.name
        )
    progress.best = objective
    progress.selected = {} if best is None else loaded(run.context, best.state)["selected"]
    return best
