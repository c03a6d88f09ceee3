"""A registered model evaluated in parts: the figures and pictures of all rows, whoever counts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from heliostat.data import open_source
from heliostat.spec import Source
from heliostat.vision.classification import Classification
from heliostat.vision.detection import Detection
from heliostat.vision.export import export
from heliostat.vision.gallery import Shown
from heliostat.vision.generation import Generation
from heliostat.vision.generation.nets import dcgan
from heliostat.vision.generation.sampling import rows
from heliostat.vision.mistakes import WrongValue
from heliostat.vision.normalize import pipeline
from heliostat.vision.registered import evaluate_part, evaluation_of, merge
from heliostat.vision.resnet9 import resnet9
from heliostat.vision.segmentation import Segmentation
from heliostat.vision.task import Evaluation, Task
from heliostat.vision.translation import Translation

CLASSES = [str(k) for k in range(10)]
Rows = tuple[Any, Any]


def in_parts(task: Task, ask: Callable[[Any], Any], data: Rows, size: int) -> Evaluation:
    """Evaluate ranges of `size` rows apart, as workers do, and put them together."""
    inputs, targets = data
    whole: Evaluation | None = None
    for at in range(0, len(inputs), size):
        some = None if targets is None else targets[at : at + size]
        part = evaluate_part(task, ask, inputs[at : at + size], some, first=at, total=len(inputs))
        sent: Evaluation = pickle.loads(pickle.dumps(part))
        if whole is None:
            whole = sent
        else:
            merge(whole, sent)
    assert whole is not None
    return whole


def check_alike(one: Evaluation, other: Evaluation, pictures: set[str]) -> None:
    assert one.compute() == other.compute()
    drawn, again = one.pictures(), other.pictures()
    assert drawn.keys() == again.keys() == pictures
    for name, picture in drawn.items():
        assert np.array_equal(np.asarray(picture), np.asarray(again[name])), name


def digits() -> tuple[Tensor, Tensor]:
    """599 digits, uint8 (n, 1, 8, 8), in the order of their classes, and these."""
    found = load_digits()
    order = np.argsort(found.target, kind="stable")[::3]
    images = torch.from_numpy(found.images[order]).to(torch.uint8)[:, None]
    return images, torch.from_numpy(found.target[order])


def nearest_mean(images: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
    flat = images.flatten(1).float()
    means = torch.stack([flat[targets == k].mean(0) for k in range(10)])
    # Coarse, so that many losses are equal: then the first in the data come first.
    return lambda some: (-torch.cdist(some.flatten(1).float(), means) / 8).round().softmax(1)


def test_the_worst_mistakes_and_the_samples_are_of_all_rows_however_they_are_divided() -> None:
    task = Classification(CLASSES)
    data = digits()
    ask = nearest_mean(*data)
    whole = task.evaluation()
    whole.update_outputs(ask(data[0]), data[1], data[0])
    parts = in_parts(task, ask, data, 100)
    check_alike(whole, parts, {"confusion_matrix", "samples", "worst_mistakes"})
    for size in (13, 256):
        others = in_parts(task, ask, data, size)
        assert others.compute() == whole.compute()
        for kept in (worst, shown):
            pairs = zip(kept(others), kept(whole), strict=True)
            assert all(torch.equal(one.image, other.image) for one, other in pairs)
    assert len({sample.target for sample in worst(parts)}) > 5


def worst(evaluation: Any) -> list[Shown]:
    return [bad.shown for bad in evaluation.records]


def shown(evaluation: Any) -> list[Shown]:
    samples: list[Shown] = evaluation.shown.samples()
    return samples


def test_a_segmenters_samples_are_of_all_rows_however_they_are_divided() -> None:
    images, _ = digits()
    truth = [{"mask": (image[0] > 8).to(torch.uint8)} for image in images]

    def ask(some: Tensor) -> Tensor:
        return (some[:, 0] > 6).to(torch.uint8)

    task = Segmentation(["paper", "ink"])
    whole = task.evaluation()
    whole.update_outputs(ask(images), truth, images)
    parts = in_parts(task, ask, (images, truth), 100)
    figures, again = whole.compute(), parts.compute()
    assert figures.pop("loss") != again.pop("loss")  # NaN: a map has none
    assert figures == again
    drawn = [np.asarray(each.pictures()["samples"]) for each in (whole, parts)]
    assert np.array_equal(*drawn)


def test_a_detectors_samples_are_of_all_rows_however_they_are_divided() -> None:
    images = list(digits()[0][:90])
    box = torch.tensor([[1.0, 1.0, 6.0, 7.0]])
    targets = [{"boxes": box + (n % 2), "labels": torch.tensor([n % 2])} for n in range(90)]

    def ask(some: list[Tensor]) -> list[dict[str, Tensor]]:
        shares = [float(image.float().mean()) / 16 for image in some]
        return [
            {"boxes": box, "scores": torch.tensor([share]), "labels": torch.tensor([0])}
            for share in shares
        ]

    task = Detection(["a", "b"])
    whole = task.evaluation()
    whole.update_outputs(ask(images), targets, images)
    parts = in_parts(task, ask, (images, targets), 8)
    check_alike(whole, parts, {"precision_recall", "samples"})


@pytest.fixture
def clothes(shared_data: Path) -> tuple[Tensor, Tensor]:
    """120 held-out images of Fashion-MNIST with their classes."""
    source = Source(uri=str(shared_data / "fashion-mnist"), split="test[:120]")
    inputs, targets = open_source(source).read(np.arange(120))
    return inputs, targets


@pytest.fixture
def features(tmp_path: Path) -> str:
    """The program of an untrained classifier of 1×28×28 images into ten classes."""
    torch.manual_seed(0)
    whole = pipeline(resnet9(10, 1, width=4), (0.3,), (0.35,))
    path = tmp_path / "model.pt2"
    example = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    torch.export.save(export(Classification(CLASSES).predictor(whole), example), path)
    return str(path)


@pytest.mark.parametrize("conditional", [True, False])
def test_a_registered_generator_has_the_figures_and_the_grid_of_training(
    clothes: tuple[Tensor, Tensor], features: str, *, conditional: bool
) -> None:
    torch.manual_seed(1)
    net = dcgan(1, 28, 10 if conditional else None, width=8).eval()
    task = Generation(CLASSES, conditional=conditional, features=features)
    trained = task.evaluation()
    with torch.no_grad():
        trained.update(net, *clothes)
        parts = in_parts(task, task.predictor(net), clothes, 50)
    assert set(parts.compute()) == set(task.metrics)
    assert parts.compute() == pytest.approx(trained.compute(), abs=1e-6)
    check_alike(parts, parts, {"samples"})
    drawn = [np.asarray(each.pictures()["samples"]) for each in (trained, parts)]
    assert np.array_equal(*drawn)


def test_the_kernel_distance_of_many_parts_keeps_no_more_pairs_than_it_is_of(
    clothes: tuple[Tensor, Tensor], features: str
) -> None:
    torch.manual_seed(1)
    predictor = Generation(features=features).predictor(dcgan(1, 28, None, width=8).eval())

    class Few(Generation):
        def registered_evaluation(self) -> Any:
            return type(self.evaluation())(self.conditions, self.features, 20)

    few = Few(features=features)
    with torch.no_grad():
        one = in_parts(few, predictor, (clothes[0], None), 120)
        parts = in_parts(few, predictor, (clothes[0], None), 25)
    assert len(parts.records) <= 40  # type: ignore[attr-defined]
    assert parts.compute() == pytest.approx(one.compute(), abs=1e-9)


def test_a_generator_that_was_trained_without_features_cannot_be_measured() -> None:
    with pytest.raises(WrongValue, match=r"by a classifier's features.*\(task\.args\.features\)"):
        evaluation_of(Generation())


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_a_registered_translator_is_scored_by_true_pairs(direction: Any) -> None:
    images = digits()[0][:24] * 15
    a = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    pairs = torch.stack([a, 255 - a], dim=1)
    task = Translation(("ink", "paper"), direction=direction, paired=True)
    parts = in_parts(task, lambda some: 255 - some, (pairs, None), 5)
    assert parts.compute() == {"l1": 0, "dice": 1}
    black = in_parts(task, torch.zeros_like, (pairs, None), 5)
    truth = 255 - a if direction == "a_to_b" else a
    assert black.compute()["l1"] == pytest.approx(float(truth.double().mean()) / 255)
    assert black.compute()["dice"] == 0
    check_alike(parts, in_parts(task, lambda some: 255 - some, (pairs, None), 24), {"samples"})
    with pytest.raises(WrongValue, match="images of 1×8×16, and the data's are 1×16×16"):
        in_parts(task, lambda some: some[:, :, ::2], (pairs, None), 24)


def test_a_translator_that_was_trained_without_pairs_cannot_be_measured() -> None:
    with pytest.raises(WrongValue, match=r"translates one way.*\(task\.args\.paired\)"):
        evaluation_of(Translation(("A", "B")))


def test_rows_hold_seeds_and_the_classes_that_are_asked_for() -> None:
    seeds = torch.tensor([7, 8])
    assert rows(seeds, None).tolist() == [[7], [8]]
    assert rows(seeds, torch.tensor([1, 0])).tolist() == [[7, 1], [8, 0]]
