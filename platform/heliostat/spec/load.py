"""A spec's file as a spec: read, overlaid with `--set`, checked, paths made absolute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heliostat.spec.document import parse_mapping, read_text
from heliostat.spec.overrides import Override, assign, parse_override
from heliostat.spec.parse import Spec, parse
from heliostat.spec.paths import absolute, make_absolute
from heliostat.spec.problems import InputError, Key, Problem, dotted

_OTHER_KINDS = ("tune", "predict", "evaluate")


@dataclass(frozen=True)
class Place:
    """Where a key was given: a file and its line, or a `--set`."""

    file: str
    line: int | None = None


@dataclass(frozen=True)
class Document:
    """A spec with the file it came from."""

    path: Path
    """The file, absolute."""
    text: str
    """The file's text, as given."""
    spec: Spec
    """As resolved: `--set` applied, paths absolute."""
    overrides: tuple[str, ...]
    """The `--set`s, as given."""
    places: dict[Key, Place]

    @property
    def folder(self) -> Path:
        """Return the file's folder; the user's own modules stand in it."""
        return self.path.parent

    def locate(self, error: InputError) -> InputError:
        """Return `error` with each problem's file and line, found from its key, in their order."""
        return locate(error, self.places)


def load(path: str | Path, overrides: Iterable[str] = ()) -> Document:
    """Return the document at `path`, changed by `overrides` (`dotted.key=value`).

    Relative paths in the file are relative to its folder, those in `overrides` to the working
    directory. Raises InputError with every mistake, each with its file and line, or its `--set`.
    """
    path, overrides = Path(path), tuple(overrides)
    text = read_text(path)
    draft = _Draft(text, path)
    draft.override(_parse_all(overrides))
    try:
        spec = parse(draft.values)
    except InputError as error:
        raise locate(error, draft.places) from None
    return Document(path.absolute(), text, spec, overrides, draft.places)


def locate(error: InputError, places: dict[Key, Place]) -> InputError:
    """Return `error` with places from the nearest key that has one, the spec's own file first."""
    own = places[()].file
    found = [_located(problem, places) for problem in error.problems]
    return InputError(sorted(found, key=lambda p: (p.file != own, p.line is None, p.file, p.line)))


class _Draft:
    """A spec's plain values while they are put together, and where each key came from."""

    def __init__(self, text: str, path: Path, *, included: bool = False) -> None:
        self.included = included
        tree = parse_mapping(text, str(path))
        self.values: dict[str, Any] = tree.values
        self.places = {key: Place(str(path), line) for key, line in tree.lines.items()}
        self.settle(path.absolute().parent)

    def settle(self, folder: Path) -> None:
        """Make what is relative to `folder` absolute, and read the train spec named by a path."""
        train = self.values.get("train")
        may_include = self.values.get("kind") == "tune" and not self.included
        if may_include and isinstance(train, str) and train:
            path = Path(absolute(train, folder))
            included = _include(path, self.places[("train",)])
            self.values["train"] = included.values
            self.places |= {("train", *key): place for key, place in included.places.items()}
        make_absolute(self.values, folder)

    def override(self, overrides: Iterable[Override]) -> None:
        """Apply `overrides`, in order. Raises InputError with those that cannot be."""
        problems: list[Problem] = []
        for override in overrides:
            key = override.key
            if self.values.get("kind") == "tune" and key[0] == "search" and len(key) > 1:
                key = ("search", dotted(key[1:]))  # keys of `search` are dotted themselves
            try:
                changed = assign(self.values, key, override.value)
            except InputError as error:
                problems += [replace(p, file=override.place) for p in error.problems]
                continue
            self.places = {k: v for k, v in self.places.items() if k[: len(changed)] != changed}
            self.places[changed] = Place(override.place)
        if problems:
            raise InputError(problems)
        self.settle(Path.cwd())


def _parse_all(texts: Iterable[str]) -> list[Override]:
    overrides: list[Override] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            overrides.append(parse_override(text))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return overrides


def _include(path: Path, place: Place) -> _Draft:
    """Return the train spec at `path`, which `place` names: there stands what has no line."""

    def there(message: str, valid: str) -> Problem:
        return Problem(message, ("train",), valid, place.file, place.line)

    try:
        draft = _Draft(read_text(path), path, included=True)
    except InputError as error:
        raise InputError(
            p if p.line else there(f"{p.file}: {p.message}", p.valid) for p in error.problems
        ) from None
    kind = draft.values.get("kind")
    if kind in _OTHER_KINDS:
        raise InputError([there(f"{path} is kind: {kind}", "a spec of kind train")])
    return draft


def _located(problem: Problem, places: dict[Key, Place]) -> Problem:
    if problem.file:
        return problem
    for length in range(len(problem.key), -1, -1):
        place = places.get(problem.key[:length])
        if place is not None:
            return replace(problem, file=place.file, line=place.line)
    return problem
