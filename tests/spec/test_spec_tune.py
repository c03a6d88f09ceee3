"""The kind tune: its train spec, and spaces that are checked against it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat.spec import (
    AdamW,
    Asha,
    Cosine,
    EntrypointSpec,
    Hyperband,
    InputError,
    Median,
    NoScheduler,
    Objective,
    Pbt,
    Scheduler,
    Sgd,
    TrainSpec,
    TuneSpec,
    dump,
    load,
    parse,
)
from small_specs import TUNE

Write = Callable[..., Path]
Mistakes = Callable[..., list[str]]

pytestmark = pytest.mark.usefixtures("base")


def test_every_space_is_read_and_comes_back_the_same(write: Write) -> None:
    spaces = """\
  optimizer.name: {choice: [sgd, adamw]}
  optimizer.momentum: {uniform: [0.1, 0.99], when: {optimizer.name: sgd}}
  epochs: {int: [1, 3]}
  batch_size: {choice: [32, 64]}
  model.args.width: {logint: [8, 512]}
  optimizer.weight_decay: {quantized: [0, 0.1, 0.01]}
  optimizer.nesterov: {choice: [true, false], when: {optimizer.name: [sgd]}}
  seed: {quantized: [0, 9, 3]}
"""
    spec = load(write(TUNE.replace("trials", f"{spaces}trials"), "tune.yaml")).spec
    assert isinstance(spec, TuneSpec)
    assert spec.search["optimizer.momentum"].when == {"optimizer.name": "sgd"}
    assert spec.search["epochs"].ends == (1, 3)
    written = dump(spec)
    assert written["search"]["optimizer.weight_decay"] == {"quantized": [0, 0.1, 0.01]}
    assert parse(written) == spec


def test_an_inline_train_may_leave_out_kind_and_name(write: Write) -> None:
    body = "".join(f"  {line}\n" for line in write().read_text().splitlines()[2:])
    spec = load(write(TUNE.replace("train: base.yaml\n", f"train:\n{body}"), "tune.yaml")).spec
    assert isinstance(spec, TuneSpec)
    assert (spec.train.kind, spec.train.name) == ("train", "search")
    assert spec.train.data is not None
    assert spec.train.data.train.uri == str(write().parent / "images")


def test_a_train_spec_named_by_a_path_keeps_its_own_file_in_messages(
    mistakes: Mistakes, write: Write
) -> None:
    write((write().read_text()).replace("epochs: 3", "epochs: 0"), "base.yaml")
    assert mistakes(TUNE.replace("trials: 8", "trials: 0")) == [
        "train.yaml:6: trials: 0 is out of range; 1 or more",
        "base.yaml:10: train.epochs: 0 is out of range; 1 or more",
    ]
    assert mistakes(TUNE.replace("base", "bose")) == [
        "train.yaml:3: train: bose.yaml: no such file; did you mean base.yaml?"
    ]


def test_a_train_spec_named_by_a_path_can_be_changed_with_set(write: Write) -> None:
    path = write(TUNE, "tune.yaml")
    spec = load(path, ["train.epochs=9", "search.batch_size={choice: [2, 4]}"]).spec
    assert isinstance(spec, TuneSpec)
    assert spec.train.epochs == 9
    assert list(spec.search) == ["optimizer.lr", "batch_size"]


def tune(write: Write, text: str = TUNE, *overrides: str) -> TuneSpec:
    """Return the search in `text`."""
    spec = load(write(text, "tune.yaml"), overrides).spec
    assert isinstance(spec, TuneSpec)
    return spec


def searching(spaces: str, rest: str = "trials: 8\n") -> str:
    """Return the text of a search over `spaces`, lines of YAML."""
    lines = "".join(f"  {line.strip()}\n" for line in spaces.strip().splitlines())
    return f"kind: tune\nname: search\ntrain: base.yaml\nsearch:\n{lines}{rest}"


# -------------------------------------------------------------------------------------- spaces


def test_a_space_has_the_type_that_a_trial_will_get(write: Write) -> None:
    spaces = "optimizer.lr: {uniform: [1, 2]}\nseed: {quantized: [0, 9, 3]}"
    search = tune(write, searching(spaces)).search
    assert [type(value) for value in search["optimizer.lr"].ends] == [float, float]
    assert [type(value) for value in search["seed"].ends] == [int, int]


def test_a_space_says_which_values_it_takes(write: Write) -> None:
    spaces = """
        optimizer.lr: {uniform: [0.1, 1]}
        optimizer.momentum: {quantized: [0.0, 0.9, 0.3]}
        seed: {int: [1, 9]}
        optimizer.nesterov: {choice: [false]}
    """
    lr, momentum, seed, nesterov = tune(write, searching(spaces)).search.values()
    assert [lr.takes(value) for value in (0.1, 1, 1.01, True, "x")] == [True, True, *[False] * 3]
    assert [momentum.takes(value) for value in (0.3, 0.9, 0.2)] == [True, True, False]
    assert [seed.takes(value) for value in (9, 10, 2.0)] == [True, False, False]
    assert [nesterov.takes(value) for value in (False, 0)] == [True, False]


# ---------------------------------------------------------------------------------- conditions

CONDITIONAL = """
    optimizer.nesterov: {choice: [true, false], when: {optimizer.momentum: [0.5, 0.9]}}
    optimizer.momentum: {choice: [0.0, 0.5, 0.9], when: {optimizer.name: sgd}}
    optimizer.name: {choice: [sgd, adamw]}
