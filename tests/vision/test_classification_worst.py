"""The samples of the highest loss: the same at any number of ranks."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from heliostat.vision.classification import Classification, ClassificationEvaluation
from heliostat.vision.classification.worst import Worst, worst_of

TASK = Classification([str(k) for k in range(10)])


def guesses() -> tuple[Tensor, Tensor, Tensor]:
    """Digits (1,797, 1, 8, 8), their classes, and a nearest mean's probabilities for them."""
    digits = load_digits()
    images = torch.from_numpy(digits.images).to(torch.uint8)[:, None]
    targets = torch.from_numpy(digits.target)
    flat = images.flatten(1).float()
    means = torch.stack([flat[targets == k].mean(0) for k in range(10)])
    # Coarse, so that many losses are equal: then the first in the data come first.
    return images, targets, (-torch.cdist(flat, means) / 8).round().softmax(1)


def seen(images: Tensor, targets: Tensor, outputs: Tensor, batch: int) -> ClassificationEvaluation:
    evaluation = TASK.evaluation()
    for some in zip(outputs.split(batch), targets.split(batch), images.split(batch), strict=True):
        evaluation.update_outputs(*some)
    return evaluation


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("batch", [7, 300])
def test_the_worst_of_all_ranks_are_those_of_one_process(ranks: int, batch: int) -> None:
    images, targets, outputs = guesses()
    losses = -outputs[torch.arange(len(targets)), targets].double().log()
    expected = np.argsort(-losses.numpy(), kind="stable")[:25]
    bounds = [len(images) * rank // ranks for rank in range(ranks + 1)]
    parts = [seen(images[a:b], targets[a:b], outputs[a:b], batch) for a, b in pairwise(bounds)]
    worst = worst_of(chain.from_iterable(part.records for part in parts))
    assert len(worst) == 25
    for shown, place in zip((bad.shown for bad in worst), expected, strict=True):
        assert torch.equal(shown.image, images[place])
        assert (shown.target, shown.predicted) == (targets[place], outputs[place].argmax())
        assert shown.probability == pytest.approx(float(outputs[place].max()))


def test_the_picture_is_of_the_records_that_training_gathered() -> None:
    images, targets, outputs = guesses()
    first, second = (seen(*(v[at] for v in (images, targets, outputs)), 100) for at in HALVES)
    alone = first.pictures()["worst_mistakes"]
    first.records = [*first.records, *second.records]
    together = first.pictures()["worst_mistakes"]
    assert alone.size == together.size
    assert alone != together
    whole = seen(images, targets, outputs, 100).pictures()["worst_mistakes"]
    assert np.array_equal(np.asarray(together), np.asarray(whole))


HALVES = (slice(0, 900), slice(900, None))


def test_images_of_several_sizes_are_compared_and_a_loss_that_is_nan_is_the_worst() -> None:
    worst = Worst()
    none = torch.zeros(2, dtype=torch.int64)
    for side, losses in ((4, [1.0, 3.0]), (6, [2.0, torch.nan]), (4, [4.0, 0.5])):
        images = torch.zeros(2, 1, side, side, dtype=torch.uint8)
        worst.offer(torch.tensor(losses), images, none, none, torch.ones(2))
    taken = worst.taken()
    assert [bad.loss for bad in taken] == [torch.inf, 4, 3, 2, 1, 0.5]
    assert [bad.shown.image.shape[-1] for bad in taken] == [6, 4, 4, 6, 4, 4]


def test_what_ranks_send_one_another_is_no_more_than_the_images() -> None:
    images, targets, outputs = guesses()
    evaluation = seen(images, targets, outputs, 1_797)
    sizes = [bad.shown.image.untyped_storage().nbytes() for bad in evaluation.records]
    assert sizes == [64] * 25
