"""Which trials go on: ASHA, Hyperband, the median rule and population-based training."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from heliostat.search.legs import Failed, Leg, Told
from heliostat.search.plan import plan
from simulated_search import drive, loss, search_in, trained, tune_spec

LONG = {"epochs": 27}
ASHA = {"name": "asha", "min_epochs": 1, "eta": 3}


def trained_long(leg: Leg, before: int) -> Told:
    return trained(leg, before, epochs=27)


def by_number(leg: Leg, before: int, *, epochs: int = 9, sign: int = 1) -> Told:
    """Return an outcome by which a higher number is worse, or with sign -1 better."""
    until = leg.until or epochs
    value = float(sign * leg.trial)
    curve = tuple((epoch, value) for epoch in range(before + 1, until + 1))
    return Told(until, 10 * until, (value,), curve, until == epochs, 1.0)


def test_asha_promotes_the_best_third_of_each_rung(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(scheduler=ASHA, train=LONG, trials=27))
    # each trial is worse than those before it, so that nobody is promoted who later falls behind
    drive(search, lambda leg, before: by_number(leg, before, epochs=27))
    came = Counter(trial.epoch for trial in search.trials.values())
    assert came == {1: 18, 3: 6, 9: 2, 27: 1}
    assert search.epochs_spent == 27 + 9 * 2 + 3 * 6 + 1 * 18
    assert [search.trials[n].epoch for n in range(9)] == [27, 9, 9, 3, 3, 3, 3, 3, 3]
    assert search.trials[0].status == "FINISHED"
    assert {trial.status for trial in search.trials.values()} == {"FINISHED", "PRUNED"}


@pytest.mark.parametrize("seed", range(5))
def test_asha_spends_a_fraction_of_full_training_and_never_more_than_planned(
    seed: int, tmp_path: Path
) -> None:
    spec = tune_spec(scheduler=ASHA, train=LONG, trials=27, seed=seed)
    search = search_in(tmp_path, spec)
    drive(search, trained_long, concurrent=4, seed=seed)
    most = plan(spec).most_epochs
    assert most is not None
    assert 81 <= search.epochs_spent <= 27 * 27 / 3 <= most
    assert len(search.trials) == 27
    best = min(loss(trial.values, 1) for trial in search.trials.values())
    assert search.best is not None
    assert loss(search.best.values, 1) == best


def test_asha_where_each_trial_is_better_than_the_last_costs_the_most_that_was_planned(
    tmp_path: Path,
) -> None:
    spec = tune_spec(scheduler=ASHA, trials=12)
    search = search_in(tmp_path, spec)
    drive(search, lambda leg, before: by_number(leg, before, sign=-1))
    assert search.epochs_spent == plan(spec).most_epochs


def test_asha_promotes_before_it_starts_a_new_trial(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(scheduler=ASHA))
    legs = drive(search, by_number, legs=5)
    assert [(leg.trial, leg.until) for leg in legs] == [(0, 1), (1, 1), (2, 1), (0, 3), (3, 1)]


def test_asha_with_few_trials_still_trains_the_best_to_the_end(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(scheduler=ASHA, train=LONG, trials=5))
    drive(search, lambda leg, before: by_number(leg, before, epochs=27), concurrent=3)
    assert Counter(t.epoch for t in search.trials.values()) == {27: 1, 1: 4}
    assert search.trials[0].status == "FINISHED"


def test_hyperband_halves_its_brackets(tmp_path: Path) -> None:
    spec = tune_spec(scheduler="hyperband", trials=9 + 5 + 3)
    search = search_in(tmp_path, spec)
    drive(search, by_number, concurrent=2)
    came = [Counter(search.trials[n].epoch for n in numbers) for numbers in _brackets()]
    assert came == [{1: 6, 3: 2, 9: 1}, {3: 4, 9: 1}, {9: 3}]
    assert [search.trials[n].epoch for n in (0, 9)] == [9, 9]
    assert search.epochs_spent == plan(spec).most_epochs
    assert search.trials[8].reason == "not among the best 3 of 9 at epoch 1"


def _brackets() -> tuple[range, range, range]:
    return range(9), range(9, 14), range(14, 17)


@pytest.mark.parametrize(
    ("trials", "came"),
    [(2, {9: 1, 1: 1}), (4, {9: 1, 1: 3}), (9 + 1, {9: 2, 3: 2, 1: 6}), (19, {9: 6, 3: 6, 1: 7})],
)
def test_hyperbands_last_bracket_has_the_trials_that_are_left(
    trials: int, came: dict[int, int], tmp_path: Path
) -> None:
    spec = tune_spec(scheduler="hyperband", trials=trials)
    search = search_in(tmp_path, spec)
    drive(search, by_number)
    assert Counter(trial.epoch for trial in search.trials.values()) == came
    assert search.epochs_spent == plan(spec).most_epochs


def test_a_hyperband_rung_does_not_wait_for_a_trial_that_failed(tmp_path: Path) -> None:
    def outcome(leg: Leg, before: int) -> Told | Failed:
        if leg.trial in (0, 8) or (leg.trial == 1 and leg.until == 3):
            return Failed("diverged", f"the loss is nan in trial {leg.trial}", False)
        return by_number(leg, before)

    search = search_in(tmp_path, tune_spec(scheduler="hyperband", trials=9))
    drive(search, outcome, concurrent=3)
    statuses = Counter(trial.status for trial in search.trials.values())
    assert statuses == {"FAILED": 3, "FINISHED": 1, "PRUNED": 5}
    assert search.trials[2].status == "FINISHED"


def test_hyperband_begins_the_next_bracket_where_one_waits(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(scheduler="hyperband", trials=17))
    running = [leg for _ in range(10) if (leg := search.next())]
    assert [(leg.trial, leg.until) for leg in running][-2:] == [(8, 1), (9, 3)]


def test_the_median_rule_stops_a_bad_trial_and_no_good_one(tmp_path: Path) -> None:
    def outcome(leg: Leg, before: int) -> Told:
        return by_number(leg, before, sign=1 if leg.trial == 4 else -1)

    search = search_in(tmp_path, tune_spec(scheduler="median", trials=8))
    drive(search, outcome)
    stopped = [trial.number for trial in search.trials.values() if trial.status == "PRUNED"]
    assert stopped == [4]
    assert search.trials[4].epoch == 1
    assert search.trials[4].reason == "worse than the median at epoch 1"
    assert search.trials[7].epoch == 9


def test_the_median_rule_leaves_grace_and_waits_for_enough_others(tmp_path: Path) -> None:
    rule = {"name": "median", "grace_epochs": 4, "min_trials": 5}
    search = search_in(tmp_path, tune_spec(scheduler=rule, trials=8))
    legs = drive(search, by_number)
    assert [search.trials[number].epoch for number in range(8)] == [9, 9, 9, 9, 9, 4, 4, 4]
    assert legs[0].until == 4
    assert legs[1].until == 5


PBT = {"name": "pbt", "every": 3, "quantile": 0.25, "resample": 0.25}
MANY: dict[str, Any] = {
    "optimizer.lr": {"loguniform": [1.0e-3, 0.3]},
    "optimizer.momentum": {"uniform": [0.5, 0.9]},
    "optimizer.weight_decay": {"quantized": [0.0, 0.5, 0.1]},
}


def test_pbt_clones_trials_of_the_best_quarter_and_writes_down_whence(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(scheduler=PBT, trials=8, search=MANY))
    legs = drive(search, by_number, concurrent=3)
    clones = [leg for leg in legs if leg.clone]
    assert [leg.trial for leg in clones] == [6, 7, 6, 7]
    for leg in clones:
        assert leg.clone is not None
        assert leg.clone.trial in (0, 1)
        assert leg.until is not None
        assert leg.clone.step == 10 * (leg.until - 3)
    lineage = search.trials[7].lineage
    assert [descent.epoch for descent in lineage] == [3, 6]
    assert lineage[-1].values == search.trials[7].values
    assert search.trials[0].lineage == ()
    assert all(trial.status == "FINISHED" for trial in search.trials.values())
    assert search.epochs_spent == 8 * 9


def test_pbts_clones_begin_before_their_parents_go_on(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(scheduler=PBT, trials=8, search=MANY))
    legs = drive(search, by_number)
    for place, leg in enumerate(legs):
        if leg.clone:
            ahead = [other.trial for other in legs[:place] if other.until == leg.until]
            assert leg.clone.trial not in ahead


def test_pbts_values_stay_in_their_spaces_and_move(tmp_path: Path) -> None:
    spec = tune_spec(scheduler=PBT, trials=8, search=MANY, train={"epochs": 60})
    search = search_in(tmp_path, spec)
    drive(search, lambda leg, before: by_number(leg, before, epochs=60))
    for number in (6, 7):
        seen = [descent.values for descent in search.trials[number].lineage]
        assert len(seen) == 19
        for values in seen:
            assert values.keys() == MANY.keys()
            assert all(spec.search[key].takes(value) for key, value in values.items())
        for key in MANY:
            assert len({values[key] for values in seen}) > 1


def test_pbt_is_the_same_at_any_number_of_places_and_leaves_random_alone(tmp_path: Path) -> None:
    random.seed(3)
    before = random.getstate()
    lineages = []
    for places in (1, 2, 5):
        folder = tmp_path / f"{places}"
        folder.mkdir()
        search = search_in(folder, tune_spec(scheduler=PBT, trials=8, search=MANY))
        drive(search, concurrent=places, seed=places)
        lineages.append([trial.lineage for trial in search.trials.values()])
    assert lineages[0] == lineages[1] == lineages[2]
    assert any(lineages[0])
    assert random.getstate() == before


def test_a_failed_trial_does_not_hold_up_a_population(tmp_path: Path) -> None:
    def outcome(leg: Leg, before: int) -> Told | Failed:
        if leg.trial == 3 and leg.until == 6:
            return Failed("out_of_memory", "killed", worth_another=False)
        return by_number(leg, before)

    search = search_in(tmp_path, tune_spec(scheduler=PBT, trials=6, search=MANY))
    drive(search, outcome, concurrent=2)
    statuses = Counter(trial.status for trial in search.trials.values())
    assert statuses == {"FAILED": 1, "FINISHED": 5}


def test_a_clone_that_is_begun_again_keeps_its_parent_and_its_values(tmp_path: Path) -> None:
    lost: list[Leg] = []

    def outcome(leg: Leg, before: int) -> Told | Failed:
        if leg.clone and not lost:
            lost.append(leg)
            return Failed("worker_lost", "gone", worth_another=True)
        return by_number(leg, before)

    search = search_in(tmp_path, tune_spec(scheduler=PBT, trials=8, search=MANY))
    legs = drive(search, outcome)
    [again] = [leg for leg in legs if leg.retry == 1 and leg.until == lost[0].until]
    assert (again.trial, again.values, again.clone) == (
        lost[0].trial,
        lost[0].values,
        lost[0].clone,
    )
    assert len(search.trials[again.trial].lineage) == 2
