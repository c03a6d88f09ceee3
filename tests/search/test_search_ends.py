"""How searches end: failures, retries, budgets, targets, and limits that are raised."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from heliostat.search.ledger import read_records
from heliostat.search.legs import Failed, Leg, Told
from heliostat.spec.problems import InputError
from simulated_search import drive, search_in, trained, tune_spec

LOST = Failed("worker_lost", "the worker of rank 0 is gone", worth_another=True)


def test_a_lost_leg_is_begun_again_as_often_as_the_spec_says(tmp_path: Path) -> None:
    def outcome(leg: Leg, before: int) -> Told | Failed:
        return LOST if leg.trial == 1 and leg.until == 3 else trained(leg, before)

    spec = tune_spec(scheduler="asha", trials=6, train={"retries": {"failures": 2}})
    points = [{"optimizer.lr": lr, "optimizer.momentum": 0.9} for lr in (1.0, 0.1, 1e-3)]
    search = search_in(tmp_path, spec.model_copy(update={"points_to_evaluate": tuple(points)}))
    legs = drive(search, outcome)
    tried = [(leg.until, leg.retry) for leg in legs if leg.trial == 1]
    assert tried == [(1, 0), (3, 0), (3, 1), (3, 2)]
    trial = search.trials[1]
    assert (trial.status, trial.epoch, trial.retries) == ("FAILED", 1, 2)
    assert trial.reason == "worker_lost: the worker of rank 0 is gone"
    assert search.best != trial
    assert search.failure is None


def test_a_lost_leg_may_succeed_the_next_time(tmp_path: Path) -> None:
    def outcome(leg: Leg, before: int) -> Told | Failed:
        return LOST if leg.retry == 0 else trained(leg, before)

    search = search_in(tmp_path, tune_spec(trials=4))
    drive(search, outcome, concurrent=2)
    assert {trial.status for trial in search.trials.values()} == {"FINISHED"}
    assert {trial.retries for trial in search.trials.values()} == {1}


def test_an_objective_that_is_not_a_number_fails_the_trial(tmp_path: Path) -> None:
    def outcome(leg: Leg, before: int) -> Told | Failed:
        value = math.nan if leg.trial == 1 else 1.0
        return Told(9, 90, (value,), ((8, math.inf), (9, value)), True, 1.0)

    search = search_in(tmp_path, tune_spec(algorithm="tpe", trials=12))
    drive(search, outcome)
    assert search.trials[1].status == "FAILED"
    assert search.trials[1].reason == "diverged: the objective is nan"
    assert search.trials[0].curve == ((9, 1.0),)
    assert len(search.trials) == 12


def test_tpe_does_not_learn_from_failed_trials_but_goes_on(tmp_path: Path) -> None:
    def outcome(leg: Leg, before: int) -> Told | Failed:
        if leg.values["optimizer.lr"] > 0.05:
            return Failed("diverged", f"nan at step {leg.trial}", worth_another=False)
        return trained(leg, before)

    search = search_in(tmp_path, tune_spec(algorithm="tpe", trials=30))
    drive(search, outcome)
    statuses = [trial.status for trial in search.trials.values()]
    assert set(statuses) == {"FAILED", "FINISHED"}
    assert search.best is not None
    assert search.best.status == "FINISHED"


TRACEBACK = "Traceback (most recent call last):\n  File {0}\nValueError: {0} classes, not 10\n"


@pytest.mark.parametrize(("trials", "needed"), [(12, 3), (2, 2), (1, 1), (None, 3)])
def test_a_search_whose_first_trials_all_fail_alike_ends(
    trials: int | None, needed: int, tmp_path: Path
) -> None:
    spec = tune_spec(trials=trials, budget={"epochs": 900})
    search = search_in(tmp_path, spec)
    drive(search, lambda leg, _: Failed("user_code", TRACEBACK.format(leg.trial), False))
    assert len(search.trials) == needed
    assert search.failure is not None
    assert "ValueError: " in search.failure
    assert search.done
    assert search.best is None


def test_different_failures_or_a_trial_that_went_well_let_a_search_go_on(tmp_path: Path) -> None:
    def unlike(leg: Leg, before: int) -> Told | Failed:
        return Failed("user_code", "abcdefghijkl"[leg.trial], worth_another=False)

    def later(leg: Leg, before: int) -> Told | Failed:
        return trained(leg, before) if leg.trial == 0 else Failed("user_code", "no", False)

    for name, outcome in (("unlike", unlike), ("later", later)):
        (tmp_path / name).mkdir()
        search = search_in(tmp_path / name, tune_spec(trials=12))
        drive(search, outcome)
        assert len(search.trials) == 12
        assert search.failure is None


def test_a_search_that_failed_early_gives_others_a_chance_when_resumed(tmp_path: Path) -> None:
    spec = tune_spec(trials=6)
    drive(search_in(tmp_path, spec), lambda leg, _: Failed("input", "no such data", False))
    search = search_in(tmp_path, spec)
    assert not search.done
    drive(search)
    assert [t.status for t in search.trials.values()] == ["FAILED"] * 3 + ["FINISHED"] * 3
    assert search.failure is None


@pytest.mark.parametrize("scheduler", ["none", "asha", "median", "hyperband"])
@pytest.mark.parametrize("concurrent", [1, 4])
def test_a_budget_of_epochs_is_not_overspent(
    scheduler: str, concurrent: int, tmp_path: Path
) -> None:
    spec = tune_spec(scheduler=scheduler, trials=None, budget={"epochs": 50})
    search = search_in(tmp_path, spec)
    drive(search, concurrent=concurrent)
    assert 50 - 9 < search.epochs_spent <= 50
    assert search.stopped == "the budget of 50 epochs is spent"
    assert {trial.status for trial in search.trials.values()} <= {"FINISHED", "PRUNED"}
    again = search_in(tmp_path, spec)
    assert again.done
    assert again.next() is None


def test_a_raised_budget_lets_a_resumed_search_go_on(tmp_path: Path) -> None:
    drive(search_in(tmp_path, tune_spec(scheduler="asha", trials=None, budget={"epochs": 20})))
    search = search_in(tmp_path, tune_spec(scheduler="asha", trials=None, budget={"epochs": 60}))
    assert not search.done
    drive(search)
    assert 20 < search.epochs_spent <= 60
    whole = tmp_path / "whole"
    whole.mkdir()
    other = search_in(whole, tune_spec(scheduler="asha", trials=None, budget={"epochs": 60}))
    drive(other)
    assert [t.values for t in search.trials.values()] == [t.values for t in other.trials.values()]


def test_a_search_ends_when_its_target_is_reached(tmp_path: Path) -> None:
    def outcome(leg: Leg, before: int) -> Told:
        value = 1.0 - leg.trial / 10
        return Told(9, 90, (value,), ((9, value),), True, 1.0)

    search = search_in(tmp_path, tune_spec(target=0.7, trials=12))
    drive(search, outcome)
    assert len(search.trials) == 4
    assert search.stopped == "trial 3 reached the target 0.7: 0.7"
    assert search_in(tmp_path, tune_spec(target=0.7, trials=12)).done
    lower = search_in(tmp_path, tune_spec(target=0.5, trials=12))
    drive(lower, outcome)
    assert len(lower.trials) == 6


def test_stopping_ends_what_is_paused_now_and_what_runs_with_its_leg(tmp_path: Path) -> None:
    spec = tune_spec(scheduler="asha", trials=12)
    search = search_in(tmp_path, spec)
    paused, told, killed = [leg for _ in range(3) if (leg := search.next())]
    search.told(paused, trained(paused, 0))
    search.stop("20 minutes are over")
    assert search.next() is None
    assert not search.done
    assert search.running == 2
    search.told(told, trained(told, 0))
    search.told(killed, LOST)
    assert search.done
    ends = [(trial.status, trial.reason) for trial in search.trials.values()]
    assert ends == [
        ("PRUNED", "paused at epoch 1; 20 minutes are over"),
        ("PRUNED", "paused at epoch 1; 20 minutes are over"),
        ("KILLED", "20 minutes are over"),
    ]
    resumed = search_in(tmp_path, spec)
    assert resumed.next() == killed
    resumed.told(killed, trained(killed, 0))
    drive(resumed)
    assert len(resumed.trials) == 12
    assert {trial.status for trial in resumed.trials.values()} == {"FINISHED", "PRUNED"}


def test_stopping_before_what_ran_is_handed_out_again_kills_it(tmp_path: Path) -> None:
    spec = tune_spec(trials=4)
    leg = search_in(tmp_path, spec).next()
    search = search_in(tmp_path, spec)
    search.stop("enough")
    assert search.done
    assert search.trials[0].status == "KILLED"
    assert search_in(tmp_path, spec).next() == leg


def test_what_ran_when_the_target_was_reached_is_not_begun_again(tmp_path: Path) -> None:
    spec = tune_spec(trials=4, target=100.0)
    search = search_in(tmp_path, spec)
    first, second = [leg for _ in range(2) if (leg := search.next())]
    search.told(first, trained(first, 0))
    assert search.stopped
    resumed = search_in(tmp_path, spec)
    assert resumed.done
    assert resumed.next() is None
    assert resumed.trials[second.trial].status == "KILLED"


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"search": {"optimizer.lr": {"uniform": [0.1, 0.2]}}}, "search.optimizer.lr"),
    ({"train": {"batch_size": 32}}, "train.batch_size: was 64 when the search began"),
    ({"algorithm": "tpe"}, 'algorithm: was "random" when the search began'),
    ({"scheduler": {"name": "asha", "eta": 4}}, "scheduler.eta: was 3 when the search began"),
    ({"seed": 5}, "seed: was 0 when the search began"),
    ({"objectives": [{"metric": "val/accuracy", "goal": "maximize"}]}, "objectives"),
    ({"trials": 2}, "trials: the search already has 3 trials; 3 or more"),
]


@pytest.mark.parametrize(("changes", "message"), CHANGES)
def test_a_changed_search_is_not_resumed(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    drive(search_in(tmp_path, tune_spec(scheduler="asha")), legs=3)
    before = (tmp_path / "ledger.jsonl").read_bytes()
    with pytest.raises(InputError) as caught:
        search_in(tmp_path, tune_spec(**{"scheduler": "asha", **changes}))
    assert message in str(caught.value)
    assert (tmp_path / "ledger.jsonl").read_bytes() == before


def test_changed_limits_are_written_down(tmp_path: Path) -> None:
    drive(search_in(tmp_path, tune_spec()), legs=2)
    search_in(tmp_path, tune_spec(trials=20, concurrent=2, budget={"minutes": 3.0}))
    [resumed] = [r for r in read_records(tmp_path / "ledger.jsonl")[0] if r["kind"] == "resumed"]
    assert resumed["limits"] == {
        "trials": 20,
        "concurrent": 2,
        "budget": {"minutes": 3.0, "epochs": None},
        "target": None,
    }


def test_a_leg_that_does_not_run_is_not_told_of(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec())
    leg = search.next()
    assert leg is not None
    search.told(leg, trained(leg, 0))
    with pytest.raises(ValueError, match="trial 0 has no such leg running"):
        search.told(leg, trained(leg, 0))
