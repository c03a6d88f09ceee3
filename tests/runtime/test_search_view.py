"""How far a search says that it has come."""

from __future__ import annotations

from pathlib import Path

from heliostat.runtime.search_view import progress_of
from simulated_search import drive, search_in, tune_spec


def test_the_time_left_counts_the_epochs_that_the_rungs_leave_to_trials(tmp_path: Path) -> None:
    spec = tune_spec(scheduler="asha", trials=9)
    search = search_in(tmp_path, spec)
    drive(search, legs=4)
    spent = search.epochs_spent
    left = progress_of(search, spec, 10.0 * spent).seconds_left
    planned = 9 + 3 * 2 + 1 * 6  # of nine trials three go on to epoch 3, and one to epoch 9
    assert left == 10.0 * (planned - spent)


def test_the_time_left_is_never_more_than_the_budget(tmp_path: Path) -> None:
    spec = tune_spec(trials=9, budget={"minutes": 5})
    search = search_in(tmp_path, spec)
    drive(search, legs=1)
    assert progress_of(search, spec, 240.0).seconds_left == 60.0
