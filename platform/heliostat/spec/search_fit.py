"""Does a search fit its train spec? Every key of it, and the values at the ends of each space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heliostat.spec.base import Model
from heliostat.spec.conditions import Search, circumstances, completed, condition_problems
from heliostat.spec.explain import shown
from heliostat.spec.fields import models_at
from heliostat.spec.jobs import EntrypointSpec, TrainSpec
from heliostat.spec.nearest import nearest
from heliostat.spec.overrides import key_of
from heliostat.spec.problems import InputError, Key, Problem, dotted, printable
from heliostat.spec.spaces import Range
from heliostat.spec.trials import read_train, with_values

Train = TrainSpec | EntrypointSpec

_FIXED: dict[str, str] = {
    "kind": "a search is over training jobs",
    "name": "a trial is named by its number",
    "experiment": "all trials stand in the search's",
    "objective": "all trials are judged alike",
    "data.val": "all trials are judged on the same samples",
    "data.test": "all trials are judged on the same samples",
    "register": "only the best trial's model is registered",
    "retries": "all trials are retried alike",
    "resources": "all trials are given the same",
    "entrypoint": "all trials run the same code",
}
"""Keys of a train spec that no search may vary, and why."""


def search_problems(search: Search, train: Train | None) -> Iterator[Problem]:
    """Yield what is wrong with `search`, at keys relative to it; `train` is None if wrong itself.

    The ends of each space are tried in `train`, under each circumstance in which the key exists,
    with the other keys at their first values and at their last.
    """
    sound = True
    for problem in _key_problems(search, train):
        sound = False
        yield problem
    if sound and train is not None:
        yield from _Fit(search, train).problems()


def trial_problems(search: Search, train: Train, values: dict[str, Any]) -> Iterator[Problem]:
    """Yield why `train` does not allow a whole trial's `values`, at keys relative to these."""
    yield from _Fit(search, train).of_trial(values, next(iter(values)))


def _key_problems(search: Search, train: Train | None) -> Iterator[Problem]:
    yield from condition_problems(search)
    plain = {} if train is None else train.model_dump(mode="json")
    earlier: list[str] = []
    for text in search:
        key = key_of(text)
        fixed = next((name for name in _FIXED if _overlap(key, key_of(name))), None)
        if train is not None and not _exists(type(train), plain, key):
            near = nearest(text, _keys(plain, ()))
            valid = f"did you mean {near}?" if near else "a key of train"
            yield Problem(f"train has no key {printable(text)}", (text,), valid)
        elif fixed is not None:
            yield Problem(f"a search may not vary {fixed}", (text,), _FIXED[fixed])
        for other in earlier:
            if _overlap(key, key_of(other)):
                yield Problem(f"{other} is searched as well", (text,), "search one of them")
        earlier.append(text)


class _Fit:
    """Tries trials of a search in its train spec."""

    def __init__(self, search: Search, train: Train) -> None:
        self.search = search
        self.train = train

    def problems(self) -> Iterator[Problem]:
        """Yield the first problem of each key."""
        seen: set[Key] = set()
        for text, values in self.trials():
            if (text,) in seen:
                continue
            for problem in self.of_trial(values, text):
                if problem.key not in seen:
                    seen.add(problem.key)
                    yield problem

    def trials(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the trials that are tried, each with the key whose value it is about."""
        for text, space in self.search.items():
            for given in circumstances(self.search, text):
                for value in space.ends:
                    fixed = {**given, text: value}
                    first = completed(self.search, fixed, _first)
                    last = completed(self.search, fixed, _last)
                    for values in (first,) if first == last else (first, last):
                        if text in values:
                            yield text, values

    def of_trial(self, values: dict[str, Any], text: str) -> Iterator[Problem]:
        """Yield what is wrong with a trial, at the key whose value is to blame, or at `text`."""
        for problem in self.mistakes(values):
            blamed = self.blamed(values, problem, text)
            value, where = shown(values[blamed]), self.beside(values, problem, blamed)
            message = f"train does not allow {value}{where}: {problem.message}"
            yield Problem(message, (blamed,), self.remedy(values, problem, blamed))

    def mistakes(self, values: dict[str, Any]) -> tuple[Problem, ...]:
        """Return what the train spec says to `values`, at keys of its own."""
        try:
            read_train(with_values(self.train, values))
        except InputError as error:
            return error.problems
        return ()

    def blamed(self, values: dict[str, Any], problem: Problem, text: str) -> str:
        """Return the searched key that stands where the problem is, or alone brings it about."""
        inside = [key for key in values if problem.key[: len(key_of(key))] == key_of(key)]
        alone = (key for key in values if problem in self.mistakes(self.only(values, key)))
        return inside[0] if inside else next(alone, text)

    def beside(self, values: dict[str, Any], problem: Problem, blamed: str) -> str:
        """Return the other key's value without which there is no problem, as a message says it."""
        if problem in self.mistakes(self.only(values, blamed)):
            return ""
        for other in values:
            if problem in self.mistakes(self.only(values, blamed, other)):
                return f" where {other} is {shown(values[other])}"
        return ""

    def remedy(self, values: dict[str, Any], problem: Problem, blamed: str) -> str:
        """Return what would be valid in a search."""
        space, name = self.search[blamed], dotted((*key_of(blamed)[:-1], "name"))
        if isinstance(space, Range) and not space.whole and "a whole number" in problem.message:
            return f"{{int: [{space.low:g}, {space.high:g}]}}"
        if problem.message == "unknown key" and name in values:
            allowed = [v for v in self.search[name].ends if self.has(name, v, blamed)]
            if allowed:
                return f"when: {{{name}: {allowed[0] if len(allowed) == 1 else allowed}}}"
        return problem.valid

    def has(self, name: str, value: Any, key: str) -> bool:
        """Say whether the alternative that is named `value` has `key`."""
        holder = key_of(name)[:-1]
        models = models_at(type(self.train), (*holder, str(value)))
        return any(key_of(key)[-1] in model.model_fields for model in models)

    def only(self, values: dict[str, Any], *keys: str) -> dict[str, Any]:
        """Return the values of `keys` and of those that they depend on."""
        kept: dict[str, Any] = {}
        for key in keys:
            above = self.search[key].when if key in self.search else {}
            kept = {**kept, **self.only(values, *above), key: values[key]}
        return kept


def _overlap(one: Key, other: Key) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _exists(model: type[Model], values: Any, key: Key) -> bool:
    """Say whether `key` is in the train spec, could be, or is an argument of the user's code."""
    if "" in key:
        return False
    *parents, last = key
    if "args" in parents:
        if isinstance(key[parents.index("args") + 1], int):  # arguments have names
            return False
        parents, last = parents[: parents.index("args")], "args"
    if any(isinstance(part, int) for part in parents):  # an item that the list must have
        return dotted((*parents, last)) in _keys(values, ())
    if any(last in found.model_fields for found in models_at(model, tuple(parents), tags=False)):
        return True
    return dotted(key) in _keys(values, ())


def _keys(values: Any, key: Key) -> Iterator[str]:
    items = values.items() if isinstance(values, dict) else enumerate(values)
    for part, value in items:
        yield dotted((*key, part))
        if isinstance(value, dict | list):
            yield from _keys(value, (*key, part))


def _first(values: tuple[Any, ...]) -> Any:
    return values[0]


def _last(values: tuple[Any, ...]) -> Any:
    return values[-1]
