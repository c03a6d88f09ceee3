"""The optimizers of a spec: they learn, go on where they were, and refuse what they cannot do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from heliostat.spec import Document, InputError, Muon
from heliostat.training.journal import read_all
from heliostat.training.optimization import build_optimizer

NET = """
from torch import nn

def small():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 10),
    )
"""

OPTIMIZERS = {
    "sgd": "optimizer={name: sgd, lr: 0.1, momentum: 0.9}",
    "adam": "optimizer={name: adam, lr: 0.01}",
    "adamw": "optimizer={name: adamw, lr: 0.01}",
    "lion": "optimizer={name: lion, lr: 0.005, weight_decay: 0.1}",
    "muon": "optimizer={name: muon, lr: 0.01, weight_decay: 0.1, adamw: ['6.*']}",
    "muon without nesterov": "optimizer={name: muon, lr: 0.01, nesterov: false}",
}

Write = Callable[..., Document]
Train = Callable[..., dict[str, float]]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_lowers_the_loss_and_goes_on_from_a_checkpoint_to_the_last_digit(
    name: str, write: Write, train_here: Train, tmp_path: Path
) -> None:
    settings = (
        *("model.name=users_own:small", "model.freeze=['0.bias']", OPTIMIZERS[name]),
        *("schedule={name: step, every: 1, gamma: 0.8}", "ema={decay: 0.5}", "clip_grad_norm=1.0"),
        *("accumulate=2", "log_every=1", "objective=null", "data.val=null"),
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_here(write(NET, *settings, "max_steps=12"), whole)
    train_here(write(NET, *settings, "max_steps=7"), parts)
    train_here(write(NET, *settings, "max_steps=12"), parts, attempt=2)
    one, other = (load_file(folder / "model" / "weights.safetensors") for folder in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    losses = [r["value"] for r in read_all(whole / "journal") if r.get("name") == "train/loss"]
    assert len(losses) == 12
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


def test_muon_takes_matrices_and_adamw_the_rest() -> None:
    model = nn.Sequential()
    model.net = nn.ModuleDict(
        {
            "grey": nn.Conv2d(1, 8, 3),
            "conv": nn.Conv2d(8, 16, 3),
            "depthwise": nn.Conv2d(16, 16, 3, groups=16),
            "norm": nn.BatchNorm2d(16),
            "names": nn.Embedding(10, 16),
            "hidden": nn.Linear(16, 8),
            "head": nn.Linear(8, 10),
        }
    )
    spec = Muon(name="muon", lr=0.1, adamw=("head.*",))
    optimizer = build_optimizer(model, list(model.parameters()), spec)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    held = {
        state: {name for name, p in model.named_parameters() if state in optimizer.state[p]}
        for state in ("momentum_buffer", "exp_avg_sq")
    }
    assert held["momentum_buffer"] == {"net.conv.weight", "net.hidden.weight"}
    rest = {name for name, _ in model.named_parameters()} - held["momentum_buffer"]
    assert held["exp_avg_sq"] == rest


def test_a_name_for_adamw_that_no_parameter_has_is_refused(
    write: Write, train_here: Train, tmp_path: Path
) -> None:
    muon = "optimizer={name: muon, lr: 0.01, adamw: ['6.*', 'fc.*']}"
    document = write(NET, "model.name=users_own:small", muon)
    with pytest.raises(InputError, match=r"^optimizer\.adamw\[1\]: no part .* named 'fc\.\*'"):
        train_here(document, tmp_path / "job")