"""


def test_a_key_stands_after_those_that_its_condition_names(write: Write) -> None:
    spec = tune(write, searching(CONDITIONAL))
    assert spec.order == ("optimizer.name", "optimizer.momentum", "optimizer.nesterov")
    nesterov = spec.search["optimizer.nesterov"]
    assert nesterov.exists({"optimizer.name": "sgd", "optimizer.momentum": 0.9})
    assert not nesterov.exists({"optimizer.name": "sgd", "optimizer.momentum": 0.0})
    assert not nesterov.exists({"optimizer.name": "adamw"})


def test_a_grid_holds_each_combination_once_and_no_key_that_does_not_exist(write: Write) -> None:
    spec = tune(write, searching(CONDITIONAL, "algorithm: grid\n"))
    assert [tuple(point.values()) for point in spec.grid()] == [
        ("sgd", 0.0),
        ("sgd", 0.5, True),
        ("sgd", 0.5, False),
        ("sgd", 0.9, True),
        ("sgd", 0.9, False),
        ("adamw",),
    ]


# -------------------------------------------------------------------------------------- trials


def test_a_trial_is_the_train_spec_with_its_values_put_in(write: Write) -> None:
    spaces = "optimizer.lr: {uniform: [0.1, 1]}\nschedule.name: {choice: [constant, cosine]}"
    spec = tune(write, searching(spaces), "train.register={name: demo}")
    trial = spec.trial_spec({"optimizer.lr": 0.25, "schedule.name": "cosine"})
    assert isinstance(trial, TrainSpec)
    assert trial.optimizer == Sgd(name="sgd", lr=0.25, momentum=0.9)
    assert trial.schedule == Cosine(name="cosine")
    assert trial.register is None
    assert spec.registration is not None
    assert trial.model_copy(update={"optimizer": None, "schedule": None}) == (
        spec.train.model_copy(update={"optimizer": None, "schedule": None, "register": None})
    )


def test_another_optimizer_keeps_what_it_has_and_is_given_its_own_defaults(write: Write) -> None:
    spec = tune(write, searching("optimizer.name: {choice: [sgd, adamw]}"))
    adamw = spec.trial_spec({"optimizer.name": "adamw"})
    assert isinstance(adamw, TrainSpec)
    assert adamw.optimizer == AdamW(name="adamw", lr=0.1)  # momentum dropped, decay AdamW's own
    sgd = spec.trial_spec({"optimizer.name": "sgd"})
    assert isinstance(sgd, TrainSpec)
    assert sgd.optimizer == Sgd(name="sgd", lr=0.1, momentum=0.9)
    again = parse(dump(spec))
    assert isinstance(again, TuneSpec)
    assert again.trial_spec({"optimizer.name": "adamw"}) == adamw


def test_a_part_of_the_train_spec_can_be_searched_as_a_whole(write: Write) -> None:
    whole = "[{name: sgd, lr: 1.0}, {name: adamw, lr: 1.0e-3}]"
    spec = tune(write, searching(f"optimizer: {{choice: {whole}}}\nema.decay: {{choice: [0.9]}}"))
    trial = spec.trial_spec({"optimizer": {"name": "adamw", "lr": 1e-3}, "ema.decay": 0.9})
    assert isinstance(trial, TrainSpec)
    assert trial.optimizer == AdamW(name="adamw", lr=1e-3)
    assert trial.ema is not None
    assert trial.ema.decay == 0.9


def test_a_trial_whose_values_do_not_go_together_is_an_input_error(write: Write) -> None:
    spec = tune(write, searching("batch_size: {int: [62, 64]}"))
    with pytest.raises(InputError, match="batch_size: 63 is not divisible by 2 workers"):
        spec.trial_spec({"batch_size": 63})


def test_a_search_is_judged_by_the_train_specs_objective_or_by_its_own(write: Write) -> None:
    assert tune(write).goals == (Objective(metric="val/accuracy", goal="maximize"),)
    more = "objectives=[{metric: val/loss, goal: minimize}, {metric: val/accuracy, goal: maximize}]"
    spec = tune(write, TUNE, more, "train.register={name: demo}")
    assert [goal.metric for goal in spec.goals] == ["val/loss", "val/accuracy"]
    assert spec.registration is None
    trial = spec.trial_spec({"optimizer.lr": 0.5})
    assert trial.objective == Objective(metric="val/loss", goal="minimize")


def test_an_objective_of_the_search_lets_trials_keep_their_best_checkpoint(write: Write) -> None:
    loss = "objectives=[{metric: val/loss, goal: minimize}]"
    spec = tune(write, TUNE, "train.task=mine:Task", loss)
    assert (spec.train.objective, spec.train.checkpoint.keep_best) == (None, 0)
    assert spec.trial_spec({"optimizer.lr": 0.5}).checkpoint.keep_best == 1


def test_a_search_may_be_over_the_arguments_of_an_entrypoint(write: Write) -> None:
    write("kind: train\nname: own\nentrypoint: own.loop:train\nargs: {depth: 3}\n", "base.yaml")
    loss = "objectives: [{metric: val/loss, goal: minimize}]\ntrials: 3\n"
    spec = tune(write, searching("args.depth: {int: [1, 5]}", loss))
    trial = spec.trial_spec({"args.depth": 5})
    assert isinstance(trial, EntrypointSpec)
    assert trial.args == {"depth": 5}


# ---------------------------------------------------------------------------------- schedulers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", NoScheduler()),
        ("asha", Asha(name="asha", min_epochs=1, eta=3)),
        ("{name: asha, min_epochs: 2, eta: 4}", Asha(name="asha", min_epochs=2, eta=4)),
        ("median", Median(name="median", grace_epochs=1, min_trials=3)),
        ("hyperband", Hyperband(name="hyperband", min_epochs=1, eta=3)),
        ("{name: pbt, every: 2}", Pbt(name="pbt", every=2, quantile=0.25, resample=0.25)),
    ],
)
def test_a_scheduler_is_a_name_or_a_name_with_settings(
    write: Write, text: str, expected: Scheduler
) -> None:
    spec = tune(write, TUNE, f"scheduler={text}")
    assert spec.scheduler == expected
    assert parse(dump(spec)) == spec


def test_points_come_back_as_they_were_given(write: Write) -> None:
    spec = tune(write, TUNE, "points_to_evaluate=[{optimizer.lr: 0.1}, {optimizer.lr: 1}]")
    assert spec.points_to_evaluate == ({"optimizer.lr": 0.1}, {"optimizer.lr": 1})
    assert parse(dump(spec)) == spec
