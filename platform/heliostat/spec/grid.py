"""Every combination of a search's listed values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from heliostat.spec.conditions import Search, in_order


def grid_points(search: Search) -> Iterator[dict[str, Any]]:
    """Yield each combination once, in the order of the lists, the last key changing fastest.

    A key that does not exist beside a combination of others is absent from it. Every space must
    be a list of values; `search` must be free of mistakes in its conditions.
    """
    return _points(search, in_order(search), {})


def grid_size(search: Search, limit: int) -> int:
    """Return the number of the grid's points, or `limit` where there are more.

    Only the keys that a `when` names are gone through; the others are multiplied.
    """
    named = {parent for space in search.values() for parent in space.when}
    others = [space for key, space in search.items() if key not in named]
    size = 0
    for values in grid_points({key: search[key] for key in search if key in named}):
        size += math.prod(len(space.ends) for space in others if space.exists(values))
        if size >= limit:
            return limit
    return size


def _points(
    search: Search, keys: tuple[str, ...], values: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not keys:
        yield values
        return
    key, *rest = keys
    if not search[key].exists(values):
        yield from _points(search, tuple(rest), values)
        return
    for value in search[key].ends:
        yield from _points(search, tuple(rest), {**values, key: value})
