"""What of a search's spec is fixed once it began, and what may change when it is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from heliostat.search.ledger import Record
from heliostat.spec.problems import InputError, Key, Problem
from heliostat.spec.tune import TuneSpec

_FIXED = {"train", "search", "algorithm", "scheduler", "seed", "points_to_evaluate"}
_LIMITS = {"trials", "concurrent", "budget", "target"}


def settings_of(spec: TuneSpec) -> dict[str, Any]:
    """Return what decides which trials there are and how they go, as plain values."""
    objectives = [goal.model_dump(mode="json") for goal in spec.goals]
    return _plain({**spec.model_dump(mode="json", include=_FIXED), "objectives": objectives})


def limits_of(spec: TuneSpec) -> dict[str, Any]:
    """Return how far the search may go, as plain values."""
    return _plain(spec.model_dump(mode="json", include=_LIMITS))


def check_resumable(spec: TuneSpec, records: list[Record]) -> None:
    """Raise InputError where `spec` is not that of the search in `records`, its limits aside."""
    if not records:
        return
    now, then = settings_of(spec), records[0]["settings"]
    problems = [_problem(key, now, then) for key in _differences(now, then, ())]
    begun = sum(record["kind"] == "suggested" for record in records)
    if spec.trials is not None and spec.trials < begun:
        message = f"the search already has {begun} trials"
        problems.append(Problem(message, ("trials",), f"{begun} or more"))
    if problems:
        raise InputError(problems)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _differences(now: Any, then: Any, key: Key) -> Iterator[Key]:
    if isinstance(now, dict) and isinstance(then, dict):
        for part in [*now, *(part for part in then if part not in now)]:
            if part not in now or part not in then:
                yield (*key, part)
            else:
                yield from _differences(now[part], then[part], (*key, part))
    elif now != then:
        yield key


def _problem(key: Key, now: Any, then: Any) -> Problem:
    for part in key:
        then = then.get(part) if isinstance(then, dict) else None
    was = "was not there" if then is None else f"was {json.dumps(then)}"
    valid = "only trials, concurrent, budget and target may change; or begin a search anew"
    return Problem(f"{was} when the search began", key, valid)
