"""How many trials of a search fit at once where it runs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from heliostat.spec import InputError, TuneSpec


def trials_at_once(spec: TuneSpec, have: Mapping[str, float] | None = None) -> int:
    """Return how many trials run at a time: `concurrent`, or as many as there is room for.

    `have` is what the cluster has (CPU, GPU); by default this machine's processors. Raises
    InputError where no trial fits, or fewer than `concurrent`.
    """
    have = have or {"CPU": os.cpu_count() or 1, "GPU": math.inf}
    resources = spec.train.resources
    needs = {name: resources.max_workers * each for name, each in resources.per_worker.items()}
    # How many GPUs a machine has is known when Ray runs there: infinity stands for "any number".
    known = {name: each for name, each in needs.items() if have.get(name) != math.inf}
    room = min(int(have.get(name, 0) // each) for name, each in known.items())
    if room < 1:
        what = ", ".join(f"{each:g} {name}" for name, each in needs.items())
        there = ", ".join(f"{have.get(name, 0):g}" for name, each in needs.items())
        raise InputError.of(
            f"a trial needs {what}, and {there} are there",
            key=("train", "resources", "workers"),
            valid="fewer workers, or a larger cluster",
        )
    if spec.concurrent is not None and spec.concurrent > room:
        raise InputError.of(
            f"{spec.concurrent} trials at a time are asked for, and {room} fit",
            key=("concurrent",),
            valid=f"{room} or fewer, or a larger cluster",
        )
    return min(spec.concurrent or room, spec.trials or room)
