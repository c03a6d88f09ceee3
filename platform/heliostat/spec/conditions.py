"""The keys of a search that exist only where others have certain values (`when`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from heliostat.spec.explain import shown
from heliostat.spec.nearest import did_you_mean
from heliostat.spec.problems import Problem, printable
from heliostat.spec.spaces import Choice, Range, alternatives

Search = Mapping[str, Range | Choice]
"""The space of each searched key, by the key as it is written."""


def in_order(search: Search) -> tuple[str, ...]:
    """Return the keys in the file's order, but each after those that its `when` names.

    `search` must be free of the mistakes that `condition_problems` finds.
    """
    ordered: dict[str, None] = {}

    def visit(key: str) -> None:
        if key in ordered:
            return
        for parent in search[key].when:
            visit(parent)
        ordered[key] = None

    for key in search:
        visit(key)
    return tuple(ordered)


def completed(
    search: Search, given: Mapping[str, Any], choose: Callable[[tuple[Any, ...]], Any]
) -> dict[str, Any]:
    """Return the values of a whole trial: those `given`, and for each other key that exists
    beside them the one that `choose` takes of its space's ends.
    """
    values: dict[str, Any] = {}
    for key in in_order(search):
        if search[key].exists(values):
            values[key] = given[key] if key in given else choose(search[key].ends)
    return values


def circumstances(search: Search, key: str) -> Iterator[dict[str, Any]]:
    """Yield the values of other keys under which `key` exists: one a combination that `when`
    allows, their own conditions included.

    `search` must be free of circles.
    """
    above = _above(search, key)
    asking = [space.when for name, space in search.items() if name == key or name in above]
    found: list[dict[str, Any]] = [{}]
    for parent in in_order({name: search[name] for name in search if name in above}):
        space = search[parent]
        # Where two keys ask different values of it, `exists` drops what either does not allow.
        wanted = next(when[parent] for when in asking if parent in when)
        found = [
            {**values, parent: value}
            for values in found
            if space.exists(values)
            for value in alternatives(space, wanted)
        ]
    yield from (values for values in found if search[key].exists(values))


def condition_problems(search: Search) -> Iterator[Problem]:
    """Yield what is wrong with the `when`s, at keys relative to `search`.

    A `when` names other searched keys, with values that they can take, and not in a circle.
    """
    sound = True
    for key, space in search.items():
        for parent, wanted in space.when.items():
            for problem in _mismatch(search, key, parent, wanted):
                sound = False
                yield problem
        if key in _above(search, key):
            sound = False
            yield Problem(f"{key} depends on itself", (key, "when"), "name a key that does not")
    if not sound:
        return
    for key in search:
        if not any(key in completed(search, given, _first) for given in circumstances(search, key)):
            message = "no trial meets all of it"
            yield Problem(message, (key, "when"), "values that go together")


def _mismatch(search: Search, key: str, parent: str, wanted: Any) -> Iterator[Problem]:
    place = (key, "when", parent)
    others = [other for other in search if other != key]
    if parent not in search:
        yield Problem(f"{printable(parent)} is not searched", place, did_you_mean(parent, others))
        return
    space = search[parent]
    if isinstance(space, Range) and space.continuous:
        message = f"{parent} is any number of a range"
        yield Problem(message, place, "a key with a list of values, or whole numbers")
        return
    for value in alternatives(space, wanted):
        if not space.takes(value):
            yield Problem(f"{parent} never is {shown(value)}", place, space.described)


def _above(search: Search, key: str) -> set[str]:
    """Return the keys on which `key` depends, directly or not."""
    found: set[str] = set()
    waiting = [key]
    while waiting:
        space = search.get(waiting.pop())
        new = set(space.when) - found if space else set()
        found |= new
        waiting += new
    return found


def _first(values: tuple[Any, ...]) -> Any:
    return values[0]
