"""Every mistake in a search is found before anything starts, at its own key in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from small_specs import TUNE

Write = Callable[..., Path]
Mistakes = Callable[..., list[str]]

pytestmark = pytest.mark.usefixtures("base")


def test_mistakes_of_a_search_are_reported_together_in_their_order(mistakes: Mistakes) -> None:
    more = """\
  optimizer.momentum: {uniform: [0.5, 1.0]}
algorithm: grid
scheduler: {name: asha, min_epochs: 4}
budget: {minutes: 0}
points_to_evaluate:
  - {optimizer.lr: 2.0}
"""
    assert mistakes(TUNE.replace("trials: 8\n", more)) == [
        "train.yaml:6: search.optimizer.momentum: train does not allow 1.0: "
        "1.0 is out of range; less than 1",
        "train.yaml:8: scheduler.min_epochs: 4 is more than train's 3 epochs; at most 3",
        "train.yaml:9: budget.minutes: 0 is out of range; more than 0",
    ]


# -------------------------------------------------------------------------------------- spaces


@pytest.mark.parametrize(
    ("key", "space", "expected"),
    [
        ("optimizer.lrr", "{uniform: [0.1, 1]}", "train has no key optimizer.lrr; did you mean "),
        ("epochs", "{unifrom: [1, 2]}", "unknown space 'unifrom'; did you mean uniform?"),
        ("epochs", "[1, 2]", "is not a space; {uniform: [low, high]}; one of choice, grid"),
        ("epochs", "{int: [1, 2], grid: [1]}", "is not a space"),
        ("epochs", "{int: [1.5, 2]}", "[1.5, 2] is not int's; {int: [low, high]}, whole numbers"),
        ("epochs", "{int: [3, 1]}", "[3, 1] is empty; low below high"),
        ("epochs", "{grid: []}", "must not be empty; {grid: [value, value]}"),
        ("epochs", "{int: [0, 3]}", "train does not allow 0: 0 is out of range; 1 or more"),
        ("epochs", "{uniform: [1, 3]}", "must be a whole number, not 1.0; {int: [1, 3]}"),
        ("epochs", "{choice: [2, 3, 2]}", "2 stands in it twice; each value once"),
        (
            "epochs",
            "{logint: [1, 99999999999999999]}",
            "99999999999999999 is out of range",
        ),
        ("batch_size", "{choice: [64, 65]}", "65 is not divisible by 2 workers; 64 or 66"),
        ("optimizer.weight_decay", "{loguniform: [0, 1]}", "0 has no logarithm; low above 0"),
        ("optimizer.weight_decay", "{quantized: [0, 1, 0]}", "the step 0 is out of range"),
        ("optimizer.weight_decay", "{quantized: [0, 1, 0.3]}", "a number of steps of 0.3; such as"),
        ("epochs.x", "{grid: [1]}", "train has no key epochs.x; did you mean epochs?"),
        ("model.name", "{choice: [resnet18, 18]}", "train does not allow 18: must be text, not 18"),
        ("optimizer.name", "{choice: [sgd, adma]}", "unknown optimizer 'adma'; did you mean adam?"),
        ("optimizer", "{choice: [{name: sgd, lr: 1}]}", "optimizer.lr is searched as well"),
        ("data.val.split", "{choice: [val]}", "a search may not vary data.val; all trials are"),
        ("objective.metric", "{choice: [val/f1]}", "a search may not vary objective; all trials"),
        ("resources.workers", "{choice: [2, 3]}", "a search may not vary resources; all trials"),
        ("name", "{choice: [a, b]}", "a search may not vary name; a trial is named by its number"),
    ],
)
def test_a_space_that_does_not_fit_is_an_error_at_its_line(
    mistakes: Mistakes, key: str, space: str, expected: str
) -> None:
    (line,) = mistakes(TUNE.replace("trials", f"  {key}: {space}\ntrials"))
    assert line.startswith(f"train.yaml:6: search.{key}")
    assert expected in line


@pytest.mark.parametrize(
    ("spaces", "expected"),
    [
        (
            ["optimizer.momentum: {choice: [0.9, 0.0]}", "optimizer.nesterov: {choice: [true]}"],
            "search.optimizer.nesterov: train does not allow true where optimizer.momentum is 0.0: "
            "needs momentum; give momentum above 0",
        ),
        (
            ["optimizer.name: {choice: [sgd, adam]}", "optimizer.momentum: {uniform: [0, 0.9]}"],
            "search.optimizer.momentum: train does not allow 0.9 where optimizer.name is 'adam': "
            "unknown key; when: {optimizer.name: sgd}",
        ),
        (
            ["schedule.name: {choice: [cosine, step]}"],
            "search.schedule.name: train does not allow 'step': missing; such as every: 10",
        ),
        (
            [
                "optimizer.name: {choice: [sgd, adam]}",
                "optimizer.momentum: {uniform: [0, 1], when: {optimizer.name: sgd}}",
            ],
            "search.optimizer.momentum: train does not allow 1.0: 1.0 is out of range; less than 1",
        ),
    ],
)
def test_values_that_do_not_go_together_are_named_together(
    mistakes: Mistakes, spaces: list[str], expected: str
) -> None:
    lines = mistakes(TUNE.replace("trials", "".join(f"  {line}\n" for line in spaces) + "trials"))
    assert expected in lines[0]


def test_what_a_condition_provides_is_not_missing(write: Write, mistakes: Mistakes) -> None:
    more = """\
  schedule.name: {choice: [cosine, step]}
  schedule.every: {int: [1, 2], when: {schedule.name: step}}
  schedule.gamma: {choice: [0.1, 1.1], when: {schedule.name: step}}
