"""The kind tune: its train spec, and spaces that are checked against it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat.spec import TuneSpec, dump, load, parse

Write = Callable[..., Path]
Mistakes = Callable[..., list[str]]

TUNE = """\
kind: tune
name: search
train: base.yaml
search:
  optimizer.lr: {loguniform: [1.0e-4, 1.0]}
trials: 8
"""


@pytest.fixture(autouse=True)
def base(write: Write) -> Path:
    """Return the path of the train spec that the searches search around."""
    return write(name="base.yaml")


def test_every_space_is_read_and_comes_back_the_same(write: Write) -> None:
    spaces = """\
  optimizer.momentum: {uniform: [0.1, 0.99], when: {optimizer.name: sgd}}
  epochs: {int: [1, 3]}
  batch_size: {choice: [32, 64]}
  model.args.width: {logint: [8, 512]}
  optimizer.weight_decay: {quantized: [0, 0.1, 0.01]}
  optimizer.nesterov: {grid: [true, false]}
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


@pytest.mark.parametrize(
    ("key", "space", "expected"),
    [
        ("optimizer.lrr", "{uniform: [0.1, 1]}", "train has no key optimizer.lrr; did you mean "),
        ("epochs", "{unifrom: [1, 2]}", "unknown space 'unifrom'; did you mean uniform?"),
        ("epochs", "[1, 2]", "is not a space; {uniform: [low, high]}; one of choice, grid"),
        ("epochs", "{int: [1, 2], grid: [1]}", "is not a space"),
        ("epochs", "{int: [1.5, 2]}", "[1.5, 2] is not int's; {int: [low, high]}, whole numbers"),
        ("epochs", "{int: [3, 1]}", "[3, 1] is empty; low below high"),
        ("epochs", "{grid: []}", "must be a list; {grid: [value, value]}"),
        ("epochs", "{int: [0, 3]}", "train does not allow 0: 0 is out of range; 1 or more"),
        ("batch_size", "{choice: [64, 65]}", "65 is not divisible by 2 workers; 64 or 66"),
        ("optimizer.weight_decay", "{loguniform: [0, 1]}", "0 has no logarithm; low above 0"),
        ("optimizer.weight_decay", "{quantized: [0, 1, 0]}", "the step 0 is out of range"),
        ("epochs.x", "{grid: [1]}", "train has no key epochs.x; did you mean epochs?"),
    ],
)
def test_a_space_that_does_not_fit_is_an_error_at_its_line(
    mistakes: Mistakes, key: str, space: str, expected: str
) -> None:
    (line,) = mistakes(TUNE.replace("trials", f"  {key}: {space}\ntrials"))
    assert line.startswith(f"train.yaml:6: search.{key}")
    assert expected in line


def test_a_grid_needs_a_list_at_every_key(mistakes: Mistakes) -> None:
    (line,) = mistakes(f"{TUNE}algorithm: grid\n")
    assert "algorithm: grid needs a list of values at every key" in line
