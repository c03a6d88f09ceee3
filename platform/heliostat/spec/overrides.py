"""`--set dotted.key=value`: the one way to change a spec at the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from heliostat.spec.document import parse_yaml
from heliostat.spec.explain import shown
from heliostat.spec.problems import InputError, Key, Problem, dotted

_INDEX = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True)
class Override:
    """One `--set`: the key, the value it gets, and the place that messages name."""

    key: Key
    value: Any
    place: str


def parse_override(text: str) -> Override:
    """Return the override in `text`, such as `optimizer.lr=0.1` or `data.augment.0=null`.

    The value is YAML. Raises InputError, with `--set …` as its place.
    """
    place = f"--set {text}"
    name, equals, value = text.partition("=")
    key = key_of(name.strip())
    if not equals or "" in key:
        problem = Problem("is not an assignment", valid="dotted.key=value", file=place)
        raise InputError([problem])
    try:
        tree = parse_yaml(value, place)
    except InputError as error:  # its lines are of the value, not of a file
        problems = [Problem(p.message, key, p.valid, place) for p in error.problems]
        raise InputError(problems) from None
    return Override(key, tree.values if tree else None, place)


def key_of(text: str) -> Key:
    """Return the key that `text` writes: `data.augment.0` or, the same, `data.augment[0]`."""
    parts = _INDEX.sub(r".\1", text).split(".")
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def assign(values: dict[str, Any], key: Key, value: Any) -> Key:
    """Put `value` at `key`, in place, making the mappings that are missing on the way.

    Returns the highest key that was made or replaced. Raises InputError where a list has no such
    item, or where a plain value stands in the way.
    """
    holder: Any = values
    made: Key | None = None
    for depth, part in enumerate(key[:-1]):
        part = _slot(holder, key, depth)
        if isinstance(holder, dict) and holder.get(part) is None:
            holder[part] = {}
            made = made or key[: depth + 1]
        holder = holder[part]
    holder[_slot(holder, key, len(key) - 1)] = value
    return made or key


def _slot(holder: Any, key: Key, depth: int) -> Any:
    """Return the part of `key` at `depth` as `holder` spells it: an index, or a name."""
    part, above = key[depth], dotted(key[:depth])
    if isinstance(holder, dict):
        return str(part)
    if isinstance(holder, list):
        if isinstance(part, int) and part < len(holder):
            return part
        valid = f"0 to {len(holder) - 1}" if holder else "it is empty"
        raise InputError.of(f"no item {part} in the list {above}", key=key, valid=valid)
    raise InputError.of(f"{above} is {shown(holder)} and has no keys", key=key)
