"""`helio run --dry-run`: the plan of real specs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heliostat import spec
from heliostat.spec import InputError
from small_specs import TRAIN

TUNE = """\
kind: tune
name: digits-search
train: train.yaml
search: {optimizer.lr: {loguniform: [1.0e-4, 1.0]}}
algorithm: tpe
"""
PREDICT = """\
kind: predict
name: guess
model: models:/digits/1
input: images
output: guesses.parquet
resources: {workers: 2}
"""


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    for name, text in (("train", TRAIN), ("tune", TUNE), ("predict", PREDICT)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def runs(document, *, local, cluster, show) -> None:
    raise AssertionError("it was started")


def test_a_searchs_plan_holds_trials_room_rungs_and_the_most_it_can_cost(
    helio, specs: Path
) -> None:
    argv = ("run", str(specs / "tune.yaml"), "--dry-run", "--set", "trials=9")
    argv = (*argv, "--set", "scheduler=asha", "--set", "budget.minutes=30")
    said = helio(*argv, load=spec.load, run=runs, trials_at_once=lambda spec: 2)

    assert said.status == 0
    assert said.stdout.splitlines() == [
        "digits-search: a search, tpe, scheduler asha",
        "  trials  9",
        "  at once 2",
        "  epochs  at most 53, of all together",
        "  time    at most 30 minutes",
        "bracket  epochs  trials  trials at most",
        "0        1       9       9",
        "0        3       3       7",
        "0        9       1       5",
        "Nothing was started.",
    ]


def test_what_has_no_limit_of_its_own_says_what_ends_it(helio, specs: Path) -> None:
    argv = ("run", str(specs / "tune.yaml"), "--dry-run", "--set", "budget.minutes=30")
    argv = (*argv, "--cluster", "h:1")
    said = helio(*argv, load=spec.load, run=runs)

    assert said.stdout.splitlines() == [
        "digits-search: a search, tpe, scheduler none",
        "  trials  until the budget is spent",
        "  at once as many as the cluster holds",
        "  epochs  no limit known",
        "  time    at most 30 minutes",
        "Nothing was started.",
    ]


def test_of_very_many_rungs_the_first_are_listed(helio, specs: Path) -> None:
    argv = ("run", str(specs / "tune.yaml"), "--dry-run", "--set", "trials=200")
    argv = (*argv, "--set", "scheduler=hyperband")
    read = helio(*argv, load=spec.load, trials_at_once=lambda spec: 2).stdout.splitlines()
    parsed = helio(*argv, "--json", load=spec.load, trials_at_once=lambda spec: 2).stdout

    rungs = len(json.loads(parsed)["rungs"])
    assert len(read) == 4 + 1 + 20 + 2
    assert read[-2] == f"… {rungs - 20} more rungs"


def test_a_search_that_has_no_room_is_refused_at_its_line(helio, specs: Path) -> None:
    def trials_at_once(spec) -> int:
        raise InputError.of("9 at a time are asked for, and 2 fit", key=("concurrent",))

    file = specs / "tune.yaml"
    argv = ("run", str(file), "--dry-run", "--set", "trials=9")
    said = helio(*argv, load=spec.load, trials_at_once=trials_at_once)

    assert (said.status, said.stdout) == (2, "")
    assert said.stderr == f"{file}:1: concurrent: 9 at a time are asked for, and 2 fit\n"


@pytest.mark.parametrize(
    ("file", "changes", "line"),
    [
        ("train", [], "digits: train, 1 worker, 9 epochs"),
        ("train", ["max_steps=1000"], "digits: train, 1 worker, 9 epochs, at most 1,000 steps"),
        ("train", ["resources.workers=[2, 4]"], "digits: train, 2 to 4 workers, 9 epochs"),
        ("predict", [], "guess: predict, 2 workers"),
    ],
)
def test_any_other_job_is_a_line(
    helio, specs: Path, file: str, changes: list[str], line: str
) -> None:
    sets = [part for change in changes for part in ("--set", change)]
    argv = ("run", str(specs / f"{file}.yaml"), "--dry-run", *sets)
    said = helio(*argv, load=spec.load, run=runs)

    assert said.stdout == f"{line}; nothing was started\n"
    assert said.stderr == ""
    assert json.loads(helio(*argv, "--json", load=spec.load).stdout)["kind"] == file
