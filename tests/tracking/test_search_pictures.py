"""A search's pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from heliostat.tracking.importance import importance
from heliostat.tracking.search_pictures import draw_search
from heliostat.tracking.trial_facts import Aim, TrialFacts, window

SPACES = {
    "optimizer.lr": {"loguniform": [1e-4, 1.0]},
    "optimizer.name": {"choice": ["sgd", "adamw"]},
    "optimizer.momentum": {"uniform": [0.5, 0.99], "when": {"optimizer.name": "sgd"}},
    "model.args.widths": {"choice": [[16, 32], [32, 64]]},
}
ACCURACY = Aim("val/accuracy", "maximize")
LOSS = Aim("val/loss", "minimize")


def trials(count: int) -> list[TrialFacts]:
    """Trials of whose values only the learning rate matters."""
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        lr = float(10 ** draw.uniform(-4, 0))
        name = str(draw.choice(["sgd", "adamw"]))
        values = {
            "optimizer.lr": lr,
            "optimizer.name": name,
            "model.args.widths": [[16, 32], [32, 64]][draw.integers(2)],
            **({"optimizer.momentum": float(draw.uniform(0.5, 0.99))} if name == "sgd" else {}),
        }
        best = 0.9 - 0.1 * (math.log10(lr) + 2) ** 2
        rung = (1, 3, 9)[min(2, number % 4)]
        curve = tuple((epoch, best - 0.3 / epoch) for epoch in range(1, rung + 1))
        status = "FINISHED" if rung == 9 else "PRUNED"
        trial = TrialFacts(number, values, status, 0, objectives=(best,), curve=curve, epoch=rung)
        found.append(trial)
    return found


def test_a_search_with_rungs_has_all_pictures_but_the_front() -> None:
    found = trials(64)
    found[3] = replace(found[3], status="FAILED", objectives=(), curve=())
    pictures = draw_search(found, aims=[ACCURACY], spaces=SPACES, rungs=(1, 3, 9))
    assert list(pictures) == [
        "best_so_far", "parallel_coordinates", "importance", "rungs", "learning_curves"
    ]  # fmt: skip
    assert all(len(np.unique(np.asarray(picture))) > 20 for picture in pictures.values())


def test_what_there_is_too_little_for_is_left_out() -> None:
    running = replace(trials(1)[0], objectives=(), curve=(), status="RUNNING")
    assert draw_search([running], aims=[ACCURACY], spaces=SPACES) == {}
    one = replace(trials(1)[0], curve=((1, 0.5),))
    assert list(draw_search([one], aims=[ACCURACY], spaces=SPACES)) == [
        "best_so_far", "parallel_coordinates"
    ]  # fmt: skip


@pytest.mark.parametrize("count", [2, 3])
def test_several_objectives_have_a_front(count: int) -> None:
    draw = np.random.default_rng(1)
    found = [
        replace(trial, objectives=(*trial.objectives, *draw.uniform(size=count - 1)))
        for trial in trials(12)
    ]
    aims = [ACCURACY, LOSS, Aim("val/map", "maximize")][:count]
    assert "pareto_front" in draw_search(found, aims=aims, spaces=SPACES)


def test_a_choice_of_one_and_trials_all_alike_are_drawn() -> None:
    alike = [replace(trial, objectives=(0.5,)) for trial in trials(6)]
    spaces = {**SPACES, "seed": {"grid": [1]}}
    given = [replace(trial, values={**trial.values, "seed": 1}) for trial in alike]
    assert "parallel_coordinates" in draw_search(given, aims=[ACCURACY], spaces=spaces)


def test_the_key_that_decides_is_the_most_important() -> None:
    shares = importance(trials(64), ACCURACY, SPACES)
    assert max(shares, key=lambda key: shares[key]) == "optimizer.lr"
    assert sum(shares.values()) == pytest.approx(1)
    assert importance(trials(3), ACCURACY, SPACES) == {}


def test_one_trial_that_diverged_does_not_press_the_others_into_a_line() -> None:
    losses = [0.1 * n for n in range(1, 20)]
    assert window(losses, LOSS) == pytest.approx((0.1, 1.9))
    assert window([*losses, 1e9, math.inf], LOSS) == pytest.approx((0.1, 1.8))
    assert window([0.5, 0.5], ACCURACY) == pytest.approx((0.475, 0.525))
