"""`make bench`: what it costs that nothing is lost.

    python durability.py [--pairs 7] [--only checkpoints tracking recovery] [--keep FOLDER]

checkpoints: turns of 50 ResNet-50 steps without a checkpoint, with one, and with `torch.save`.
tracking: the small CNN with its loss recorded at each step, beside once an epoch; MLflow up, away.
recovery: from the death of a worker under Ray to the next optimizer step.
The Markdown goes to stdout, every number to `benchmark-results/<time>.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from durability_checkpoints import measure_checkpoints
from durability_recovery import measure_recovery
from durability_tracking import measure_tracking
from pairs import ROOT, measure_parts

PARTS = {
    "checkpoints": measure_checkpoints,
    "tracking": measure_tracking,
    "recovery": measure_recovery,
}


def measure(part: str, work: Path, pairs: int) -> Any:
    """Measure a part in a folder; print its table and return its numbers."""
    return PARTS[part](work, pairs)


if __name__ == "__main__":
    # Nothing is read but what comes with scikit-learn.
    measure_parts(__doc__ or "", list(PARTS), measure, needed=ROOT)
