"""Suggestions: Optuna's own, points first, conditions, grids, values of any kind."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

import heliostat.search
from heliostat.search.legs import Leg, Told
from heliostat.search.search import Search
from heliostat.search.suggesting import make_suggester
from simulated_search import drive, search_in, tune_spec

MIXED: dict[str, Any] = {
    "optimizer.lr": {"loguniform": [1.0e-4, 1.0]},
    "optimizer.momentum": {"uniform": [0.0, 0.9]},
    "precision": {"choice": ["fp32", "bf16"]},
    "batch_size": {"quantized": [16, 128, 16]},
    "accumulate": {"int": [1, 4]},
    "log_every": {"logint": [1, 64]},
    "optimizer.weight_decay": {"quantized": [0.0, 0.5, 0.1]},
}


def branin(x: float, y: float) -> float:
    term = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return term**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def of_branin(leg: Leg, before: int = 0) -> Told:
    x = 15 * (math.log10(leg.values["optimizer.lr"]) / 4 + 1) - 5
    y = 15 * leg.values["optimizer.momentum"] / 0.9
    value = branin(x, y) + leg.values.get("accumulate", 1)
    return Told(9, 90, (value,), ((9, value),), True, 1.0)


def of_bare_optuna(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "optimizer.lr": trial.suggest_float("optimizer.lr", 1e-4, 1.0, log=True),
        "optimizer.momentum": trial.suggest_float("optimizer.momentum", 0.0, 0.9),
        "precision": trial.suggest_categorical("precision", ["fp32", "bf16"]),
        "batch_size": trial.suggest_int("batch_size", 16, 128, step=16),
        "accumulate": trial.suggest_int("accumulate", 1, 4),
        "log_every": trial.suggest_int("log_every", 1, 64, log=True),
        "optimizer.weight_decay": trial.suggest_float("optimizer.weight_decay", 0, 0.5, step=0.1),
    }


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_one_trial_at_a_time_has_the_suggestions_of_bare_optuna(
    algorithm: str, tmp_path: Path
) -> None:
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(sampler=samplers[algorithm](seed=7))
    expected = []
    for _ in range(64):
        trial = study.ask()
        values = of_bare_optuna(trial)
        expected.append(values)
        study.tell(trial, of_branin(Leg(0, values, None)).values[0])
    spec = tune_spec(search=MIXED, algorithm=algorithm, trials=64, concurrent=1, seed=7)
    search = search_in(tmp_path, spec)
    drive(search, of_branin)
    assert [trial.values for trial in search.trials.values()] == expected


def test_a_resumed_tpe_search_still_has_the_suggestions_of_bare_optuna(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(search=MIXED, algorithm="tpe", trials=24))
    drive(search, of_branin)
    (tmp_path / "parts").mkdir()
    for legs in (5, 7, None):
        part = search_in(tmp_path / "parts", tune_spec(search=MIXED, algorithm="tpe", trials=24))
        drive(part, of_branin, legs=legs)
    assert dict(part.trials) == dict(search.trials)


def test_tpe_comes_to_suggest_better_values_than_random(tmp_path: Path) -> None:
    medians = {}
    for algorithm in ("random", "tpe"):
        (tmp_path / algorithm).mkdir()
        search = search_in(tmp_path / algorithm, tune_spec(algorithm=algorithm, trials=64))
        drive(search, of_branin)
        last = list(search.trials.values())[32:]
        medians[algorithm] = statistics.median(trial.objectives[0] for trial in last)
    assert medians["tpe"] < medians["random"] / 2


def test_gp_suggests_within_the_spaces_and_learns(tmp_path: Path) -> None:
    space = {key: MIXED[key] for key in ("optimizer.lr", "optimizer.momentum")}
    search = search_in(tmp_path, tune_spec(search=space, algorithm="gp", trials=13))
    drive(search, of_branin)
    last = [trial.value or 0.0 for trial in search.trials.values()]
    assert min(last[10:]) < sorted(last[:10])[5]
    assert all(1e-4 <= t.values["optimizer.lr"] <= 1 for t in search.trials.values())


def test_a_quasi_random_sequence_has_one_trial_in_each_part_of_the_space(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(algorithm="quasi_random", trials=8))
    drive(search, of_branin)
    parts = [int(8 * t.values["optimizer.momentum"] / 0.99) for t in search.trials.values()]
    assert sorted(parts) == list(range(8))


@pytest.mark.parametrize("algorithm", ["random", "tpe", "quasi_random"])
def test_suggestions_are_plain_values_within_their_spaces(algorithm: str, tmp_path: Path) -> None:
    spec = tune_spec(search=MIXED, algorithm=algorithm, trials=16)
    search = search_in(tmp_path, spec)
    drive(search, of_branin)
    kinds = {"batch_size": int, "accumulate": int, "log_every": int, "precision": str}
    for trial in search.trials.values():
        for key, value in trial.values.items():
            assert type(value) is kinds.get(key, float)
            assert key == "optimizer.weight_decay" or spec.search[key].takes(value)


def test_the_room_is_imported_without_optuna(tmp_path: Path) -> None:
    lines = ["import sys", "import heliostat.search.search, heliostat.search.plan"]
    lines += ["print([m for m in ('optuna', 'torch', 'ray', 'mlflow') if m in sys.modules])"]
    source = Path(heliostat.search.__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    assert ran.stdout.strip() == "[]"


def test_another_seed_has_other_quasi_random_suggestions(tmp_path: Path) -> None:
    def first(seed: int) -> dict[str, Any]:
        return make_suggester(tune_spec(algorithm="quasi_random", seed=seed)).suggest(0)

    assert first(0) == first(0)
    assert first(0) != first(1)


CONDITIONAL: dict[str, Any] = {
    "optimizer.momentum": {"uniform": [0.1, 0.9], "when": {"optimizer.name": "sgd"}},
    "optimizer.name": {"choice": ["sgd", "adamw"]},
    "optimizer.lr": {"loguniform": [1.0e-4, 1.0]},
}


@pytest.mark.parametrize("algorithm", ["random", "tpe", "quasi_random"])
def test_a_conditional_key_is_there_only_where_its_condition_holds(
    algorithm: str, tmp_path: Path
) -> None:
    search = search_in(tmp_path, tune_spec(search=CONDITIONAL, algorithm=algorithm, trials=24))
    drive(search)
    names = {trial.values["optimizer.name"] for trial in search.trials.values()}
    assert names == {"sgd", "adamw"}
    for trial in search.trials.values():
        assert ("optimizer.momentum" in trial.values) == (trial.values["optimizer.name"] == "sgd")


@pytest.mark.parametrize("algorithm", ["random", "tpe", "quasi_random"])
def test_points_are_tried_first(algorithm: str, tmp_path: Path) -> None:
    points = [
        {"optimizer.name": "adamw", "optimizer.lr": 0.01},
        {"optimizer.name": "sgd", "optimizer.lr": 0.1, "optimizer.momentum": 0.5},
    ]
    spec = tune_spec(search=CONDITIONAL, algorithm=algorithm, trials=12, points_to_evaluate=points)
    search = search_in(tmp_path, spec)
    drive(search)
    assert [search.trials[number].values for number in (0, 1)] == points
    assert len(search.trials) == 12
    assert search.trials[2].values not in points


def test_a_choice_may_hold_lists_and_mappings(tmp_path: Path) -> None:
    augmentations: list[Any] = [[], ["horizontal_flip"], [{"random_crop": {"padding": 2}}]]
    space = {"data.augment": {"choice": augmentations}, "optimizer.lr": {"uniform": [0.01, 0.1]}}
    spec = tune_spec(search=space, algorithm="tpe", trials=14)
    drive(search_in(tmp_path, spec), legs=7)
    search = search_in(tmp_path, spec)
    drive(search)
    tried = [trial.values["data.augment"] for trial in search.trials.values()]
    assert all(augment in augmentations for augment in tried)
    assert all(augment in tried for augment in augmentations)


def test_a_grid_goes_through_every_combination_in_order(tmp_path: Path) -> None:
    space = {
        "optimizer.name": {"grid": ["sgd", "adamw"]},
        "optimizer.momentum": {"grid": [0.0, 0.9], "when": {"optimizer.name": "sgd"}},
        "optimizer.lr": {"grid": [0.1, 0.01]},
    }
    point = {"optimizer.name": "adamw", "optimizer.lr": 0.01}
    spec = tune_spec(search=space, algorithm="grid", trials=None, points_to_evaluate=[point])
    search = search_in(tmp_path, spec)
    drive(search)
    assert search.total == 6
    assert [trial.values for trial in search.trials.values()] == [
        point,
        {"optimizer.name": "sgd", "optimizer.momentum": 0.0, "optimizer.lr": 0.1},
        {"optimizer.name": "sgd", "optimizer.momentum": 0.0, "optimizer.lr": 0.01},
        {"optimizer.name": "sgd", "optimizer.momentum": 0.9, "optimizer.lr": 0.1},
        {"optimizer.name": "sgd", "optimizer.momentum": 0.9, "optimizer.lr": 0.01},
        {"optimizer.name": "adamw", "optimizer.lr": 0.1},
    ]


def test_suggestions_of_a_ledger_count_where_the_sampler_would_differ(tmp_path: Path) -> None:
    spec = tune_spec(algorithm="tpe", trials=12)
    drive(search_in(tmp_path, spec), legs=11)
    ledger = tmp_path / "ledger.jsonl"
    lr = search_in(tmp_path, spec).trials[3].values["optimizer.lr"]
    ledger.write_text(ledger.read_text().replace(f"{lr!r}", "0.125"))  # as of another Optuna
    search = search_in(tmp_path, spec)
    assert search.trials[3].values["optimizer.lr"] == 0.125
    drive(search)
    assert sorted(search.trials) == list(range(12))


def test_optuna_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for algorithm in ("random", "tpe", "quasi_random"):
        (tmp_path / algorithm).mkdir()
        drive(search_in(tmp_path / algorithm, tune_spec(algorithm=algorithm)))
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def multi(search: Search) -> None:
    def outcome(leg: Leg, before: int) -> Told:
        lr = leg.values["optimizer.lr"]
        return Told(9, 90, (lr, -abs(lr - 0.5)), (), True, 1.0)

    drive(search, outcome)


@pytest.mark.parametrize("algorithm", ["random", "tpe", "quasi_random"])
def test_several_objectives_give_a_front(algorithm: str, tmp_path: Path) -> None:
    goals = [
        {"metric": "val/loss", "goal": "minimize"},
        {"metric": "val/accuracy", "goal": "maximize"},
    ]
    search = search_in(tmp_path, tune_spec(objectives=goals, algorithm=algorithm, trials=30))
    multi(search)
    trials = list(search.trials.values())
    for trial in trials:
        beaten = any(
            other.objectives != trial.objectives
            and other.objectives[0] <= trial.objectives[0]
            and other.objectives[1] >= trial.objectives[1]
            for other in trials
        )
        assert beaten != (trial in search.front)
    assert search.best in search.front
