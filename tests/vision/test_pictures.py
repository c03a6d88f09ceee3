from __future__ import annotations

import numpy as np
import pytest
import torch

from heliostat.vision.classification import Classification
from heliostat.vision.gallery import Gallery

CLASSES = ["cost $5 or $6", "猫", "a very long name of a class that does not fit", "_", "^2", "\\x"]


def evaluation_of(classes: list[str], inputs: torch.Tensor | None, batch: int = 16):
    evaluation = Classification(classes).evaluation()
    targets = torch.arange(64) % len(classes)
    guesses = torch.where(torch.arange(64) % 8 == 0, (targets + 1) % len(classes), targets)
    outputs = torch.nn.functional.one_hot(guesses, len(classes)).float()
    for at in range(0, 64, batch):
        part = slice(at, at + batch)
        evaluation.update_outputs(
            outputs[part], targets[part], None if inputs is None else inputs[part]
        )
    return evaluation


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 120, 160)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_any_images_and_any_names_of_classes_are_drawn(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    inputs = (torch.rand(64, *shape) * 200).to(dtype)
    drawn = evaluation_of(CLASSES, inputs).pictures()
    assert set(drawn) == {"confusion_matrix", "samples", "worst_mistakes"}
    for picture in drawn.values():
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 10


def test_wrong_samples_are_framed_in_red() -> None:
    inputs = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    pixels = np.asarray(evaluation_of(["a", "b"], inputs).pictures()["samples"]).reshape(-1, 3)
    assert (pixels == (0xC6, 0x28, 0x28)).all(axis=1).sum() > 500


def test_inputs_that_are_no_images_have_no_picture_of_samples() -> None:
    for inputs in (None, torch.rand(64, 5), torch.rand(64, 4, 8, 8)):
        assert set(evaluation_of(["a", "b"], inputs).pictures()) == {"confusion_matrix"}


@pytest.mark.parametrize("count", [21, 120])
def test_many_classes_have_a_picture_of_figures_a_class(count: int) -> None:
    drawn = evaluation_of([f"c{k}" for k in range(count)], None).pictures()
    assert set(drawn) == {"confusion_matrix", "per_class"}


@pytest.mark.parametrize("total", [1, 7, 25, 51, 999])
@pytest.mark.parametrize("batch", [1, 16, 1000])
def test_the_gallery_spreads_over_all_samples_whatever_the_batches(total: int, batch: int) -> None:
    gallery = Gallery(limit=25)
    numbers = torch.arange(total)
    for some in numbers.split(batch):
        gallery.offer(some.float().view(-1, 1, 1, 1), some, some, some / total)
    kept = [sample.target for sample in gallery.samples()]
    assert len(kept) == min(25, total)
    assert kept == sorted(set(kept))
    assert max(np.diff([*kept, total])) <= max(1, total // 8)
    assert all(int(sample.image) == sample.target for sample in gallery.samples())
