"""Values near those of a trial: how population-based training looks around."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from random import Random
from typing import Any

from heliostat.spec.spaces import Choice, Range, same
from heliostat.spec.tune import TuneSpec

_FACTORS = (0.8, 1.2)


def explore(
    spec: TuneSpec, values: Mapping[str, Any], random: Random, resample: float
) -> dict[str, Any]:
    """Return `values` changed: each one is drawn anew with the chance `resample`, else moved.

    A number is multiplied by 0.8 or 1.2, a choice goes to its neighbour in the list; all stay in
    their spaces. Keys that exist beside the new values, and did not before, are drawn.
    """
    found: dict[str, Any] = {}
    for key in spec.order:
        space = spec.search[key]
        if not space.exists(found):
            continue
        if key not in values or random.random() < resample:
            found[key] = draw(space, random)
        else:
            found[key] = _moved(space, values[key], random)
    return found


def draw(space: Range | Choice, random: Random) -> Any:
    """Return a value of `space`, each as likely as its kind makes it."""
    if isinstance(space, Choice):
        return random.choice(space.values)
    if space.kind == "uniform":
        return random.uniform(space.low, space.high)
    if space.kind == "loguniform":
        return _clipped(space, math.exp(random.uniform(math.log(space.low), math.log(space.high))))
    if space.kind == "logint":  # each whole number has the width of its logarithm's interval
        low, high = math.log(space.low - 0.5), math.log(space.high + 0.5)
        return _clipped(space, round(math.exp(random.uniform(low, high))))
    return _at(space, random.randint(0, _steps(space)))


def _moved(space: Range | Choice, value: Any, random: Random) -> Any:
    if isinstance(space, Choice):
        here = next(index for index, own in enumerate(space.values) if same(own, value))
        return space.values[_neighbour(here, len(space.values) - 1, random)]
    factor = random.choice(_FACTORS)
    if space.continuous:
        return _clipped(space, value * factor)
    step = space.step or 1
    here = round((value - space.low) / step)
    there = round((value * factor - space.low) / step)
    if there == here:  # a small number of steps: at least one of them
        there = here + (1 if factor > 1 else -1)
    return _at(space, min(max(there, 0), _steps(space)))


def _neighbour(here: int, last: int, random: Random) -> int:
    there = here + random.choice((-1, 1))
    return min(max(there, 0), last)


def _steps(space: Range) -> int:
    return round((space.high - space.low) / (space.step or 1))


def _at(space: Range, position: int) -> int | float:
    """Return the value `position` steps above the lowest, in the decimals as written."""
    value = Decimal(str(space.low)) + position * Decimal(str(space.step or 1))
    return int(value) if space.whole else float(value)


def _clipped(space: Range, value: float) -> float:
    return min(max(value, space.low), space.high)