"""
    (line,) = mistakes(TUNE.replace("trials", f"{more}trials"))
    assert "schedule.gamma: train does not allow 1.1: 1.1 is out of range; at most 1" in line


WIDE = [f"search.{key}={{grid: {list(range(1, 400))}}}" for key in ("seed", "epochs", "log_every")]
QUANTIZED = "search.optimizer.weight_decay={quantized: [0, 1, 0.1]}"
POINT = "points_to_evaluate=[{optimizer.lr: 0.1, optimizer.weight_decay: %s}]"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([QUANTIZED, POINT % ".inf"], "optimizer.weight_decay: inf is outside of the space; 0.0"),
        ([QUANTIZED, POINT % "1.0e+300"], "optimizer.weight_decay: 1e+300 is outside of the space"),
        (
            ["search.optimizer.weight_decay={quantized: [0.0, 1.0e+20, 1.0e-15]}"],
            "search.optimizer.weight_decay.quantized: too many steps; at most 9.0072e+15",
        ),
        (
            ["search.seed={quantized: [0, 10, 3]}"],
            "10 is not 0 and a number of steps of 3; such as 9",
        ),
        (["trials=0xFFFFFFFFFFFFFFFF"], "trials: the number is too large; at most 2**63 - 1"),
        (["trials=1000001"], "trials: 1000001 is out of range; at most 1000000"),
        (["concurrent=1000001"], "concurrent: 1000001 is out of range; at most 1000000"),
        (
            ["search.optimizer.lr={grid: [0.1]}", *WIDE, "algorithm=grid", "trials="],
            "trials: the grid holds more than 100,000 points; give trials",
        ),
        (["search.seed={choice: [1, 2], when: []}"], "search.seed.when: must be a mapping"),
        (["search.seed={choice: [1, 2], when: false}"], "search.seed.when: must be a mapping"),
        (["search.seed={choice: []}"], "search.seed.choice: must not be empty; {choice: [value"),
        (
            ["points_to_evaluate=[{optimizer.lr: 1}, {optimizer.lr: 1.0}]"],
            "points_to_evaluate[1]: stands in it twice; each point once",
        ),
        (
            ["scheduler={name: median, min_trials: 8}"],
            "trials: median's min_trials is 8, and only 7 other trials can be; "
            "9 trials or more, or scheduler.min_trials at most 7",
        ),
        (["search={model.args.: {choice: [1, 2]}}"], "train has no key model.args."),
        (["search={model.args.0: {choice: [1, 2]}}"], "train has no key model.args.0"),
        (
            ["train.data.augment=[{RandomErasing: {p: 0.5}}]",
             "search={data.augment.0.args.p: {choice: [0.1, 0.2]}}"],
            "train has no key data.augment.0.args.p",
        ),
        (['search={"seed\\n": {choice: [1, 2]}}'], r"search.seed\n: train has no key seed\n; "),
        (
            ["search.seed={choice: [1, 2]}",
             "search.log_every={choice: [0], when: {seed: 1.0}}"],
            "search.log_every: train does not allow 0",
        ),
        (["train=3"], "train: must be a path or a train spec; such as train: train.yaml"),
        (["train=[a]"], "train: must be a path or a train spec; such as train: train.yaml"),
        (["train="], "train: must be a path or a train spec; such as train: train.yaml"),
    ],
)  # fmt: skip
def test_values_that_no_search_can_mean_are_told_in_one_line(
    mistakes: Mistakes, changes: list[str], expected: str
) -> None:
    (line,) = mistakes(TUNE, tuple(changes))
    assert expected in line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("kind: tune\n", "train.yaml:3: train: other.yaml is kind: tune; a spec of kind train"),
        ("# nothing\n", "train.yaml:3: train: other.yaml: the file is empty; a job spec"),
        ("kind: [\n", "other.yaml:"),
    ],
)
def test_a_file_that_is_no_train_spec_is_told_where_it_is_named(
    mistakes: Mistakes, write: Write, content: str, expected: str
) -> None:
    write(content, "other.yaml")
    (line,) = mistakes(TUNE.replace("base", "other"))
    assert line.startswith(expected)


def test_a_search_without_train_or_with_a_bad_name_says_so_once(
    mistakes: Mistakes, write: Write
) -> None:
    assert mistakes(TUNE.replace("train: base.yaml\n", "")) == [
        "train.yaml:1: train: missing; such as train: train.yaml"
    ]
    body = "".join(f"  {line}\n" for line in write().read_text().splitlines()[2:])
    inline = TUNE.replace("train: base.yaml\n", f"train:\n{body}")
    (line,) = mistakes(inline.replace("name: search", "name: a b"))
    assert line.startswith("train.yaml:2: name: 'a b' is not a legal name")


# ---------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{optimizer.nam: sgd}", "optimizer.nam is not searched; did you mean optimizer.name?"),
        ("{optimizer.name: sdg}", "optimizer.name never is 'sdg'; one of 'sgd', 'adam'"),
        ("{optimizer.name: [sgd, adma]}", "optimizer.name never is 'adma'; one of 'sgd', 'adam'"),
        ("{optimizer.lr: 0.1}", "optimizer.lr is any number of a range; a key with a list"),
        ("{seed: 4}", "seed never is 4; 0 to 9 by 3"),
        ("{optimizer.momentum: 0.5}", "optimizer.momentum depends on itself; name a key"),
        ("sgd", "must be a mapping; such as {optimizer.name: sgd}"),
    ],
)
def test_a_condition_names_another_searched_key_and_a_value_of_it(
    mistakes: Mistakes, when: str, expected: str
) -> None:
    more = f"""\
  optimizer.name: {{choice: [sgd, adam]}}
  seed: {{quantized: [0, 9, 3]}}
  optimizer.momentum: {{choice: [0.5, 0.9], when: {when}}}
