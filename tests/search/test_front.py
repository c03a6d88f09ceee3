"""The best trial, kept up to date."""

from __future__ import annotations

from heliostat.search.front import Front
from heliostat.search.trials import Trial


def test_the_best_trial_is_the_highest_or_the_lowest_and_of_equals_the_first() -> None:
    trials = {n: Trial(n, {}, objectives=(value,)) for n, value in enumerate((2.0, 1.0, 2.0, 1.0))}
    for maximize, best in ((True, 0), (False, 1)):
        front = Front((maximize,), trials)
        for number in (3, 2, 1, 0):
            front.hear(number)
        assert front.trials == (trials[best],)
        assert front.best == trials[best]


def test_a_best_trial_that_becomes_worse_or_fails_makes_room() -> None:
    trials = {n: Trial(n, {}, objectives=(float(n),)) for n in range(3)}
    front = Front((True,), trials)
    for number in range(3):
        front.hear(number)
    trials[2] = Trial(2, {}, objectives=(0.5,))
    front.hear(2)
    assert front.best == trials[1]
    trials[1] = Trial(1, {}, "FAILED", objectives=(1.0,))
    front.hear(1)
    assert front.best == trials[2]


def test_a_front_has_no_trial_that_another_beats_and_keeps_equals() -> None:
    values = [(1.0, 1.0), (2.0, 2.0), (0.5, 3.0), (1.0, 1.0), (3.0, 0.5), (0.4, 2.0)]
    trials = {n: Trial(n, {}, objectives=pair) for n, pair in enumerate(values)}
    front = Front((False, False), trials)
    for number in trials:
        front.hear(number)
    assert [trial.number for trial in front.trials] == [0, 3, 4, 5]
    assert front.best == trials[5]


def test_trials_without_a_value_are_not_ranked() -> None:
    front = Front((True,), {0: Trial(0, {})})
    front.hear(0)
    assert front.best is None
    assert front.trials == ()
