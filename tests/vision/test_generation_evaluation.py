"""Generated images are measured by a classifier's features, and drawn."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from heliostat.data import open_source
from heliostat.spec import Source
from heliostat.vision.classification import Classification
from heliostat.vision.export import export
from heliostat.vision.generation import Generation
from heliostat.vision.generation.evaluation import GenerationEvaluation
from heliostat.vision.generation.features import Features
from heliostat.vision.generation.nets import Dcgan, dcgan
from heliostat.vision.mistakes import WrongValue
from heliostat.vision.normalize import pipeline
from heliostat.vision.resnet9 import resnet9

CLASSES = tuple("abcdefghij")


@pytest.fixture
def clothes(shared_data: Path) -> tuple[Tensor, Tensor]:
    """200 held-out images of Fashion-MNIST with their classes."""
    source = Source(uri=str(shared_data / "fashion-mnist"), split="test[:200]")
    inputs, targets = open_source(source).read(np.arange(200))
    return inputs, targets


@pytest.fixture
def classifier(tmp_path: Path) -> tuple[nn.Module, str]:
    """An untrained classifier of 1×28×28 images into ten classes, and its program's path."""
    torch.manual_seed(0)
    whole = pipeline(resnet9(10, 1, width=4), (0.3,), (0.35,))
    path = tmp_path / "model.pt2"
    predictor = Classification(CLASSES).predictor(whole)
    example = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    torch.export.save(export(predictor, example), path)
    return whole.eval(), str(path)


@pytest.fixture
def net() -> Dcgan:
    torch.manual_seed(1)
    return dcgan(1, 28, 10, width=8).eval()


def evaluated(
    task: Generation,
    net: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    sizes: list[int],
    kernel_samples: int = 2000,
) -> GenerationEvaluation:
    whole = GenerationEvaluation(task.conditions, task.features, kernel_samples)
    with torch.no_grad():
        for some, theirs in zip(
            torch.split(inputs, sizes), torch.split(targets, sizes), strict=True
        ):
            whole.update(net, some, theirs)
    return whole


def test_features_are_what_goes_into_the_last_linear_layer(
    clothes: tuple[Tensor, Tensor], classifier: tuple[nn.Module, str]
) -> None:
    whole, path = classifier
    features = Features(path)
    found, outputs = features(clothes[0])
    expected: list[Tensor] = []
    head = whole.get_submodule("net.head")
    head.register_forward_hook(lambda layer, given, logits: expected.extend(given))
    with torch.no_grad():
        logits = whole(clothes[0])
    assert (features.width, features.outputs) == (32, 10)
    torch.testing.assert_close(found, expected[0])
    torch.testing.assert_close(outputs, logits.softmax(1))


def test_a_program_that_takes_other_images_or_is_no_classifier_is_refused(
    classifier: tuple[nn.Module, str], tmp_path: Path
) -> None:
    task = Generation(CLASSES, features=classifier[1])
    task.check_samples(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), None)
    with pytest.raises(WrongValue, match="uint8 of 1×28×28, and the data's images are.*3×32×32"):
        task.check_samples(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), None)
    other = tmp_path / "other.pt2"
    torch.export.save(export(nn.ReLU(), torch.zeros(2, 3)), other)
    with pytest.raises(WrongValue, match="is not a classifier with a linear layer at its end"):
        Generation(features=str(other))
    other.write_bytes(b"nothing")
    with pytest.raises(WrongValue, match=r"other\.pt2 is no exported program"):
        Generation(features=str(other))


def test_metrics_are_named_before_training_by_what_the_classifier_knows(
    classifier: tuple[nn.Module, str],
) -> None:
    distances = ("frechet_distance", "kernel_distance")
    assert Generation(CLASSES, conditional=True).metrics == ()
    assert Generation(CLASSES, features=classifier[1]).metrics == distances
    by_class = Generation(CLASSES, conditional=True, features=classifier[1])
    assert by_class.metrics == (*distances, "class_accuracy")
    of_three = Generation(CLASSES[:3], conditional=True, features=classifier[1])
    assert of_three.metrics == distances


def test_compute_gives_the_names_that_the_task_promises(
    clothes: tuple[Tensor, Tensor], classifier: tuple[nn.Module, str], net: Dcgan
) -> None:
    for conditional in (False, True):
        for features in (None, classifier[1]):
            task = Generation(CLASSES, conditional=conditional, features=features)
            task.assemble(dcgan(1, 28, 10, width=4), None, None)
            found = evaluated(task, net, *clothes, [200]) if conditional else task.evaluation()
            assert tuple(found.compute()) == task.metrics


def test_the_figures_are_those_of_the_images_themselves(
    clothes: tuple[Tensor, Tensor], classifier: tuple[nn.Module, str]
) -> None:
    task = Generation(CLASSES, conditional=True, features=classifier[1])
    inputs, targets = clothes
    perfect = task.evaluation()
    perfect.update_outputs(inputs.numpy(), targets.numpy(), inputs.numpy())
    with torch.no_grad():
        found = classifier[0](inputs).argmax(1)
    figures = perfect.compute()
    assert figures["frechet_distance"] == pytest.approx(0, abs=1e-6)
    # Equal pairs: what the unbiased estimate leaves out of the diagonal is below 0.
    assert figures["kernel_distance"] <= 0
    assert figures["class_accuracy"] == float((found == targets).double().mean())
    inverted = task.evaluation()
    inverted.update_outputs(255 - inputs, targets, inputs)
    worse = inverted.compute()
    assert worse["frechet_distance"] > 0.01
    assert worse["kernel_distance"] > figures["kernel_distance"]


@pytest.mark.parametrize("limit", [2000, 60])
def test_ranks_add_up_to_the_metrics_of_one_process(
    clothes: tuple[Tensor, Tensor],
    classifier: tuple[nn.Module, str],
    net: Dcgan,
    limit: int,
) -> None:
    """Also where the kernel distance is of a part of the images only."""
    task = Generation(CLASSES, conditional=True, features=classifier[1])
    inputs, targets = clothes
    one = evaluated(task, net, inputs, targets, [50] * 4, limit)
    ranks = [
        evaluated(task, net, inputs[:150], targets[:150], [50] * 3, limit),
        evaluated(task, net, inputs[150:], targets[150:], [50], limit),
    ]
    merged = GenerationEvaluation(task.conditions, task.features, limit)
    for name, total in merged.state().items():
        for rank in ranks:
            total += rank.state()[name]
    merged.records = list(chain.from_iterable(rank.records for rank in ranks))
    assert len(one.records) <= 2 * limit
    assert merged.compute() == one.compute()


def test_the_grid_has_a_row_for_each_class_and_is_the_same_at_every_evaluation(
    clothes: tuple[Tensor, Tensor], net: Dcgan
) -> None:
    task = Generation(CLASSES, conditional=True)
    inputs, targets = clothes
    net.train()  # an untrained network's images are plain grey by BatchNorm's running statistics
    first = evaluated(task, net, inputs[:8], targets[:8], [8]).pictures()["samples"]
    again = evaluated(task, net, inputs[8:], targets[8:], [192]).pictures()["samples"]
    assert np.array_equal(np.asarray(first), np.asarray(again))
    assert task.evaluation().pictures() == {}
    net.forget_classes()
    plain = evaluated(Generation(), net, inputs[:8], targets[:8], [8]).pictures()["samples"]
    assert plain.height < first.height
    assert len(np.unique(np.asarray(plain))) > 20
