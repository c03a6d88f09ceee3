"""A trial in legs: what it is between them, and that it never shows that there were any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from heliostat import spec as specs
from heliostat.spec import Document, InputError, TrainSpec
from heliostat.training.checkpoints import Checkpoint, existing
from heliostat.training.context import Context
from heliostat.training.journal import events, read_all
from heliostat.training.legs import LegEnd, clone_checkpoint
from heliostat.training.losses import DivergedError
from heliostat.training.process import train
from heliostat.training.reporter import Reporter
from heliostat.training.stopping import Stopped
from heliostat.training.storage import read_json
from heliostat.training.trial_process import run_finish, run_leg

Load = Callable[..., Document]

SETTINGS = ("epochs=4", "max_steps=null", "resources.workers=1", "schedule={name: cosine}",
            "optimizer={name: sgd, lr: 0.05, momentum: 0.9}", "ema={decay: 0.9}",
            "register=null")  # fmt: skip


@pytest.fixture
def digits(load: Load) -> TrainSpec:
    spec = load("digits", *SETTINGS).spec
    assert isinstance(spec, TrainSpec)
    return spec


def leg(
    spec: TrainSpec, folder: Path, attempt: int, until: int | None, stop: Path | None = None
) -> LegEnd:
    reporter = Reporter(folder, attempt=attempt)
    told = stop.exists if stop is not None else None
    context = Context(folder=folder, reporter=reporter, attempt=attempt, stop=told)
    return run_leg(spec, context, until=until)


def newest(folder: Path) -> Checkpoint:
    return existing(folder / "checkpoints")[-1]


def optimizer_of(folder: Path) -> dict[str, Any]:
    """Return the settings in the only parameter group of the only optimizer."""
    [state] = newest(folder).state()["optimizers"].values()
    [group] = state["param_groups"]
    settings: dict[str, Any] = group
    return settings


def metrics_of(folder: Path) -> dict[tuple[str, int], float]:
    """Return what the journal says of each (metric, step), but for times; each is there once."""
    records = [r for r in read_all(folder / "journal") if r["kind"] == "metric"]
    timeless = [r for r in records if not r["name"].startswith(("time/", "throughput/"))]
    values = {(r["name"], r["step"]): r["value"] for r in timeless}
    assert len(values) == len(timeless)
    return {key: value for key, value in values.items() if "per_second" not in key[0]}


def test_a_trial_in_three_legs_is_the_trial_in_one_bit_for_bit(
    digits: TrainSpec, tmp_path: Path
) -> None:
    whole = leg(digits, tmp_path / "whole", 1, None)
    ends = [leg(digits, tmp_path / "legs", n, until) for n, until in ((1, 1), (2, 3), (3, None))]
    assert [(end.epoch, end.finished) for end in ends] == [(1, False), (3, False), (4, True)]
    assert ends[-1].metrics == whole.metrics
    assert ends[-1].objectives == whole.objectives
    one, other = newest(tmp_path / "whole").weights(), newest(tmp_path / "legs").weights()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert metrics_of(tmp_path / "whole") == metrics_of(tmp_path / "legs")


def test_a_leg_that_is_given_again_when_it_was_done_changes_nothing(
    digits: TrainSpec, tmp_path: Path
) -> None:
    first = leg(digits, tmp_path, 1, 2)
    again = leg(digits, tmp_path, 2, 2)
    assert (again.epoch, again.step, again.metrics) == (first.epoch, first.step, first.metrics)
    assert again.objectives == first.objectives


def test_a_clone_goes_on_from_anothers_weights_and_optimizer_with_values_of_its_own(
    digits: TrainSpec, tmp_path: Path
) -> None:
    source, clone = tmp_path / "source", tmp_path / "clone"
    leg(digits, source, 1, 2)
    leg(digits, clone, 1, 3)  # further than the one that it is to go on from
    clone_checkpoint(source, newest(source).step, clone, attempt=2, maximize=True)
    assert newest(clone).step == newest(source).step
    perturbed = specs.parse(
        {**specs.dump(digits), "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.8}}
    )
    assert isinstance(perturbed, TrainSpec)
    end = leg(perturbed, clone, 2, 2)
    assert end.step == newest(source).step  # it is where the source was
    weights, others = newest(clone).weights(), newest(source).weights()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    leg(perturbed, clone, 3, 3)
    group, before = optimizer_of(clone), optimizer_of(source)
    assert (group["initial_lr"], group["momentum"]) == (0.1, 0.8)
    assert group["lr"] / 0.1 < before["lr"] / 0.05  # further down the same cosine


def test_a_leg_ends_at_once_when_the_search_is_over(digits: TrainSpec, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    stop.touch()
    with pytest.raises(Stopped):
        leg(digits, tmp_path / "trial", 1, None, stop)
    told = events(read_all(tmp_path / "trial" / "journal"), "failed")
    assert [event["verdict"] for event in told] == ["stopped"]


def test_an_objective_that_is_nan_is_a_diverged_trial(digits: TrainSpec, tmp_path: Path) -> None:
    values = {**specs.dump(digits), "optimizer": {"name": "sgd", "lr": 1e30}}
    wild = specs.parse(values)
    assert isinstance(wild, TrainSpec)
    with pytest.raises(DivergedError):
        leg(wild, tmp_path, 1, 1)


def test_a_trial_whose_values_do_not_fit_its_data_says_so(
    digits: TrainSpec, tmp_path: Path
) -> None:
    wrong = digits.model_copy(update={"model": digits.model.model_copy(update={"name": "unet"})})
    with pytest.raises(InputError):
        leg(wrong, tmp_path, 1, 1)
    told = events(read_all(tmp_path / "journal"), "failed")
    assert told[0]["problems"]


def test_finishing_the_best_trial_gives_what_the_training_job_would_have_given(
    digits: TrainSpec, tmp_path: Path
) -> None:
    job, trial, search = tmp_path / "job", tmp_path / "trial", tmp_path / "search"
    train(digits, Context(folder=job, reporter=Reporter(job, attempt=1)), code=tmp_path)
    leg(digits, trial, 1, 2)
    leg(digits, trial, 2, None)
    context = Context(folder=search, reporter=Reporter(search, attempt=1))
    run_finish(digits, context, trial=trial, code=tmp_path)
    assert result(search) == result(job)
    one, other = (load_file(each / "model" / "weights.safetensors") for each in (job, search))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (search / "model" / "model.pt2").exists()
    assert list((search / "pictures" / "test").glob("*.png"))


def result(folder: Path) -> Any:
    return read_json(folder / "result.json")
