from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn

from heliostat.vision.classification import Classification, ClassificationEvaluation
from heliostat.vision.mistakes import WrongValue


def logits_and_targets(samples: int, classes: int, present: int) -> tuple[Tensor, Tensor]:
    """Imperfect logits; only the first `present` classes occur."""
    generator = torch.Generator().manual_seed(samples)
    targets = torch.randint(0, present, (samples,), generator=generator)
    logits = torch.randn(samples, classes, generator=generator)
    logits[torch.arange(samples), targets] += 1.0
    logits[:, 1] -= 20.0  # class 1 is never predicted
    return logits, targets


def evaluated(
    logits: Tensor, targets: Tensor, classes: int, sizes: list[int]
) -> ClassificationEvaluation:
    evaluation = Classification([f"c{k}" for k in range(classes)]).evaluation()
    for some, truth in zip(logits.split(sizes), targets.split(sizes), strict=True):
        evaluation.update(nn.Identity(), some, truth)
    return evaluation


@pytest.mark.parametrize(("classes", "present"), [(3, 3), (10, 8), (30, 25)])
def test_the_figures_are_scikit_learn_s(classes: int, present: int) -> None:
    logits, targets = logits_and_targets(503, classes, present)
    evaluation = evaluated(logits, targets, classes, [100] * 5 + [3])
    ours = evaluation.compute()
    labels, predicted = range(classes), logits.argmax(1)
    truth = {"y_true": targets, "y_pred": predicted, "labels": labels, "zero_division": 0}
    means = metrics.precision_recall_fscore_support(**truth, average="macro")
    np.testing.assert_allclose([ours[n] for n in ("precision", "recall", "f1")], means[:3])
    each = evaluation.per_class()
    np.testing.assert_allclose(
        (each.precision, each.recall, each.f1, each.support),
        metrics.precision_recall_fscore_support(**truth, average=None),
    )
    assert ours["accuracy"] == metrics.accuracy_score(targets, predicted)
    probabilities = logits.double().softmax(1)
    assert ours["loss"] == pytest.approx(
        metrics.log_loss(targets, probabilities, labels=labels), abs=1e-6
    )
    if classes > 5:
        top5 = metrics.top_k_accuracy_score(targets, probabilities, k=5, labels=labels)
        assert ours["top5_accuracy"] == pytest.approx(top5)


def test_compute_gives_the_names_that_the_task_promises() -> None:
    for count in (2, 6, 20, 21):
        logits, targets = logits_and_targets(64, count, 2)
        evaluation = evaluated(logits, targets, count, [64])
        task = Classification([f"c{k}" for k in range(count)])
        assert tuple(evaluation.compute()) == task.metrics
        assert ("top5_accuracy" in task.metrics) == (count > 5)
        assert ("f1/c1" in task.metrics) == (count <= 20)


def test_the_calibration_error_is_that_of_guo_et_al() -> None:
    logits, targets = logits_and_targets(5_000, 10, 8)
    confidence, predicted = logits.double().softmax(1).float().max(1)
    right = (predicted == targets).double()
    error = 0.0
    for bin_ in range(15):  # their equation 3, over the intervals ((m-1)/15, m/15]
        inside = (confidence > bin_ / 15) & (confidence <= (bin_ + 1) / 15)
        if inside.any():
            gap = right[inside].mean() - confidence[inside].double().mean()
            error += float(gap.abs() * inside.sum() / 5_000)
    ours = evaluated(logits, targets, 10, [4_000, 1_000]).compute()["calibration_error"]
    assert ours == pytest.approx(error, abs=1e-7)
    assert 0.02 < ours < 0.98


def test_a_model_that_is_sure_and_right_half_of_the_time_is_off_by_half() -> None:
    evaluation = Classification(["a", "b"]).evaluation()
    evaluation.update_outputs(torch.tensor([[1.0, 0.0]] * 4), torch.tensor([0, 1, 0, 1]))
    assert evaluation.compute()["calibration_error"] == 0.5


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_sums_added_over_ranks_give_exactly_the_metrics_of_one_process(ranks: int) -> None:
    logits, targets = logits_and_targets(10_007, 10, 10)
    # Losses of very different sizes, where plain float sums would differ in their last bits.
    logits *= torch.linspace(0.01, 20, len(logits))[:, None]
    one = evaluated(logits, targets, 10, [10_007])
    bounds = [10_007 * rank // ranks for rank in range(ranks + 1)]
    merged = Classification([f"c{k}" for k in range(10)]).evaluation()
    for begin, end in pairwise(bounds):
        part = evaluated(logits[begin:end], targets[begin:end], 10, [1, end - begin - 1])
        for name, total in merged.state().items():
            total += part.state()[name]
    assert int(merged.state()["seen"]) == 10_007
    assert merged.compute() == one.compute()


def test_a_registered_model_is_evaluated_to_the_very_same_figures() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
    inputs, targets = torch.rand(200, 3, 2, 2), torch.randint(0, 8, (200,))
    task = Classification([f"c{k}" for k in range(8)])
    trained, registered = task.evaluation(), task.evaluation()
    with torch.no_grad():
        trained.update(net, inputs, targets)
        probabilities = task.predictor(net)(inputs)
        registered.update_outputs(probabilities, targets)
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(200))
    assert trained.compute() == registered.compute()


