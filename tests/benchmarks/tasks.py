"""`make bench`: each vision task beside its plain reference-style script, in interleaved pairs.

    python tasks.py [--pairs 7] [--only detection segmentation generation translation]
                    [--keep FOLDER]

The same network, images, global batch, size, precision (fp32), augmentation, losses, optimizer and
schedule on both sides, one thread a rank; task_script.py says how its side is written. The Markdown
goes to stdout, every single number to `benchmark-results/<time>.json`. Rates are of steps alone:
neither side evaluates or writes checkpoints while it is measured, and the last batch of an epoch
is as large as the others.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import Measurement, Workload, run_command, run_heliostat, run_task_script
from pairs import ROOT, SHARED, Side, measure_pairs, measure_parts
from table import Row

TASKS = ("detection", "segmentation", "generation", "translation")
SIDES: dict[str, Side] = {"heliostat": run_heliostat, "script": run_task_script}
MEMBRANES = SHARED / "isbi-em-membrane" / "data" / "membrane"


def main() -> None:
    """Measure what was asked for and print it."""
    measure_parts(__doc__, TASKS, measure, needed=SHARED)


def measure(task: str, work: Path, pairs: int) -> Any:
    """Measure one task, print its table, and return its numbers."""
    return measure_pairs(workload_of(task, work), work, pairs, SIDES, rows)


def workload_of(task: str, work: Path) -> Workload:
    """Return the task's data, batch and steps: about ten seconds of them after the warm-up."""
    # heliostat's first fifteen seconds share the two cores with what starts beside training (the
    # recorder imports mlflow, the driver tries the spec out): those steps are no steady rate.
    match task:
        case "detection":
            data = SHARED / "bccd" / "BCCD"
            return Workload(task, data, batch=8, steps=90, warm_up=50, log_every=5)
        case "segmentation":
            return Workload(task, MEMBRANES, batch=4, steps=22, warm_up=12, log_every=2)
        case "generation":
            return Workload(task, SHARED / "fashion-mnist", batch=128, steps=500, warm_up=300)
        case _:
            return Workload(task, tiles(work), batch=4, steps=90, warm_up=50)


def tiles(work: Path) -> Path:
    """Return a folder of two unpaired domains, made as the shipped job's data is."""
    folder = work / "tiles"
    script = ROOT / "jobs" / "isbi_cyclegan" / "prepare.py"
    run_command([sys.executable, str(script), str(MEMBRANES), str(folder)], work, {})
    return folder


def rows(ours: Sequence[Measurement], theirs: Sequence[Measurement]) -> list[Row]:
    """Return the table's rows: the rate, and the losses as a check that both learn the same."""
    return [
        Row(
            "images/s, steady",
            [run.images_per_second for run in ours],
            [run.images_per_second for run in theirs],
            "≥ 0.97",
        ),
        Row(
            "loss of the first steps",
            [run.losses[0] for run in ours],
            [run.losses[0] for run in theirs],
            "",
        ),
    ]


if __name__ == "__main__":
    main()
