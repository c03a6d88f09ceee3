"""What a search is going to do, before it does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heliostat.search.plan import Plan, Rung, plan
from simulated_search import drive, search_in, tune_spec


def test_the_plan_of_full_trials() -> None:
    assert plan(tune_spec()) == Plan(12, (Rung(0, 9, 12, 12),), 108, 108, 12)


def test_the_plan_of_asha_tells_the_usual_from_the_most() -> None:
    found = plan(tune_spec(scheduler="asha", trials=27, train={"epochs": 27}))
    usual = [(rung.epochs, rung.trials) for rung in found.rungs]
    assert usual == [(1, 27), (3, 9), (9, 3), (27, 1)]
    assert [rung.most for rung in found.rungs] == [27, 25, 23, 21]
    assert found.most_epochs == 27 + 25 * 2 + 23 * 6 + 21 * 18
    assert found.usual_epochs == 27 + 9 * 2 + 3 * 6 + 18


def test_the_plan_of_hyperband_has_its_brackets() -> None:
    found = plan(tune_spec(scheduler="hyperband", trials=12))
    rungs = [(rung.bracket, rung.epochs, rung.trials) for rung in found.rungs]
    assert rungs == [(0, 1, 9), (0, 3, 3), (0, 9, 1), (1, 3, 3), (1, 9, 1)]
    assert found.most_epochs == 9 + 3 * 2 + 6 + 3 * 3 + 6
    assert found.most_legs == 17


def test_a_budget_bounds_the_plan_of_an_open_search() -> None:
    found = plan(tune_spec(scheduler="asha", trials=None, budget={"epochs": 100}))
    assert (found.trials, found.most_epochs, found.most_legs) == (None, 100, None)


def test_a_grid_is_counted() -> None:
    space = {"optimizer.lr": {"grid": [0.1, 0.01]}, "batch_size": {"grid": [16, 32, 64]}}
    found = plan(tune_spec(search=space, algorithm="grid", trials=None))
    assert (found.trials, found.most_epochs) == (6, 54)


def test_searched_epochs_count_at_their_most() -> None:
    space = {"epochs": {"int": [2, 20]}}
    assert plan(tune_spec(search=space, trials=3)).most_epochs == 60


@pytest.mark.parametrize(
    "scheduler", ["none", "asha", {"name": "median", "min_trials": 1}, "hyperband", "pbt"]
)
@pytest.mark.parametrize("trials", [2, 7, 20])
def test_no_search_takes_more_than_its_plan(scheduler: Any, trials: int, tmp_path: Path) -> None:
    spec = tune_spec(scheduler=scheduler, trials=trials)
    search = search_in(tmp_path, spec)
    legs = drive(search, concurrent=3, seed=trials)
    found = plan(spec)
    assert found.most_epochs is not None
    assert found.most_legs is not None
    assert search.epochs_spent <= found.most_epochs
    assert len(legs) <= found.most_legs