def test_the_loss_is_the_cross_entropy_of_each_sample_and_the_evaluation_s_its_mean() -> None:
    logits, targets = logits_and_targets(300, 10, 10)
    task = Classification([f"c{k}" for k in range(10)])
    losses = task.loss(nn.Identity(), logits, targets.int())
    assert losses.shape == (300,)
    evaluation = evaluated(logits, targets, 10, [300])
    assert evaluation.compute()["loss"] == pytest.approx(float(losses.mean()), abs=1e-6)


def test_smoothing_and_weights_are_torch_s_in_training_and_not_in_the_evaluation() -> None:
    logits, targets = logits_and_targets(40, 4, 4)
    classes, weights = ["a", "b", "c", "d"], [1, 0.5, 0, 2.0]
    task = Classification(classes, label_smoothing=0.1, class_weights=weights)
    shares = nn.functional.one_hot(targets, 4).float().roll(1, 0)
    for truth in (targets, shares):
        expected = nn.functional.cross_entropy(
            logits, truth, torch.tensor(weights), label_smoothing=0.1, reduction="none"
        )
        torch.testing.assert_close(task.loss(nn.Identity(), logits, truth), expected)
    weighted, plain = task.evaluation(), Classification(classes).evaluation()
    for evaluation in (weighted, plain):
        evaluation.update(nn.Identity(), logits, targets)
    assert weighted.compute() == plain.compute()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"label_smoothing": 1}, "label_smoothing is 1; it is a number from 0 up to, not with, 1"),
        ({"label_smoothing": "0.1"}, "label_smoothing is '0.1'; it is a number"),
        ({"label_smoothing": float("nan")}, "label_smoothing is nan"),
        ({"class_weights": [1, 2]}, "a number for each of 3 classes, not 2 of them"),
        ({"class_weights": {"a": 1}}, r"a number for each of 3 classes, not {'a': 1}"),
        ({"class_weights": [1, -2, 3]}, "not below 0, and not all 0; not -2"),
        ({"class_weights": [1, None, 3]}, "not below 0, and not all 0; not None"),
        ({"class_weights": [0, 0, 0]}, "not 0 for every class"),
    ],
)
def test_smoothing_and_weights_that_are_none_are_mistakes(
    args: dict[str, Any], message: str
) -> None:
    with pytest.raises(WrongValue, match=message) as caught:
        Classification(["a", "b", "c"], **args)
    assert "\n" not in str(caught.value)


def test_equal_probabilities_are_no_success() -> None:
    evaluation = Classification([f"c{k}" for k in range(10)]).evaluation()
    evaluation.update_outputs(torch.full((10, 10), 0.1), torch.arange(10))
    figures = evaluation.compute()
    assert (figures["accuracy"], figures["top5_accuracy"]) == (0.1, 0.5)


def test_targets_may_be_shares_of_the_classes_as_mixup_makes_them() -> None:
    logits, targets = logits_and_targets(20, 4, 4)
    task = Classification(["a", "b", "c", "d"])
    of_classes = task.loss(nn.Identity(), logits, targets)
    others = task.loss(nn.Identity(), logits, targets.roll(1))
    one_hot = nn.functional.one_hot(targets, 4).float()
    mixed = task.loss(nn.Identity(), logits, 0.75 * one_hot + 0.25 * one_hot.roll(1, 0))
    torch.testing.assert_close(task.loss(nn.Identity(), logits, one_hot), of_classes)
    torch.testing.assert_close(mixed, 0.75 * of_classes + 0.25 * others)


def test_a_diverged_model_has_no_loss() -> None:
    evaluation = Classification(["a", "b"]).evaluation()
    evaluation.update(
        nn.Identity(), torch.full((4, 2), torch.nan), torch.zeros(4, dtype=torch.int64)
    )
    figures = evaluation.compute()
    assert np.isnan(figures["loss"])
    assert np.isnan(figures["calibration_error"])


@pytest.mark.parametrize("output", [torch.rand(4, 5), torch.rand(4), torch.rand(3, 10), (1, 2)])
def test_a_model_whose_output_is_not_logits_of_the_classes_is_refused(output: object) -> None:
    class Wrong(nn.Module):
        def forward(self, inputs: Tensor) -> object:
            return output

    task = Classification([f"c{k}" for k in range(10)])
    with pytest.raises(ValueError, match="classification"):
        task.loss(Wrong(), torch.rand(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64))


def test_labels_of_metrics_are_names_that_mlflow_takes_and_all_different() -> None:
    from mlflow.utils.validation import _validate_metric_name

    classes = ["T-shirt/top", "T-shirt_top", "100 %", "猫", "..", "", "a:b", "x" * 400, "$"]
    names = Classification(classes).metrics
    for name in names:
        _validate_metric_name(f"test/{name}")
    assert len(set(names)) == len(names) == 7 + 3 * len(classes)
