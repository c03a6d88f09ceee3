"""Values near those of another trial stay in their spaces, of every kind of space."""

from __future__ import annotations

import math
from collections import Counter
from random import Random
from typing import Any

import pytest

from heliostat.search.exploring import draw, explore
from simulated_search import tune_spec

SPACES: dict[str, Any] = {
    "optimizer.lr": {"loguniform": [1.0e-3, 0.3]},
    "optimizer.momentum": {"uniform": [0.5, 0.9]},
    "optimizer.weight_decay": {"quantized": [0.0, 0.5, 0.1]},
    "batch_size": {"quantized": [16, 128, 16]},
    "accumulate": {"int": [1, 3]},
    "log_every": {"logint": [1, 64]},
    "precision": {"choice": ["fp32", "bf16"]},
}


@pytest.mark.parametrize("resample", [0.0, 0.5, 1.0])
def test_values_stay_in_their_spaces_however_often_they_move(resample: float) -> None:
    spec, random = tune_spec(search=SPACES), Random(0)
    values = explore(spec, {}, random, resample)
    seen: dict[str, set[Any]] = {key: set() for key in SPACES}
    for _ in range(300):
        values = explore(spec, values, random, resample)
        assert list(values) == list(SPACES)
        for key, value in values.items():
            assert spec.search[key].takes(value), (key, value)
            seen[key].add(value)
    assert seen["accumulate"] == {1, 2, 3}
    assert seen["batch_size"] == set(range(16, 129, 16))
    assert seen["optimizer.weight_decay"] == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


def test_a_number_moves_by_a_fifth_and_a_choice_to_its_neighbour() -> None:
    space = {**SPACES, "precision": {"choice": ["fp32", "bf16"]}}
    spec = tune_spec(search=space)
    values = {
        "optimizer.lr": 0.01,
        "optimizer.momentum": 0.7,
        "optimizer.weight_decay": 0.3,
        "batch_size": 64,
        "accumulate": 2,
        "log_every": 20,
        "precision": "fp32",
    }
    for seed in range(20):
        moved = explore(spec, values, Random(seed), 0.0)
        assert moved["optimizer.lr"] / 0.01 in (pytest.approx(0.8), pytest.approx(1.2))
        assert moved["optimizer.momentum"] / 0.7 in (pytest.approx(0.8), pytest.approx(1.2))
        assert moved["optimizer.weight_decay"] in (0.2, 0.4)
        assert moved["batch_size"] in (48, 80)
        assert moved["accumulate"] in (1, 3)
        assert moved["log_every"] in (16, 24)


def test_a_key_that_comes_to_exist_is_drawn_and_one_that_ceases_is_dropped() -> None:
    space = {
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "optimizer.momentum": {"uniform": [0.1, 0.9], "when": {"optimizer.name": "sgd"}},
    }
    spec = tune_spec(search=space)
    found = [explore(spec, {"optimizer.name": "adamw"}, Random(seed), 0.0) for seed in range(20)]
    assert {"adamw"} == {v["optimizer.name"] for v in found if "optimizer.momentum" not in v}
    assert {"sgd"} == {v["optimizer.name"] for v in found if "optimizer.momentum" in v}


def test_logarithmic_spaces_are_drawn_evenly_over_their_logarithm() -> None:
    spec, random = tune_spec(search=SPACES), Random(1)
    rates = [draw(spec.search["optimizer.lr"], random) for _ in range(2000)]
    below = sum(rate < math.sqrt(1.0e-3 * 0.3) for rate in rates)
    assert 900 < below < 1100
    every = Counter(draw(spec.search["log_every"], random) for _ in range(2000))
    assert set(every) <= set(range(1, 65))
    assert every[1] > every[2] > every[8]
