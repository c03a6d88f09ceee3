"""Search spaces: what values a trial may take at one key of its train spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from heliostat.spec.base import Model, finite, wrong_here
from heliostat.spec.explain import shown
from heliostat.spec.nearest import did_you_mean

Interval = Literal["uniform", "loguniform", "int", "logint", "quantized"]
Listing = Literal["choice", "grid"]

_INTERVALS: dict[str, Interval] = {
    "uniform": "uniform",
    "loguniform": "loguniform",
    "int": "int",
    "logint": "logint",
    "quantized": "quantized",
}
_LISTINGS: dict[str, Listing] = {"choice": "choice", "grid": "grid"}
_LOGARITHMIC = {"loguniform", "logint"}
_WHOLE = {"int", "logint"}
_LARGEST = {True: 2**53, False: 1e300}
"""By whether a range is of whole numbers: samplers count in 64-bit floats."""
_MOST_STEPS = 2**53


class _Space(Model):
    when: dict[str, Any] = Field(default_factory=dict)
    """Values that other keys must have for this key to be searched at all: a value, or a list of
    values of which it must be one."""

    def exists(self, values: Mapping[str, Any]) -> bool:
        """Say whether a trial with `values` (by key, of the keys before this one) has this key."""
        return all(
            key in values and (same(values[key], wanted) or _among(values[key], wanted))
            for key, wanted in self.when.items()
        )


class Range(_Space):
    """Numbers from `low` to `high`, both included; written `{loguniform: [1.0e-4, 1.0]}`."""

    kind: Interval
    low: int | float
    high: int | float
    step: int | float | None = None
    """Of `quantized`: values are `low`, `low + step`, …"""

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers; else they are floats."""
        return isinstance(self.low, int)

    @property
    def continuous(self) -> bool:
        """Whether the values are any numbers between the ends."""
        return self.kind in {"uniform", "loguniform"}

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the values that a train spec must allow for it to allow all."""
        return (self.low, self.high)

    @property
    def described(self) -> str:
        """Return which values there are, as a message says it."""
        by = "" if self.step is None else f" by {self.step}"
        return f"{self.low} to {self.high}{by}"

    def takes(self, value: Any) -> bool:
        """Say whether a trial may have `value` here."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        if not self.low <= value <= self.high:
            return False
        return self.step is None or _steps(self.low, value, self.step)


class Choice(_Space):
    """Some values: `choice` picks among them, `grid` goes through all."""

    kind: Listing
    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the values that a train spec must allow for it to allow all."""
        return self.values

    @property
    def described(self) -> str:
        """Return which values there are, as a message says it."""
        return f"one of {', '.join(_text(value) for value in self.values)}"

    def takes(self, value: Any) -> bool:
        """Say whether a trial may have `value` here."""
        return any(same(value, own) for own in self.values)


def same(one: Any, other: Any) -> bool:
    """Say whether two plain values are the same: 1 and 1.0 are, 1 and true are not."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def alternatives(space: Range | Choice, wanted: Any) -> tuple[Any, ...]:
    """Return the values of `space` that a `when` allows: `wanted`, or those that it lists.

    Each as the space itself writes it, 1 where the `when` says 1.0.
    """
    listed = isinstance(wanted, list) and not space.takes(wanted)
    own = space.values if isinstance(space, Choice) else ()
    return tuple(
        next((known for known in own if same(known, value)), value)
        for value in (wanted if listed else [wanted])
    )


def _among(value: Any, wanted: Any) -> bool:
    return isinstance(wanted, list) and any(same(value, one) for one in wanted)


def _read(value: Any) -> Range | Choice:
    if isinstance(value, Range | Choice):
        return value
    kinds = [*_INTERVALS, *_LISTINGS]
    finite(value)
    given = [key for key in value if key != "when"] if isinstance(value, dict) else []
    if len(given) != 1:
        valid = f"{{uniform: [low, high]}}; one of {', '.join(sorted(kinds))}"
        raise wrong_here("is not a space", valid)
    kind = given[0]
    if kind not in kinds:
        raise wrong_here(f"unknown space {kind!r}", did_you_mean(kind, kinds))
    when = {} if value.get("when") is None else value["when"]
    if not isinstance(when, dict):
        raise wrong_here("must be a mapping", "such as {optimizer.name: sgd}", key=("when",))
    if not isinstance(value[kind], list):
        raise wrong_here("must be a list", _form(kind), key=(kind,))
    if not value[kind]:
        raise wrong_here("must not be empty", _form(kind), key=(kind,))
    if kind in _LISTINGS:
        return _choice(_LISTINGS[kind], value[kind], when)
    return _range(_INTERVALS[kind], value[kind], when)


