"""`helio check --resume`, by real processes: what it finds in users' code, and where nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat import spec
from heliostat.runtime.resume_check import EVERY, Resumed, check_resume
from heliostat.spec import InputError

OWN = """
import numpy as np
import torch
from torch import nn

class Noisy(torch.utils.data.Dataset):
    # Its noise is that of the n-th image read, whichever it is.
    classes = list("0123456789")
    def __init__(self, seed=None):
        self.random = np.random.default_rng(seed)
    def __len__(self):
        return 50
    def __getitem__(self, index):
        noise = self.random.integers(0, 50, (1, 8, 8))
        return torch.tensor(index + noise, dtype=torch.uint8), index % 10

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Dropout(), nn.Linear(288, 10)
        )
        self.calls = 0
    def forward(self, images):
        return self.layers(images)

class Counting(Net):
    def forward(self, images):
        self.calls += self.training
        return super().forward(images) / (1 + self.calls)

class Saved(Counting):
    def get_extra_state(self):
        return {"calls": self.calls}
    def set_extra_state(self, state):
        self.calls = state["calls"]
"""
DIGITS = """
kind: train
name: digits
model: {name: "resumes_own:Net"}
data:
  train: {uri: sklearn:digits, split: "all[:200]"}
  val: {uri: sklearn:digits, split: "all[200:260]"}
  augment: [{random_crop: {padding: 1}}]
batch_size: 40
optimizer: {name: sgd, lr: 0.05, momentum: 0.9}
schedule: {name: one_cycle}
ema: {decay: 0.9}
objective: {metric: val/accuracy, goal: maximize}
epochs: 2
"""

Try = Callable[..., Resumed]


@pytest.fixture
def trying(tmp_path: Path, helio_home: Path, monkeypatch: pytest.MonkeyPatch) -> Try:
    """Try the spec with overrides, each on one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "resumes_own.py").write_text(OWN)
    (tmp_path / "train.yaml").write_text(DIGITS)
    return lambda *overrides: check_resume(spec.load(tmp_path / "train.yaml", overrides))


def noisy(*args: str) -> list[str]:
    dataset = f"{{dataset: 'resumes_own:Noisy', args: {{{', '.join(args)}}}}}"
    return [f"data.train={dataset}", "data.val=null", "data.augment=[]", "objective=null"]


@pytest.mark.parametrize("model", ["Net", pytest.param("Saved", marks=pytest.mark.slow)])
def test_nothing_is_found_where_nothing_is_wrong(trying: Try, model: str) -> None:
    found = trying(f"model.name=resumes_own:{model}", "batch_size=30")
    assert found == Resumed(8, 6, EVERY, None)


def test_a_model_that_counts_its_calls_in_an_attribute_has_other_weights_from_there_on(
    trying: Try,
) -> None:
    found = trying("model.name=resumes_own:Counting", "batch_size=10")
    assert found.resumed_from == EVERY
    assert found.difference is not None
    assert found.difference.startswith("weights differ from step 4 on after the resume")


def test_a_data_set_with_a_generator_of_its_own_gives_another_first_sample_after_the_resume(
    trying: Try,
) -> None:
    found = trying(*noisy("seed: 3"), "batch_size=5")
    assert found.difference is not None
    assert found.difference.startswith("the sample at position 0 of step 4 (number ")
    assert "after the resume" in found.difference


@pytest.mark.slow
def test_a_generator_that_is_not_seeded_is_found_without_a_resume(trying: Try) -> None:
    found = trying(*noisy(), "batch_size=5")
    assert found.difference is not None
    assert found.difference.startswith("the sample at position 0 of step 1 (number ")
    assert "not seeded" in found.difference


def test_a_loop_of_the_users_own_is_not_tried(tmp_path: Path, helio_home: Path) -> None:
    (tmp_path / "own.yaml").write_text("kind: train\nname: own\nentrypoint: own:loop\n")
    with pytest.raises(InputError, match=r"own.yaml:1: kind: .*task alone"):
        check_resume(spec.load(tmp_path / "own.yaml"))