"""
    (line,) = mistakes(TUNE.replace("trials", f"{more}trials"))
    assert line.startswith("train.yaml:8: search.optimizer.momentum.when")
    assert expected in line


def test_conditions_in_a_circle_and_conditions_that_nothing_meets_are_errors(
    mistakes: Mistakes,
) -> None:
    circle = """\
  seed: {choice: [1], when: {max_steps: 1}}
  max_steps: {choice: [1], when: {seed: 1}}
"""
    assert mistakes(TUNE.replace("trials", f"{circle}trials")) == [
        "train.yaml:6: search.seed.when: seed depends on itself; name a key that does not",
        "train.yaml:7: search.max_steps.when: max_steps depends on itself; name a key that does "
        "not",
    ]
    never = """\
  seed: {choice: [1, 2]}
  max_steps: {choice: [1], when: {seed: 1}}
  log_every: {choice: [1], when: {seed: 2, max_steps: 1}}
"""
    assert mistakes(TUNE.replace("trials", f"{never}trials")) == [
        "train.yaml:8: search.log_every.when: no trial meets all of it; values that go together"
    ]


def test_a_chain_of_conditions_is_checked_once_a_combination(mistakes: Mistakes) -> None:
    keys = [f"model.args.k{number}" for number in range(9)]
    chain = f"  {keys[0]}: {{choice: [1, 2, 3]}}\n"
    for number, key in enumerate(keys[1:], 1):
        when = ", ".join(f"{parent}: [1.0, 2]" for parent in keys[max(0, number - 2) : number])
        chain += f"  {key}: {{choice: [1], when: {{{when}}}}}\n"
    text = TUNE.replace("trials", chain + "trials")
    assert "k1 never is 2" in mistakes(text)[0]
    (line,) = mistakes(text.replace("[1.0, 2]", "1.0").replace("trials: 8", "trials: 0"))
    assert line.endswith("trials: 0 is out of range; 1 or more")


# ------------------------------------------------------------- what one key asks of another


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # objectives
        (["train.data.val="], "train.yaml:1: nothing says which trial is better; give objectives"),
        (
            ["train.data.val=", "objectives=[{metric: val/loss, goal: minimize}]"],
            "objectives[0]: val/loss needs train.data.val; give train.data.val",
        ),
        (
            ["objectives=[{metric: train/loss, goal: minimize}]"],
            "objectives[0].metric: 'train/loss': selection looks at val only; val/loss",
        ),
        (
            ["objectives=[{metric: val/f1, goal: maximize}, {metric: val/f1, goal: minimize}]"],
            "objectives[1]: val/f1 stands in it twice; each metric once",
        ),
        (
            ["objectives=[{metric: val/a, goal: maximize}, {metric: val/b, goal: minimize}]",
             "register={name: demo}"],
            "objectives: with several there is no best trial to register; one objective, or no",
        ),
        (
            ["objectives=[{metric: val/a, goal: maximize}, {metric: val/b, goal: minimize}]",
             "target=0.5"],
            "target: is of one objective, and there are several; leave it out",
        ),
        (
            ["objectives=[{metric: val/a, goal: maximize}, {metric: val/b, goal: minimize}]",
             "scheduler=asha"],
            "scheduler: asha ranks trials by one objective; none, or one objective",
        ),
        # algorithms
        (["algorithm=tqe"], "algorithm: unknown algorithm 'tqe'; did you mean tpe? one of gp"),
        (
            ["algorithm=grid"],
            "algorithm: grid needs a list of values at every key, and optimizer.lr has a range; "
            "{grid: [value, value]}",
        ),
        (
            ["search.batch_size={grid: [32, 64]}", "algorithm=tpe"],
            "algorithm: tpe does not go through the grid of batch_size; algorithm: grid, or",
        ),
        (
            ["search.batch_size={grid: [32, 64]}"],
            "train.yaml:1: random does not go through the grid of batch_size; algorithm: grid, or",
        ),
        # schedulers
        (["scheduler=ashaa"], "scheduler.name: unknown scheduler 'ashaa'; did you mean asha?"),
        (["scheduler={name: asha, etta: 3}"], "scheduler.etta: unknown key; did you mean eta?"),
        (["scheduler={name: asha, eta: 1}"], "scheduler.eta: 1 is out of range; 2 or more"),
        (["scheduler={name: pbt, quantile: 0.6}"], "scheduler.quantile: 0.6 is out of range"),
        (["scheduler="], "scheduler: must be a mapping"),
        (
            ["scheduler={name: hyperband, min_epochs: 5}"],
            "scheduler.min_epochs: 5 is more than train's 3 epochs; at most 3",
        ),
        (
            ["scheduler={name: median, grace_epochs: 4}"],
            "scheduler.grace_epochs: 4 is more than train's 3 epochs; at most 3",
        ),
        (
            ["train.epochs=", "train.max_steps=50", "scheduler=asha"],
            "scheduler: asha needs train.epochs; give train.epochs",
        ),
        (
            ["search.epochs={int: [1, 3]}", "scheduler=median"],
            "scheduler: median compares trials after the same epochs, and epochs is searched",
        ),
        # pbt
        (
            ["train.checkpoint.every=2 epochs", "scheduler=pbt"],
            "scheduler: pbt needs a checkpoint at each turn, and train writes one every 2 epochs; "
            "train.checkpoint.every: 1 epoch",
        ),
        (
            ["train.checkpoint.every=50 steps", "scheduler=pbt"],
            "scheduler: pbt needs a checkpoint at each turn, and train writes one every 50 steps",
        ),
        (
            ["search.batch_size={choice: [32, 64]}", "scheduler=pbt"],
            "scheduler: pbt changes values while a model is trained, and batch_size cannot be",
        ),
        (
            ["search.model.args.width={int: [8, 64]}", "scheduler=pbt"],
            "pbt changes values while a model is trained, and model.args.width cannot be; keys of",
        ),
        (
            ["search.optimizer.name={choice: [sgd, adam]}", "scheduler=pbt"],
            "scheduler: pbt changes values while a model is trained, and optimizer.name cannot be",
        ),
        (
            ["algorithm=tpe", "scheduler=pbt"],
            "scheduler: pbt changes the values that tpe would learn from; algorithm: random, quasi",
        ),
        (["trials=", "budget.epochs=9", "scheduler=pbt"], "trials: pbt needs a population; give"),
        (["trials=1", "scheduler=pbt"], "trials: 1 is no population for pbt; 2 or more"),
        # ends
        (["trials="], "trials: the search has no end; give trials, or a budget"),
        (["budget.hours=1"], "budget.hours: unknown key; one of epochs, minutes"),
        (["target=.nan"], "target: must be a finite number"),
        (["concurrent=0"], "concurrent: 0 is out of range; 1 or more"),
        # points
        (
            ["points_to_evaluate=[{optimizer.lr: 0.1}, {optimizer.lr: 2.0}]"],
            "points_to_evaluate[1].optimizer.lr: 2.0 is outside of the space; 0.0001 to 1.0",
        ),
        (
            ["points_to_evaluate=[{optimizer.lrr: 0.1, optimizer.lr: 0.1}]"],
            "points_to_evaluate[0].optimizer.lrr: optimizer.lrr is not searched; did you mean opti",
        ),
        (
            ["points_to_evaluate=[{}]"],
            "points_to_evaluate[0].optimizer.lr: missing; 0.0001 to 1.0; a point is a whole trial",
        ),
        (
            ["search.batch_size={int: [32, 64]}",
             "points_to_evaluate=[{optimizer.lr: 0.1, batch_size: 33}]"],
            "points_to_evaluate[0].batch_size: train does not allow 33: 33 is not divisible by 2",
        ),
        (
            ["trials=1", "points_to_evaluate=[{optimizer.lr: 0.1}, {optimizer.lr: 0.2}]"],
            "points_to_evaluate: there are more points than trials; at most 1",
        ),
        (
            ['points_to_evaluate=[{"a\\tb": 1, optimizer.lr: 0.1}]'],
            r"points_to_evaluate[0].a\tb: a\tb is not searched; one of optimizer.lr",
        ),
        (["points_to_evaluate={optimizer.lr: 0.1}"], "points_to_evaluate: must be a list"),
    ],
)  # fmt: skip
def test_what_one_key_of_a_search_asks_of_another(
    mistakes: Mistakes, changes: list[str], expected: str
) -> None:
    (line,) = mistakes(TUNE, tuple(changes))
    assert expected in line


def test_a_grid_has_no_more_trials_than_it_holds(mistakes: Mistakes) -> None:
    text = TUNE.replace("{loguniform: [1.0e-4, 1.0]}", "{grid: [0.1, 1.0]}") + "algorithm: grid\n"
    assert mistakes(text) == ["train.yaml:6: trials: 8 is more than the grid holds; at most 2"]


def test_a_key_that_does_not_exist_beside_others_has_no_place_in_a_point(
    mistakes: Mistakes,
) -> None:
    more = """\
  optimizer.name: {choice: [sgd, adam]}
  optimizer.momentum: {uniform: [0, 0.9], when: {optimizer.name: sgd}}