def _choice(kind: Listing, values: list[Any], when: dict[str, Any]) -> Choice:
    seen: set[str] = set()
    for number, value in enumerate(values):
        if (text := json.dumps(value, sort_keys=True)) in seen:
            message = f"{_text(value)} stands in it twice"
            raise wrong_here(message, "each value once", key=(kind, number))
        seen.add(text)
    return Choice(kind=kind, values=tuple(values), when=when)


def _range(kind: Interval, numbers: list[Any], when: dict[str, Any]) -> Range:
    count = 3 if kind == "quantized" else 2
    type_ = int if kind in _WHOLE else (int, float)
    proper = all(isinstance(n, type_) and not isinstance(n, bool) for n in numbers)
    if len(numbers) != count or not proper:
        raise wrong_here(f"{numbers} is not {kind}'s", _form(kind), key=(kind,))
    whole = kind in _WHOLE or (kind == "quantized" and all(isinstance(n, int) for n in numbers))
    for number in numbers:
        if abs(number) > _LARGEST[whole]:
            message, valid = f"{shown(number)} is out of range", f"at most {_LARGEST[whole]:g}"
            raise wrong_here(message, valid, key=(kind,))
    low, high = numbers[:2]
    if not low < high:
        raise wrong_here(f"{numbers} is empty", "low below high", key=(kind,))
    if kind in _LOGARITHMIC and low <= 0:
        raise wrong_here(f"{low} has no logarithm", "low above 0", key=(kind,))
    step = numbers[2] if kind == "quantized" else None
    if step is not None:
        _check_step(low, high, step, whole)
    if not whole:  # as a trial's spec will get them
        low, high, step = float(low), float(high), None if step is None else float(step)
    return Range(kind=kind, low=low, high=high, step=step, when=when)


def _check_step(low: float, high: float, step: float, whole: bool) -> None:
    place = ("quantized",)
    if step <= 0:
        raise wrong_here(f"the step {step} is out of range", "more than 0", key=place)
    count = _exact(low, high) // _exact(0, step)
    if count > _MOST_STEPS:
        raise wrong_here("too many steps", f"at most {_MOST_STEPS:g}", key=place)
    if not _steps(low, high, step):
        last = Fraction(str(low)) + count * _exact(0, step)
        message = f"{high} is not {low} and a number of steps of {step}"
        raise wrong_here(message, f"such as {int(last) if whole else float(last)}", key=place)


def _steps(low: float, value: float, step: float) -> bool:
    """Say whether `value` is `low` and a number of steps, in the decimals as written."""
    return _exact(low, value) % _exact(0, step) == 0


def _exact(low: float, high: float) -> Fraction:
    return Fraction(str(high)) - Fraction(str(low))


def _form(kind: str) -> str:
    if kind in _LISTINGS:
        return f"{{{kind}: [value, value]}}"
    numbers = "whole numbers" if kind in _WHOLE else "numbers"
    ends = "low, high, step" if kind == "quantized" else "low, high"
    return f"{{{kind}: [{ends}]}}, {numbers}"


def _written(space: Range | Choice) -> dict[str, Any]:
    values = space.values if isinstance(space, Choice) else _numbers(space)
    written: dict[str, Any] = {space.kind: list(values)}
    return {**written, "when": space.when} if space.when else written


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else shown(value)


def _numbers(space: Range) -> tuple[Any, ...]:
    return space.ends if space.step is None else (*space.ends, space.step)


Space = Annotated[Range | Choice, BeforeValidator(_read), PlainSerializer(_written)]
"""A space, read from and dumped to the form in which a person writes it."""
