"""`helio check` of searches: the train spec as it stands, and as the first trial has it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from heliostat import spec
from heliostat.runtime.check import check
from heliostat.spec import InputError, Problem

TRAIN = """\
kind: train
name: digits
task: {name: classification}
model: {name: cnn_small}
data: {train: "sklearn:digits", val: "sklearn:digits"}
batch_size: 64
epochs: 1
optimizer: {name: sgd, lr: 0.1}
"""
TUNE = """\
kind: tune
name: digits-search
train: train.yaml
trials: 2
"""


@pytest.fixture
def checked(tmp_path: Path, helio_home: Path, one_thread: None) -> Any:
    """Return a function that checks a search, whose `search:` and other lines it is given."""

    def check_search(lines: str, train: str = TRAIN) -> tuple[Problem, ...]:
        (tmp_path / "train.yaml").write_text(train)
        (tmp_path / "tune.yaml").write_text(f"{TUNE}{lines}\n")
        return check(spec.load(tmp_path / "tune.yaml"), deep=False)

    return check_search


def refusal(checked: Any, *args: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        checked(*args)
    return [f"{Path(p.file).name}:{p.line}: {replaced(p)}" for p in caught.value.problems]


def replaced(problem: Problem) -> str:
    return str(Problem(problem.message, problem.key, problem.valid))


def test_a_sound_search_has_no_problems_and_no_warnings(checked) -> None:
    assert checked("search: {optimizer.lr: {loguniform: [1.0e-3, 1.0]}}\nconcurrent: 1") == ()


def test_what_is_wrong_with_the_train_spec_stands_in_its_own_file(checked) -> None:
    lines = "search: {optimizer.lr: {loguniform: [1.0e-3, 1.0]}}"
    [said] = refusal(checked, lines, TRAIN.replace("cnn_small", "cnn_smal"))

    assert said.startswith("train.yaml:4: train.model.name: ")
    assert "cnn_small" in said


def test_what_the_first_trial_tries_is_built_and_blamed_on_its_space(checked) -> None:
    lines = "search: {model.args.width: {choice: [8]}}"
    [said] = refusal(checked, lines)

    assert said.startswith("tune.yaml:5: search.model.args.width: the first trial tries 8: ")


def test_a_point_to_evaluate_is_the_first_trial(checked) -> None:
    lines = "search: {model.name: {choice: [cnn_small, no_such_model]}}\n"
    assert checked(f"{lines}points_to_evaluate: [{{model.name: cnn_small}}]") == ()
    [said] = refusal(checked, f"{lines}points_to_evaluate: [{{model.name: no_such_model}}]")

    assert "search.model.name: the first trial tries 'no_such_model'" in said


def test_an_objective_that_no_evaluation_produces_is_found(checked) -> None:
    lines = (
        "search: {optimizer.lr: {loguniform: [1.0e-3, 1.0]}}\n"
        "objectives: [{metric: val/accurracy, goal: maximize}]"
    )

    [said] = refusal(checked, lines)

    assert said.startswith(
        "tune.yaml:6: objectives[0].metric: no evaluation of this task produces val/accurracy; "
        "did you mean val/accuracy?"
    )


def test_more_trials_at_a_time_than_this_machine_has_room_for_is_a_warning(checked) -> None:
    many = (os.cpu_count() or 1) + 1
    lines = f"search: {{optimizer.lr: {{loguniform: [1.0e-3, 1.0]}}}}\nconcurrent: {many}"
    [warning] = checked(lines)

    assert warning.key == ("concurrent",)
    assert warning.line == 6
