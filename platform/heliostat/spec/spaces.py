"""Search spaces: what values a trial may take at one key of its train spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from heliostat.spec.base import Model, finite, wrong_here
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


class _Space(Model):
    when: dict[str, Any] = Field(default_factory=dict)
    """Values that other keys must have for this key to be searched at all."""


class Range(_Space):
    """Numbers from `low` to `high`, both included; written `{loguniform: [1.0e-4, 1.0]}`."""

    kind: Interval
    low: int | float
    high: int | float
    step: int | float | None = None
    """Of `quantized`: values are `low`, `low + step`, …"""

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the values that a train spec must allow for it to allow all."""
        return (self.low, self.high)


class Choice(_Space):
    """Some values: `choice` picks among them, `grid` goes through all."""

    kind: Listing
    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the values that a train spec must allow for it to allow all."""
        return self.values


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
    when = value.get("when") or {}
    if not isinstance(when, dict):
        raise wrong_here("must be a mapping", "such as {optimizer.name: sgd}", key=("when",))
    if not isinstance(value[kind], list) or not value[kind]:
        raise wrong_here("must be a list", _form(kind), key=(kind,))
    if kind in _LISTINGS:
        return Choice(kind=_LISTINGS[kind], values=tuple(value[kind]), when=when)
    return _range(_INTERVALS[kind], value[kind], when)


def _range(kind: Interval, numbers: list[Any], when: dict[str, Any]) -> Range:
    count = 3 if kind == "quantized" else 2
    type_ = int if kind in _WHOLE else (int, float)
    proper = all(isinstance(n, type_) and not isinstance(n, bool) for n in numbers)
    if len(numbers) != count or not proper:
        raise wrong_here(f"{numbers} is not {kind}'s", _form(kind), key=(kind,))
    low, high = numbers[:2]
    if not low < high:
        raise wrong_here(f"{numbers} is empty", "low below high", key=(kind,))
    if kind in _LOGARITHMIC and low <= 0:
        raise wrong_here(f"{low} has no logarithm", "low above 0", key=(kind,))
    step = numbers[2] if kind == "quantized" else None
    if step is not None and step <= 0:
        raise wrong_here(f"the step {step} is out of range", "more than 0", key=(kind,))
    return Range(kind=kind, low=low, high=high, step=step, when=when)


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


def _numbers(space: Range) -> tuple[Any, ...]:
    return space.ends if space.step is None else (*space.ends, space.step)


Space = Annotated[Range | Choice, BeforeValidator(_read), PlainSerializer(_written)]
"""A space, read from and dumped to the form in which a person writes it."""