points_to_evaluate:
  - {optimizer.lr: 0.1, optimizer.name: adam, optimizer.momentum: 0.5}
  - {optimizer.lr: 0.1, optimizer.name: sgd}
"""
    assert mistakes(TUNE.replace("trials", f"{more}trials")) == [
        "train.yaml:9: points_to_evaluate[0].optimizer.momentum: does not exist beside the "
        "point's other values; leave it out",
        "train.yaml:10: points_to_evaluate[1].optimizer.momentum: missing; 0.0 to 0.9; "
        "a point is a whole trial",
    ]


def test_an_entrypoint_has_no_scheduler_and_no_budget_of_epochs(
    mistakes: Mistakes, write: Write
) -> None:
    write("kind: train\nname: own\nentrypoint: a:b\nargs: {depth: 3}\n", "base.yaml")
    text = TUNE.replace("optimizer.lr: {loguniform: [1.0e-4, 1.0]}", "args.depth: {int: [1, 3]}")
    more = """\
objectives: [{metric: val/loss, goal: minimize}]
scheduler: asha
budget: {epochs: 9}
"""
    assert mistakes(text + more) == [
        "train.yaml:8: scheduler: asha needs the built-in loop; none beside an entrypoint",
        "train.yaml:9: budget.epochs: the epochs of an entrypoint are not counted; minutes",
    ]
