"""Which part of a data set: a named split and a slice of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from heliostat.spec.nearest import did_you_mean
from heliostat.spec.problems import InputError

NAMES = ("train", "val", "test", "all")

_FORM = re.compile(r"(?P<name>\w+)\s*(\[(?P<start>[^:\]]*):(?P<stop>[^:\]]*)\])?")
_POSITION = re.compile(r"-?\d+(\.\d+)?%|-?\d+")
_EXAMPLES = "such as train, test[:500], train[80%:] or all[70%:85%]"


@dataclass(frozen=True)
class Position:
    """An end of a slice: a number of samples, or a percentage; negative counts from the end."""

    number: Fraction
    percent: bool

    def resolve(self, n: int) -> int:
        """Return the index in 0..n, given n samples (percentages are rounded down)."""
        size = abs(self.number) * n / 100 if self.percent else abs(self.number)
        index = n - int(size) if self.number < 0 else int(size)
        return max(0, min(n, index))


@dataclass(frozen=True)
class Split:
    """`name[start:stop]`; None is an open end."""

    name: str
    start: Position | None = None
    stop: Position | None = None

    def resolve(self, n: int) -> range:
        """Return which of n samples are taken; it may be empty, as a Python slice may."""
        start = self.start.resolve(n) if self.start else 0
        return range(start, max(start, self.stop.resolve(n) if self.stop else n))


def parse_split(text: str) -> Split:
    """Return the split that `text` names: `train`, `test[:500]`, `all[70%:85%]`.

    Raises InputError for an unknown name, a broken slice, or one that can hold no sample.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise InputError.of(f"{text!r} is not a split", valid=_EXAMPLES)
    if form["name"] not in NAMES:
        valid = did_you_mean(form["name"], NAMES)
        raise InputError.of(f"unknown split {form['name']!r}", valid=valid)
    start, stop = (_position(form[end], text) for end in ("start", "stop"))
    if _empty(start, stop):
        raise InputError.of(f"{text!r} holds no sample", valid="the start before the stop")
    return Split(form["name"], start, stop)


def _position(end: str | None, text: str) -> Position | None:
    if end is None or not end.strip():
        return None
    end = end.strip()
    if not _POSITION.fullmatch(end):
        raise InputError.of(f"{end!r} in {text!r} is no position", valid=_EXAMPLES)
    position = Position(Fraction(end.rstrip("%")), end.endswith("%"))
    if position.percent and abs(position.number) > 100:
        raise InputError.of(f"{end} in {text!r} is out of range", valid="at most 100%")
    return position


def _empty(start: Position | None, stop: Position | None) -> bool:
    """Say whether the slice is empty whatever the number of samples."""
    if stop is not None and stop.number == 0:
        return True
    if start is None or stop is None or start.percent != stop.percent:
        return False
    same_side = (start.number < 0) == (stop.number < 0)
    return same_side and start.number >= stop.number
