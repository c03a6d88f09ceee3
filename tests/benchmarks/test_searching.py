"""The search benchmark's own arithmetic, and its specs; it times nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from measuring import HERE
from search_asha import Replayed, fraction, replay
from search_curves import Curve, curves_of, curves_spec
from search_overhead import Cost
from search_peer_optuna import SPACES, draw_points
from search_runs import seconds_each

from heliostat import spec as specs
from heliostat.spec import TuneSpec

SPECS = (
    "search_digits.yaml",
    "search_walltime.yaml",
    "search_curves.yaml",
    "search_at_once.yaml",
)


def curve(last: float, seconds: float = 9.0) -> Curve:
    """Return nine epochs that rise to `last` in a straight line."""
    return Curve({}, tuple(round(last * epoch / 9, 4) for epoch in range(1, 10)), seconds)


def asha(**changes: Any) -> TuneSpec:
    scheduler = {"name": "asha", "min_epochs": 1, "eta": 3}
    return curves_spec({"train.epochs": 9, "scheduler": scheduler, **changes})


@pytest.mark.parametrize("name", SPECS)
def test_each_spec_of_a_benchmark_is_sound(name: str) -> None:
    assert isinstance(specs.load(HERE / name).spec, TuneSpec)


def test_both_sides_of_walltime_search_the_same_space() -> None:
    spec = specs.load(HERE / "search_walltime.yaml").spec
    assert isinstance(spec, TuneSpec)
    ours = {key: space.ends for key, space in spec.search.items()}
    theirs = {key: (space.low, space.high) for key, space in SPACES.items()}
    assert ours == theirs


def test_the_points_of_walltime_are_the_same_each_time_and_all_different() -> None:
    points = draw_points(5, seed=0)
    assert points == draw_points(5, seed=0)
    assert len({point["optimizer.lr"] for point in points}) == 5


def test_a_trials_cost_leaves_out_the_start_and_its_training() -> None:
    ends = [130.0, 131.0, 132.0, 134.0]
    cost = Cost(seconds_each(ends), training=1.0, first=30.0, total=40.0)
    assert cost.each == pytest.approx(4 / 3)
    assert cost.beyond(1.0) == pytest.approx(1 / 3)


def test_a_replayed_search_ends_when_a_trial_reaches_the_target() -> None:
    order = [curve(0.5), curve(0.9), curve(0.4), curve(0.3)]
    # Both slots: 0 and 1 to epoch 1, 2 and 3 likewise, then 1, the best third, to 3 and to 9; the
    # first trial to come to epoch 9 is the one that reaches it.
    replayed = replay(asha(trials=4, target=0.9), order)
    assert replayed.reached
    assert replayed.trials == 4
    assert replayed.epochs == pytest.approx(4 + 2 + 6)


def test_what_runs_when_the_target_is_reached_counts_by_its_part() -> None:
    order = [curve(0.9), curve(0.1, seconds=18.0)]
    replayed = replay(asha(trials=2, target=0.1, concurrent=2), order)
    assert replayed.epochs == pytest.approx(1 + 0.5)  # the slow one is at half of its first epoch


def test_a_search_in_vain_is_no_small_part() -> None:
    replayed = replay(asha(trials=3, target=0.95), [curve(0.2), curve(0.3), curve(0.1)])
    assert not replayed.reached
    assert fraction(replayed, epochs=9) == math.inf
    assert fraction(Replayed(36.0, 8, reached=True), epochs=9) == pytest.approx(0.25)


def test_curves_come_from_the_ledger_of_a_search() -> None:
    told = {"epoch": 2, "step": 188, "curve": [[1, 0.5], [2, 0.61234]], "seconds": 3.0}
    records = [
        {"kind": "suggested", "trial": 0, "values": {"optimizer.lr": 0.12345678}},
        {"kind": "told", "trial": 0, **told},
        {"kind": "ended", "trial": 0, "status": "FINISHED"},
    ]
    curves = curves_of(records)
    assert curves.steps_per_epoch == 94
    assert curves.trials == (Curve({"optimizer.lr": 0.123457}, (0.5, 0.6123), 3.0),)


def test_curves_of_a_trial_that_failed_are_refused() -> None:
    with pytest.raises(RuntimeError, match="not all trials were trained to their end"):
        curves_of([{"kind": "ended", "trial": 0, "status": "FAILED"}])
