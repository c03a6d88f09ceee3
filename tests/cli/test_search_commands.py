"""The commands of searches: `run --resume`, `runs --search`, and what is said at a search's end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heliostat import spec
from heliostat.runtime.events import Note
from heliostat.runtime.outcome import Outcome
from small_specs import TRAIN

TUNE = """\
kind: tune
name: digits-search
train: train.yaml
search: {optimizer.lr: {loguniform: [1.0e-4, 1.0]}}
trials: 8
"""
BEST = {"trial": 7, "values": {"optimizer.lr": 0.03125, "optimizer.name": "sgd"}, "value": 0.98}


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "train.yaml").write_text(TRAIN)
    (tmp_path / "tune.yaml").write_text(TUNE)
    return tmp_path


@dataclass(frozen=True)
class Row:
    """Stands where a trial's row would."""

    number: int
    status: str
    value: float | None
    epoch: int
    values: dict[str, Any]
    run_id: str | None
    reason: str
    seconds: float


def ends(best: dict[str, Any] | None) -> Any:
    def run(document, *, local, cluster, show) -> Outcome:
        metrics = {"test/accuracy": 0.97}
        model = "models:/digits/3"
        return Outcome("s-1", "0af3", "FINISHED", metrics, model, seconds=72.4, best=best)

    return run


def test_a_searchs_end_names_its_best_trial_with_values_to_copy(helio) -> None:
    said = helio("run", "a.yaml", run=ends(BEST))

    assert said.stdout.splitlines() == [
        "s-1: finished in 1:12",
        "  best trial      7, 0.9800",
        "  optimizer.lr    0.03125",
        '  optimizer.name  "sgd"',
        "  test/accuracy   0.9700",
        "  model           models:/digits/3",
        "  run             0af3",
        "All trials: helio runs --search s-1",
        "See it with: helio ui",
    ]


def test_only_a_searchs_document_has_a_best_trial(helio) -> None:
    assert json.loads(helio("run", "a.yaml", "--json", run=ends(BEST)).stdout)["best"] == BEST
    assert "best" not in json.loads(helio("run", "a.yaml", "--json", run=ends(None)).stdout)


def test_resume_goes_on_with_the_specs_search_and_its_raised_limits(helio, specs: Path) -> None:
    def resume_newest(document, *, show) -> Outcome:
        show(Note(f"{document.spec.name} with {document.spec.trials} trials"))
        return Outcome("s-1", None, "FINISHED")

    argv = ("run", str(specs / "tune.yaml"), "--resume", "--set", "trials=16")
    said = helio(*argv, load=spec.load, resume_newest=resume_newest)

    assert said.status == 0
    assert "digits-search with 16 trials" in said.stderr


def test_resume_of_another_kind_names_the_command_that_does_it(helio, specs: Path) -> None:
    file = specs / "train.yaml"
    said = helio("run", str(file), "--resume", load=spec.load)

    assert said.status == 2
    assert said.stderr.splitlines()[-1] == (
        f"{file}:1: kind: --resume goes on with a search (kind: tune), and this is train; "
        "helio resume ID, with an id that `helio runs` lists"
    )


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (["--local"], "--resume and --local exclude each other: it goes on as it began"),
        (["--dry-run"], "--resume and --dry-run exclude each other"),
        (["--cluster", "h:1"], "leave out --cluster, unset HELIO_CLUSTER"),
    ],
)
def test_what_has_no_sense_with_resume_is_refused(helio, option: list[str], complaint: str) -> None:
    said = helio("run", "a.yaml", "--resume", *option)

    assert (said.status, said.stdout) == (2, "")
    assert said.stderr.count("\n") == 1
    assert complaint in said.stderr


def test_a_cluster_in_the_environment_is_refused_with_resume_too(
    helio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIO_CLUSTER", "h:1")

    assert helio("run", "a.yaml", "--resume").status == 2


def test_a_searchs_trials_are_a_table_with_short_keys(helio) -> None:
    asked = []

    def trials(job: str) -> list[Row]:
        asked.append(job)
        lr = {"optimizer.lr": 0.01}
        return [
            Row(1, "FINISHED", 0.97, 9, lr, "0af3", "", 61.0),
            Row(0, "FAILED", None, 0, {**lr, "seed": 3}, None, "out of memory\nTraceback", 4.0),
        ]

    said = helio("runs", "--search", "s-1", trials=trials)

    assert asked == ["s-1"]
    assert said.stdout.splitlines() == [
        "trial  status    epoch  value   took  values           reason         run id",
        "1      FINISHED  9      0.9700  1:01  lr=0.01                         0af3",
        "0      FAILED    0              0:04  lr=0.01, seed=3  out of memory",
    ]


def test_a_search_without_trials_is_named(helio) -> None:
    said = helio("runs", "--search", "s-9", trials=lambda job: [])

    assert (said.status, said.stdout) == (0, "MLflow holds no trials of s-9\n")


def test_trials_are_of_one_search_and_not_of_an_experiment(helio) -> None:
    said = helio("runs", "--search", "s-1", "--experiment", "digits")

    assert said.status == 2
    assert "--search and --experiment exclude each other" in said.stderr
