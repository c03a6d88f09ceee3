"""Losses and metrics against NumPy's, written down plainly."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from heliostat.vision.mistakes import WrongValue
from heliostat.vision.segmentation import Segmentation

CLASSES = ["sky", "road", "car", "never"]
SIZE = (5, 6, 7)


class Given(nn.Module):
    """A net that gives, for images of floats, their channels as logits."""

    def __init__(self, aux: Tensor | None = None) -> None:
        super().__init__()
        self.aux = aux

    def forward(self, images: Tensor) -> Any:
        return images if self.aux is None else {"out": images, "aux": self.aux}


def logits_and_targets(classes: int = 4, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    """Class 3 is in no truth and is never predicted; the last sample has nothing that counts."""
    generator = torch.Generator().manual_seed(7)
    targets = torch.randint(0, 3, SIZE, generator=generator)
    logits = torch.randn(SIZE[0], classes, *SIZE[1:], generator=generator)
    logits.scatter_add_(1, targets[:, None], torch.ones(SIZE)[:, None])
    logits[:, 3] = -30
    targets[torch.rand(SIZE, generator=generator) < ignored] = 255
    targets[-1] = 255
    return logits, targets


def loss_of(task: Segmentation, logits: Tensor, targets: Tensor) -> Any:
    return task.loss(task.assemble(Given(), None, None), logits, targets)


def test_the_figures_are_numpy_s_and_ignored_pixels_count_nowhere() -> None:
    logits, targets = logits_and_targets()
    task = Segmentation(CLASSES)
    evaluation = task.evaluation()
    model = task.assemble(Given(), None, None)
    for part in (slice(0, 2), slice(2, 5)):
        evaluation.update(model, logits[part], targets[part])
    ours = evaluation.compute()
    assert tuple(ours) == task.metrics

    predicted = logits.numpy().argmax(axis=1)
    truth = targets.numpy()
    predicted, truth = predicted[truth != 255], truth[truth != 255]
    ious, dices = [], []
    for k, name in enumerate(CLASSES[:3]):
        both = ((truth == k) & (predicted == k)).sum()
        either = ((truth == k) | (predicted == k)).sum()
        ious.append(both / either)
        dices.append(2 * both / ((truth == k).sum() + (predicted == k).sum()))
        assert ours[f"iou/{name}"] == pytest.approx(ious[-1], rel=1e-12)
        assert ours[f"dice/{name}"] == pytest.approx(dices[-1], rel=1e-12)
    assert np.isnan(ours["iou/never"])
    assert ours["mean_iou"] == pytest.approx(np.mean(ious), rel=1e-12)
    assert ours["mean_dice"] == pytest.approx(np.mean(dices), rel=1e-12)
    assert ours["pixel_accuracy"] == (truth == predicted).mean()
    assert ours["loss"] == pytest.approx(float(loss_of(task, logits, targets).mean()), abs=1e-7)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 3.0]])
def test_a_sample_s_loss_is_the_mean_over_the_pixels_that_count(
    weights: list[float] | None,
) -> None:
    logits, targets = logits_and_targets()
    logits.requires_grad_()
    losses = loss_of(Segmentation(CLASSES, class_weights=weights), logits, targets)
    scores = logits.detach().double().numpy()
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    for sample in range(4):
        rows, columns = np.nonzero(targets[sample].numpy() != 255)
        classes = targets[sample].numpy()[rows, columns]
        each = -logs[sample, classes, rows, columns]
        of_class = np.array(weights or [1.0] * 4)[classes]
        assert losses[sample].item() == pytest.approx((each * of_class).sum() / of_class.sum())
    assert losses[4].item() == 0
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[4] == 0).all()
    assert (logits.grad[:4] != 0).any()


def test_soft_dice_is_a_part_of_its_own_and_0_for_a_perfect_map() -> None:
    logits, targets = logits_and_targets()
    parts = loss_of(Segmentation(CLASSES, dice=0.5), logits, targets)
    assert set(parts) == {"cross_entropy", "dice"}
    shares = logits.double().softmax(1).numpy()
    for sample in range(4):
        truth = targets[sample].numpy()
        counted = truth != 255
        dices = [
            2 * shares[sample, k][truth == k].sum()
            / (shares[sample, k][counted].sum() + (truth == k).sum())
            for k in range(3)
        ]  # fmt: skip
        assert parts["dice"][sample].item() == pytest.approx(0.5 * (1 - np.mean(dices)), rel=1e-5)
    assert parts["dice"][4].item() == 0
    perfect = 50.0 * nn.functional.one_hot(targets.where(targets < 255, 0), 4).movedim(3, 1)
    assert loss_of(Segmentation(CLASSES, dice=1.0), perfect, targets)["dice"].max() < 1e-6


def test_an_auxiliary_head_s_loss_goes_in_by_its_weight() -> None:
    logits, targets = logits_and_targets()
    task = Segmentation(CLASSES, aux_weight=0.25)
    parts = task.loss(task.assemble(Given(aux=logits.flip(1)), None, None), logits, targets)
    torch.testing.assert_close(parts["cross_entropy"], loss_of(task, logits, targets))
    torch.testing.assert_close(parts["aux"], 0.25 * loss_of(task, logits.flip(1), targets))


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_sums_added_over_ranks_give_exactly_the_metrics_of_one_process(ranks: int) -> None:
    logits, targets = logits_and_targets()
    task = Segmentation(CLASSES, dice=1.0)
    model = task.assemble(Given(), None, None)
    one, merged = task.evaluation(), task.evaluation()
    one.update(model, logits, targets)
    bounds = [5 * rank // ranks for rank in range(ranks + 1)]
    for begin, end in reversed(list(pairwise(bounds))):
        part = task.evaluation()
        part.update(model, logits[begin:end], targets[begin:end])
        for name, total in merged.state().items():
            total.add_(part.state()[name])
    assert merged.compute() == pytest.approx(one.compute(), rel=0, abs=0, nan_ok=True)
    assert int(merged.state()["seen"]) == 5


def test_a_registered_model_is_evaluated_to_the_same_figures_but_has_no_loss() -> None:
    logits, targets = logits_and_targets()
    task = Segmentation(CLASSES)
    model = task.assemble(Given(), None, None)
    trained, registered = task.evaluation(), task.evaluation()
    trained.update(model, logits, targets)
    maps = task.predictor(model)(logits)
    assert (maps.dtype, maps.shape) == (torch.uint8, SIZE)
    registered.update_outputs(maps.numpy(), targets)
    expected = {**trained.compute(), "loss": float("nan")}
    assert registered.compute() == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


def test_with_many_classes_figures_of_each_are_a_picture() -> None:
    task = Segmentation([f"c{k}" for k in range(30)])
    evaluation = task.evaluation()
    evaluation.update_outputs(torch.arange(30).view(1, 5, 6), torch.arange(30).view(1, 5, 6))
    assert task.metrics == ("loss", "mean_iou", "pixel_accuracy", "mean_dice")
    assert evaluation.compute()["mean_iou"] == 1
    assert set(evaluation.pictures()) == {"confusion_matrix", "per_class"}


@pytest.mark.parametrize(
    ("net", "line"),
    [
        (nn.Conv2d(4, 3, 1), r"segmentation into 4 classes needs \(5, 4, 6, 7\)"),
        (nn.AvgPool2d(2), r"gives shape \(5, 4, 3, 3\)"),
        (Given(aux=torch.zeros(5, 3, 6, 7)), r"gives shape \(5, 3, 6, 7\)"),
        (nn.Flatten(), r"gives shape \(5, 168\)"),
    ],
)
def test_a_model_that_gives_no_logits_of_the_classes_is_refused(net: nn.Module, line: str) -> None:
    logits, targets = logits_and_targets()
    task = Segmentation(CLASSES)
    with pytest.raises(WrongValue, match=line):
        task.loss(task.assemble(net, None, None), logits, targets)


@pytest.mark.parametrize("output", [{"logits": torch.zeros(1)}, (torch.zeros(1),), {}])
def test_a_model_that_gives_no_tensor_is_refused(output: Any) -> None:
    class Other(nn.Module):
        def forward(self, images: Tensor) -> Any:
            return output

    model = Segmentation(CLASSES).assemble(Other(), None, None)
    with pytest.raises(WrongValue, match="the model gives a .*, not a tensor of logits"):
        model(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("maps", [torch.rand(2, 3, 3), torch.zeros(2, 3), torch.full((1, 2, 2), 4)])
def test_predictions_that_are_no_maps_of_the_classes_are_refused(maps: Tensor) -> None:
    with pytest.raises(WrongValue, match="predict"):
        Segmentation(CLASSES).evaluation().update_outputs(maps, torch.zeros(maps.shape).long())
