from __future__ import annotations

import pytest
import torch

from heliostat.training.losses import DivergedError, LossWindow


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_step_whose_loss_is_not_finite_is_named(value: float) -> None:
    losses = LossWindow()
    for step in range(21, 31):
        losses.add({"loss": torch.tensor(value if step >= 27 else 1.0)})
    message = rf"became {value} at step 27 \(learning rate 0\.1\)"
    with pytest.raises(DivergedError, match=message):
        losses.take(last_step=30, learning_rate=0.1)


def test_a_step_is_named_also_where_a_checkpoint_settled_those_before() -> None:
    losses = LossWindow()
    for step in range(1, 8):
        losses.add({"loss": torch.tensor(1.0 if step < 7 else torch.nan)})
        if step == 4:
            carried = {"loss": list(losses.settle(last_step=4, learning_rate=0.1)["loss"])}
    with pytest.raises(DivergedError, match="at step 7"):
        losses.take(last_step=7, learning_rate=0.1)
    restored = LossWindow(carried)
    restored.add({"loss": torch.tensor(torch.nan)})
    with pytest.raises(DivergedError, match="at step 5"):
        restored.take(last_step=5, learning_rate=0.1)


def test_a_checkpoint_in_between_changes_no_digit_of_the_mean() -> None:
    shares = torch.rand(17, generator=torch.Generator().manual_seed(0))
    plain, settled, restored = LossWindow(), LossWindow(), LossWindow()
    for number, share in enumerate(shares):
        for window in (plain, settled, restored):
            window.add({"loss": share, "half": share / 2})
        if number % 5 == 3:
            settled.settle(last_step=number, learning_rate=0.1)
            restored = LossWindow(restored.settle(last_step=number, learning_rate=0.1))
    means = [w.take(last_step=17, learning_rate=0.1) for w in (plain, settled, restored)]
    assert means[0] == means[1] == means[2]
    assert means[0]["half"] == pytest.approx(means[0]["loss"] / 2)
    assert plain.empty
