"""Whatever stands at a key, the answer is a spec or an InputError, never another exception."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat.spec import InputError, dump, load, parse

DIGITS = Path(__file__).parents[2] / "jobs" / "digits"

ODDITIES: list[Any] = [
    None, True, 0, -1, 1.5, float("inf"), 10**30, "", "x", "a:b", "train[:]", "models:/a/1", "🙂",
    [], [1], [None], [[]], [1, 2, 3], {}, {"name": "x"}, {"name": None}, {"a": {"b": 1}}, {"": 1},
    {"random_crop": None}, {"random_crop": [1]}, {"secret": 3}, {"uniform": ["a"]},
]  # fmt: skip


def sound(kind: str) -> dict[str, Any]:
    """Return the plain values of a sound spec with every key in it."""
    if kind != "tune":
        sets = ["model.args.depth=1"] if kind == "train" else []
        return dump(load(DIGITS / f"{kind}.yaml", sets).spec)
    return {
        "kind": "tune",
        "name": "t",
        "register": {"name": "t"},
        "train": sound("train"),
        "search": {
            "optimizer.name": {"choice": ["sgd", "adamw"]},
            "optimizer.momentum": {"uniform": [0.1, 0.9], "when": {"optimizer.name": "sgd"}},
        },
        "objectives": [{"metric": "val/loss", "goal": "minimize"}],
        "algorithm": "tpe",
        "scheduler": {"name": "asha", "min_epochs": 1, "eta": 2},
        "budget": {"minutes": 1.5, "epochs": 9},
        "trials": 3,
        "concurrent": 2,
        "target": 0.1,
        "points_to_evaluate": [{"optimizer.name": "sgd", "optimizer.momentum": 0.5}],
        "seed": 1,
    }


def keys(values: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the keys of all values inside `values`."""
    items = values.items() if isinstance(values, dict) else enumerate(values)
    for part, value in items:
        yield (part,)
        if isinstance(value, dict | list):
            yield from ((part, *key) for key in keys(value))


@pytest.mark.parametrize("kind", ["train", "tune", "predict", "evaluate"])
def test_an_oddity_at_any_key_is_an_input_error_or_comes_back_the_same(kind: str) -> None:
    refusals: list[str] = []
    whole = sound(kind)
    for key in keys(whole):
        for oddity in ODDITIES:
            values = holder = copy.deepcopy(whole)
            for part in key[:-1]:
                holder = holder[part]
            holder[key[-1]] = oddity
            try:
                spec = parse(values)
            except InputError as error:
                refusals += str(error).splitlines()
            else:
                assert parse(dump(spec)) == spec
    assert len(refusals) > 100
    assert [line for line in refusals if "Input should" in line or "alue error" in line] == []
