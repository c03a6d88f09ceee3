"""Searches over analytic functions: specs, and a driver whose trials train nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from heliostat.search.ledger import Ledger
from heliostat.search.legs import Failed, Leg, Told
from heliostat.search.search import Search
from heliostat.spec.tune import TuneSpec

Outcome = Callable[[Leg, int], Told | Failed]
"""What becomes of a leg; the number is the epochs that its trial had before it."""

SPACES: dict[str, Any] = {
    "optimizer.lr": {"loguniform": [1.0e-4, 1.0]},
    "optimizer.momentum": {"uniform": [0.0, 0.99]},
}


def tune_spec(**changes: Any) -> TuneSpec:
    """Return a spec of a search for SGD's values, with `changes`; trials have 9 epochs."""
    train = {
        "kind": "train",
        "name": "simulated",
        "data": {"train": {"uri": "sklearn:digits"}, "val": {"uri": "sklearn:digits"}},
        "model": {"name": "cnn"},
        "batch_size": 64,
        "optimizer": {"name": "sgd", "lr": 0.1},
        "epochs": 9,
        "objective": {"metric": "val/loss", "goal": "minimize"},
    }
    train = {**train, **changes.pop("train", {})}
    values = {"kind": "tune", "name": "simulated", "train": train, "search": SPACES, "trials": 12}
    return TuneSpec.model_validate({**values, **changes})


def loss(values: Mapping[str, Any], epoch: int) -> float:
    """Return a loss that falls with the epochs, lowest where lr is 0.1 and momentum 0.9."""
    lr, momentum = values.get("optimizer.lr", 0.1), values.get("optimizer.momentum", 0.9)
    return (math.log10(lr) + 1) ** 2 + (momentum - 0.9) ** 2 + 1 / (1 + epoch)


def trained(leg: Leg, before: int, epochs: int = 9) -> Told:
    """Return how a leg of a trial goes that is judged by `loss` after each epoch."""
    until = leg.until or epochs
    curve = tuple((epoch, loss(leg.values, epoch)) for epoch in range(before + 1, until + 1))
    best = min(value for _, value in curve)
    return Told(until, 10 * until, (best,), curve, until == epochs, 1.0)


def drive(
    search: Search,
    outcome: Outcome = trained,
    *,
    concurrent: int = 1,
    seed: int = 0,
    legs: int | None = None,
) -> list[Leg]:
    """Run `search` to its end, or until `legs` were told of; return the legs in order of start.

    With several at a time, which one ends next is drawn by `seed`.
    """
    order = random.Random(seed)
    started: list[Leg] = []
    running: list[Leg] = []
    told = 0
    while not search.done and told != legs:
        while len(running) < concurrent and (leg := search.next()):
            running.append(leg)
            started.append(leg)
        assert running, "nothing runs, nothing starts, and the search is not done"
        leg = running.pop(order.randrange(len(running)))
        search.told(leg, outcome(leg, search.trials[leg.trial].epoch))
        told += 1
    return started


def search_in(folder: Path, spec: TuneSpec) -> Search:
    """Return the search whose ledger lies in `folder`; nobody waits for the disk."""
    return Search(spec, Ledger(folder / "ledger.jsonl", sync=lambda descriptor: None))
