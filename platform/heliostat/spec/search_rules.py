"""What the keys of a search ask of one another.

Each rule yields the mistakes of one field, at keys relative to it. `before` holds the fields that
stand before it in `TuneSpec` and are valid; what is missing there is wrong itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from heliostat.spec.explain import shown
from heliostat.spec.grid import grid_size
from heliostat.spec.jobs import EntrypointSpec, TrainSpec
from heliostat.spec.nearest import did_you_mean
from heliostat.spec.overrides import key_of
from heliostat.spec.problems import Key, Problem, printable
from heliostat.spec.registration import Objective
from heliostat.spec.search_fit import trial_problems
from heliostat.spec.search_schedulers import (
    Asha,
    Hyperband,
    Median,
    NoScheduler,
    Pbt,
    Scheduler,
)
from heliostat.spec.spaces import Choice, Range

Before = Mapping[str, Any]

_LEARNS = {"tpe", "gp"}
"""Algorithms that suggest values by what earlier ones came to."""

_LARGEST_GRID = 100_000
"""Points of a grid that is gone through to its end."""

_CHANGEABLE = ("optimizer", "schedule", "clip_grad_norm", "ema", "task.args", "args")
"""Where the keys stand whose values may change while a model is trained."""


def objective_problems(objectives: tuple[Objective, ...], before: Before) -> Iterator[Problem]:
    """A search has an objective, its samples are there, and no metric stands twice."""
    train = before.get("train")
    if train is None:
        return
    if not objectives and train.objective is None:
        valid = "give objectives, or train.objective"
        yield Problem("nothing says which trial is better", valid=valid)
    no_val = isinstance(train, TrainSpec) and train.data.val is None
    for number, objective in enumerate(objectives):
        if no_val:
            message = f"{objective.metric} needs train.data.val"
            yield Problem(message, (number,), "give train.data.val")
        if objective.metric in [other.metric for other in objectives[:number]]:
            yield Problem(f"{objective.metric} stands in it twice", (number,), "each metric once")
    if len(objectives) > 1 and before.get("register") is not None:
        message = "with several there is no best trial to register"
        yield Problem(message, valid="one objective, or no register")


def algorithm_problems(algorithm: str, before: Before) -> Iterator[Problem]:
    """A grid is of lists only, and no other algorithm goes through one."""
    spaces: Mapping[str, Range | Choice] = before.get("search", {})
    ranges = [key for key, space in spaces.items() if isinstance(space, Range)]
    grids = [key for key, space in spaces.items() if space.kind == "grid"]
    if algorithm == "grid" and ranges:
        message = f"grid needs a list of values at every key, and {ranges[0]} has a range"
        yield Problem(message, valid="{grid: [value, value]}")
    if algorithm != "grid" and grids:
        message = f"{algorithm} does not go through the grid of {grids[0]}"
        yield Problem(message, valid="algorithm: grid, or {choice: [value, value]} there")


def scheduler_problems(scheduler: Scheduler, before: Before) -> Iterator[Problem]:
    """A scheduler compares trials by one objective after the same epochs of the built-in loop."""
    name, train = scheduler.name, before.get("train")
    if isinstance(scheduler, NoScheduler) or train is None:
        return
    if isinstance(train, EntrypointSpec):
        yield Problem(f"{name} needs the built-in loop", valid="none beside an entrypoint")
        return
    if len(before.get("objectives", ())) > 1:
        yield Problem(f"{name} ranks trials by one objective", valid="none, or one objective")
    if train.epochs is None:
        yield Problem(f"{name} needs train.epochs", valid="give train.epochs")
    for key in {"epochs", "max_steps"} & set(before.get("search", {})):
        message = f"{name} compares trials after the same epochs, and {key} is searched"
        yield Problem(message, valid=f"none, or no search.{key}")
    if train.epochs is not None:
        yield from _too_long(scheduler, train.epochs)
    if isinstance(scheduler, Pbt):
        yield from _pbt_problems(scheduler, train, before)


def _too_long(scheduler: Scheduler, epochs: int) -> Iterator[Problem]:
    lengths = {
        "min_epochs": scheduler.min_epochs if isinstance(scheduler, Asha | Hyperband) else 0,
        "grace_epochs": scheduler.grace_epochs if isinstance(scheduler, Median) else 0,
        "every": scheduler.every if isinstance(scheduler, Pbt) else 0,
    }
    for field, length in lengths.items():
        if length > epochs:
            message = f"{length} is more than train's {epochs} epochs"
            yield Problem(message, (field,), f"at most {epochs}")


def _pbt_problems(scheduler: Pbt, train: TrainSpec, before: Before) -> Iterator[Problem]:
    algorithm, every = before.get("algorithm"), train.checkpoint.every
    if algorithm in _LEARNS:
        message = f"pbt changes the values that {algorithm} would learn from"
        yield Problem(message, valid="algorithm: random, quasi_random or grid")
    if every.unit != "epoch" or scheduler.every % every.count:
        message = f"pbt needs a checkpoint at each turn, and train writes one every {every}"
        yield Problem(message, valid="train.checkpoint.every: 1 epoch")
    for text in before.get("search", {}):
        if not _changeable(key_of(text)):
            message = f"pbt changes values while a model is trained, and {text} cannot be"
            valid = "keys of optimizer, schedule, ema and task.args, or clip_grad_norm"
            yield Problem(message, valid=valid)


def _changeable(key: Key) -> bool:
    inside = any(key[: len(key_of(place))] == key_of(place) for place in _CHANGEABLE)
    whole = key in {("optimizer",), ("schedule",), ("ema",)}
    return inside and not whole and key[-1] != "name"


def budget_problems(epochs: int | None, before: Before) -> Iterator[Problem]:
    """Epochs are counted where the loop is ours."""
    if epochs is not None and isinstance(before.get("train"), EntrypointSpec):
        yield Problem("the epochs of an entrypoint are not counted", ("epochs",), "minutes")


def trials_problems(trials: int | None, before: Before) -> Iterator[Problem]:
    """A search has an end, a grid no more trials than points, and PBT a population."""
    if not {"search", "algorithm", "budget", "scheduler"} <= before.keys():
        return
    budget, is_grid = before["budget"], before["algorithm"] == "grid"
    is_pbt = isinstance(before["scheduler"], Pbt)
    if trials is None and not is_grid:
        if is_pbt:
            yield Problem("pbt needs a population", valid="give trials, 2 or more")
        elif budget.minutes is None and budget.epochs is None:
            yield Problem("the search has no end", valid="give trials, or a budget")
    if trials == 1 and is_pbt:
        yield Problem("1 is no population for pbt", valid="2 or more")
    if is_grid:
        yield from _grid_problems(trials, before["search"])
    if trials is not None and isinstance(before["scheduler"], Median):
        yield from _too_few(trials, before["scheduler"].min_trials)


def _grid_problems(trials: int | None, search: Mapping[str, Range | Choice]) -> Iterator[Problem]:
    held = grid_size(search, trials or _LARGEST_GRID + 1)
    if trials is not None and held < trials:
        yield Problem(f"{trials} is more than the grid holds", valid=f"at most {held}")
    if trials is None and held > _LARGEST_GRID:
        message = f"the grid holds more than {_LARGEST_GRID:,} points"
        yield Problem(message, valid="give trials")


def _too_few(trials: int, others: int) -> Iterator[Problem]:
    if others >= trials:
        message = f"median's min_trials is {others}, and only {trials - 1} other trials can be"
        fewer = f", or scheduler.min_trials at most {trials - 1}" if trials > 1 else ""
        yield Problem(message, valid=f"{others + 1} trials or more{fewer}")


def target_problems(target: float | None, before: Before) -> Iterator[Problem]:
    """A target is of one objective."""
    if target is not None and len(before.get("objectives", ())) > 1:
        yield Problem("is of one objective, and there are several", valid="leave it out")


def point_problems(points: tuple[dict[str, Any], ...], before: Before) -> Iterator[Problem]:
    """A point is a whole trial, within the spaces, and one that the train spec allows."""
    search, train, trials = before.get("search"), before.get("train"), before.get("trials")
    if search is None or train is None:
        return
    if trials is not None and len(points) > trials:
        yield Problem("there are more points than trials", valid=f"at most {trials}")
    seen: set[str] = set()
    for number, point in enumerate(points):
        if (text := _canonical(point)) in seen:
            yield Problem("stands in it twice", (number,), "each point once")
            continue
        seen.add(text)
        problems = list(_outside(search, point))
        if not problems:
            problems = list(trial_problems(search, train, point))
        for problem in problems:
            yield Problem(problem.message, (number, *problem.key), problem.valid)


def _canonical(point: dict[str, Any]) -> str:
    """Return text that is the same for points with the same values, 1 and 1.0 among them."""
    values = {
        key: float(value) if type(value) is int and float(value) == value else value
        for key, value in point.items()
    }
    return json.dumps(values, sort_keys=True)


def _outside(search: Mapping[str, Range | Choice], point: dict[str, Any]) -> Iterator[Problem]:
    for key in point.keys() - search.keys():
        yield Problem(f"{printable(key)} is not searched", (key,), did_you_mean(key, search))
    for key, space in search.items():
        exists = space.exists(point)
        if key in point and not exists:
            yield Problem("does not exist beside the point's other values", (key,), "leave it out")
        elif key not in point and exists:
            yield Problem("missing", (key,), f"{space.described}; a point is a whole trial")
        elif key in point and not space.takes(point[key]):
            message = f"{shown(point[key])} is outside of the space"
            yield Problem(message, (key,), space.described)
