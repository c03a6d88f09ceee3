"""ASHA beside random search, in optimizer steps, on recorded learning curves and live.

A seed is an order of the recorded trials. Random search trains the first 16 of them to their end,
and the best of its values is the target; ASHA meets the trials in the same order, all 32 if need
be. heliostat's own search decides everything; only the training is looked up.
"""

from __future__ import annotations

import heapq
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from measuring import read_lines
from search_curves import Curve, Curves, curves_spec, read_curves, search_shown
from search_runs import Record

from heliostat.search.ledger import Ledger
from heliostat.search.legs import Leg, Told
from heliostat.search.search import Search
from heliostat.spec import TuneSpec
from heliostat.training.storage import read_json

FULL_TRIALS = 16
SLOTS = 2
SEEDS = 200
SCHEDULER = {"name": "asha", "min_epochs": 1, "eta": 3}
TARGETS = {"their best value": 0.0, "one standard error below it": 0.003}
"""By how much less will do. The error is that of an accuracy of 0.9 on val's 10,000 images: trials
that are nearer to one another than that are in an order by chance."""
LIVE_SEED = 1
"""The recorded trials are those of seed 0."""
LIVE_TRIALS = 64
WANTED = 1 / 3


@dataclass(frozen=True)
class Replayed:
    """One search over recorded curves."""

    epochs: float
    """Spent by all trials when the target was reached, of legs that ran then their part."""
    trials: int
    reached: bool


def measure_asha(seeds: int = SEEDS) -> Any:
    """Replay the seeds, print what they give, and return it."""
    curves = read_curves()
    epochs = len(curves.trials[0].accuracy)
    steps = FULL_TRIALS * epochs * curves.steps_per_epoch
    print(f"**ASHA, {seeds} seeds over {len(curves.trials)} recorded curves of {epochs} epochs**: "
          f"steps until the target is reached, as a part of the {steps:,} of {FULL_TRIALS} full "
          "random trials\n")  # fmt: skip
    print("| target | median (quartiles) | reached | within 1/3 | wanted |\n|---|---|---|---|---|")
    results = {}
    for name, margin in TARGETS.items():
        results[name] = [replay_seed(curves, seed, margin) for seed in range(seeds)]
        wanted = "median ≤ 0.333" if margin == 0 else ""
        print(f"| {name} | {summary(results[name], epochs)} | {wanted} |")
    print(flush=True)
    return {name: [asdict(one) for one in replayed] for name, replayed in results.items()}


def summary(replayed: Sequence[Replayed], epochs: int) -> str:
    """Return the table's cells; a search in vain is infinitely long."""
    parts = sorted(fraction(one, epochs) for one in replayed)
    first, middle, third = (parts[round(q * (len(parts) - 1))] for q in (0.25, 0.5, 0.75))
    reached, within = sum(map(math.isfinite, parts)), sum(part <= WANTED for part in parts)
    return f"{middle:.3f} ({first:.3f} – {third:.3f}) | {reached} of {len(parts)} | {within}"


def fraction(replayed: Replayed, epochs: int) -> float:
    """Return what was spent, as a part of what the full trials are; infinite if in vain."""
    return replayed.epochs / (FULL_TRIALS * epochs) if replayed.reached else math.inf


def replay_seed(curves: Curves, seed: int, margin: float) -> Replayed:
    """Replay a seed's search, until its target is reached but for `margin`."""
    order = Random(seed).sample(curves.trials, len(curves.trials))
    target = best(order[:FULL_TRIALS]) - margin
    epochs = len(order[0].accuracy)
    changes = {"scheduler": SCHEDULER, "trials": len(order), "target": target}
    return replay(curves_spec({**changes, "train.epochs": epochs}), order)


def best(trials: Sequence[Curve]) -> float:
    """Return the best value of trials that are trained to their end."""
    return max(max(trial.accuracy) for trial in trials)


def replay(spec: TuneSpec, order: Sequence[Curve]) -> Replayed:
    """Search by `spec`, whose trial n is `order[n]`, on slots that take the recorded time."""
    with tempfile.TemporaryDirectory() as folder:
        search = Search(spec, Ledger(Path(folder, "ledger.jsonl"), sync=lambda descriptor: None))
        return _replay(search, order)


def _replay(search: Search, order: Sequence[Curve]) -> Replayed:
    clock = spent = 0.0
    running: list[tuple[float, int, Leg, float]] = []
    """(end, trial, leg, begin), the first to end ahead."""
    while not search.done:
        while len(running) < SLOTS and (leg := search.next()):
            end = clock + _epochs(search, leg) * _pace(order[leg.trial])
            heapq.heappush(running, (end, leg.trial, leg, clock))
        clock, number, leg, _ = heapq.heappop(running)
        spent += _epochs(search, leg)
        search.told(leg, told(order[number], leg, search.trials[number].epoch))
        if search.stopped:
            spent += sum((clock - began) / _pace(order[n]) for _, n, _, began in running)
            return Replayed(spent, len(search.trials), reached=True)
    return Replayed(spent, len(search.trials), reached=False)


def told(curve: Curve, leg: Leg, before: int) -> Told:
    """Return how the leg went, as recorded."""
    assert leg.until is not None
    return Told(
        epoch=leg.until,
        step=leg.until,
        values=(max(curve.accuracy[: leg.until]),),
        curve=tuple((at + 1, curve.accuracy[at]) for at in range(before, leg.until)),
        finished=leg.until == len(curve.accuracy),
        seconds=(leg.until - before) * _pace(curve),
    )


def _epochs(search: Search, leg: Leg) -> int:
    assert leg.until is not None
    return leg.until - search.trials[leg.trial].epoch


def _pace(curve: Curve) -> float:
    """Return the seconds of an epoch."""
    return curve.seconds / len(curve.accuracy)


def measure_live(work: Path, data: Mapping[str, Any]) -> Any:
    """Search live by ASHA, with other suggestions, for the best of the first recorded trials."""
    curves = read_curves()
    target = best(curves.trials[:FULL_TRIALS])
    epochs = len(curves.trials[0].accuracy)
    changes = {"scheduler": SCHEDULER, "trials": LIVE_TRIALS, "seed": LIVE_SEED, "target": target}
    job = search_shown(work, {**data, **changes, "train.epochs": epochs})
    records = read_lines([job / "ledger.jsonl"])
    steps = sum(steps_of(folder, records) for folder in job.glob("trials/*"))
    full = FULL_TRIALS * epochs * curves.steps_per_epoch
    stopped = [record["why"] for record in records if record["kind"] == "stopped"]
    why = stopped[-1] if stopped else f"no trial reached the target {target:g}"
    print(
        f"**ASHA, live**: {steps:,} steps, {steps / full:.3f} of the {full:,} of {FULL_TRIALS} "
        f"full random trials (wanted: ≤ {WANTED:.3f}); {why}\n",
        flush=True,
    )
    return {"steps": steps, "fraction": steps / full, "target": target, "why": why}


def steps_of(trial: Path, records: Sequence[Record]) -> int:
    """Return a trial's steps: those of its legs, and of one that the search's end cut short."""
    told = [r["step"] for r in records if r["kind"] == "told" and r["trial"] == int(trial.name)]
    progress = read_json(trial / "progress.json") or {"step": 0}
    return max(*told, progress["step"], 0)
