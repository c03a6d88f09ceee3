"""What a spec says of the training step: parts of a batch, clipping, averages, frozen layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from heliostat.spec import Document, InputError
from heliostat.training.journal import read_all
from small_specs import TWO_NETS

NET = (
    TWO_NETS
    + """
class TwoTurns(Classification):
    def __init__(self, classes):
        super().__init__(classes)
        def of(name):
            def loss(model, inputs, targets):
                others = {"first": "second", "second": "first"}[name]
                still = getattr(model.net, others)
                assert not any(p.requires_grad for p in still.parameters())
                part = getattr(model.net, name)
                return super(TwoTurns, self).loss(
                    nn.Sequential(model.normalize, part), inputs, targets
                )
            return Turn(name, loss, lambda model: getattr(model.net, name).parameters())
        self.turns = (of("first"), of("second"))
"""
)

Write = Callable[..., Document]
Train = Callable[..., dict[str, float]]


@pytest.fixture
def weights(write: Write, train_here: Train, tmp_path: Path) -> Callable[..., dict[str, Tensor]]:
    """Train three steps of a small network with overrides; return the weights that were kept."""

    def trained(name: str, *overrides: str, attempt: int = 1) -> dict[str, Tensor]:
        document = write(NET, "model.name=users_own:small", *overrides)
        train_here(document, tmp_path / name, attempt)
        kept: dict[str, Tensor] = load_file(tmp_path / name / "model" / "weights.safetensors")
        return kept

    return trained


Weights = Callable[..., dict[str, Tensor]]


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_a_batch_in_parts_moves_the_weights_as_the_whole_does(weights: Weights) -> None:
    whole = weights("whole")
    parts = weights("parts", "accumulate=3")
    assert 0 < largest_difference(whole, parts) < 1e-6


def test_gradients_are_clipped_to_the_norm_that_is_asked_for(weights: Weights) -> None:
    steps = "optimizer={name: sgd, lr: 1.0}"
    before = weights("tiny", steps, "clip_grad_norm=1.0e-12")
    after = weights("clipped", steps, "clip_grad_norm=1.0e-3")
    moved = torch.cat([(after[n] - before[n]).flatten() for n in before if "net." in n])
    assert 0.5e-3 < float(moved.norm()) < 3.001e-3


def test_the_average_of_the_weights_is_what_is_kept(weights: Weights) -> None:
    plain = weights("plain", "objective=null", "data.val=null")
    nothing = weights("decay-0", "ema={decay: 0.0}", "objective=null", "data.val=null")
    slow = weights("slow", "ema={decay: 0.9}", "objective=null", "data.val=null")
    assert largest_difference(plain, nothing) == 0
    assert largest_difference(plain, slow) > 1e-4


def test_a_resumed_job_goes_on_with_its_average(weights: Weights) -> None:
    settings = ("ema={decay: 0.9}", "checkpoint.every=1 steps", "objective=null", "data.val=null")
    whole = weights("whole", *settings, "max_steps=4")
    weights("parts", *settings, "max_steps=2")
    resumed = weights("parts", *settings, "max_steps=4", attempt=2)
    assert largest_difference(whole, resumed) == 0


def test_frozen_parameters_stand_still(weights: Weights) -> None:
    fast = weights("fast", "model.freeze=[0.*]", "optimizer.lr=0.5")
    slow = weights("slow", "model.freeze=[0.*]", "optimizer.lr=0.01")
    assert torch.equal(fast["net.0.weight"], slow["net.0.weight"])
    assert not torch.equal(fast["net.4.weight"], slow["net.4.weight"])


def test_activations_computed_again_change_no_digit(weights: Weights) -> None:
    plain = weights("plain")
    again = weights("again", "model.gradient_checkpointing=['[0-2]']")
    assert largest_difference(plain, again) == 0


@pytest.mark.parametrize("field", ["freeze", "gradient_checkpointing"])
def test_a_pattern_that_no_part_is_named_by_is_refused(weights: Weights, field: str) -> None:
    with pytest.raises(InputError, match=rf"model\.{field}\[0\]: no part .* named 'layer\*'"):
        weights("none", f"model.{field}=[layer*]")


def test_each_turn_moves_its_own_parameters_and_is_recorded(
    write: Write, train_here: Train, tmp_path: Path
) -> None:
    document = write(NET, "model.name=users_own:Two", "task=users_own:TwoTurns", "log_every=1")
    train_here(document, tmp_path / "job")
    records = [r for r in read_all(tmp_path / "job" / "journal") if r["kind"] == "metric"]
    values = {r["name"]: r["value"] for r in records if r["step"] == 1}
    assert values["train/loss"] == pytest.approx(values["train/first"] + values["train/second"])
