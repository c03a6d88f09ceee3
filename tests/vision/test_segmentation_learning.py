"""Real membranes: learnt, counted and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from heliostat.data import open_source
from heliostat.spec import Source
from heliostat.vision import models
from heliostat.vision.segmentation import CATALOGUE, Segmentation
from heliostat.vision.segmentation.pictures import Segmented, samples

pytestmark = pytest.mark.usefixtures("one_thread")


def membranes(shared_data: Path, count: int, size: int) -> tuple[list[Tensor], Any, Segmentation]:
    source = Source(uri=str(shared_data / "isbi-em-membrane"), split=f"train[:{count}]")
    opened = open_source(source, image_size=(size, size), channels=1)
    images, targets = opened.read(np.arange(count))
    return images, targets, Segmentation(opened.classes, dice=0.5)


def test_a_unet_learns_a_batch_of_membranes(shared_data: Path) -> None:
    torch.manual_seed(0)
    images, targets, task = membranes(shared_data, 2, 96)
    task.check_samples(images, targets)
    net = models.build(
        "unet", {"base": 8, "depth": 3}, num_classes=2, in_channels=1, catalogue=CATALOGUE
    )
    model = task.assemble(net, (0.5,), (0.2,)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(50):
        optimizer.zero_grad()
        losses = task.loss(model, images, targets)
        torch.stack(list(losses.values())).sum(dim=0).mean().backward()
        optimizer.step()
    evaluation = task.evaluation()
    with torch.no_grad():
        evaluation.update(model.eval(), images, targets)
    figures = evaluation.compute()
    assert figures["dice/0"] > 0.9
    assert figures["pixel_accuracy"] > 0.95
    drawn = evaluation.pictures()
    assert set(drawn) == {"confusion_matrix", "samples"}
    for picture in drawn.values():
        assert 200 < min(picture.size) <= max(picture.size) < 2000


@pytest.mark.parametrize(("total", "batch"), [(3, 3), (40, 7)])
def test_a_handful_of_samples_is_drawn_whatever_their_number(
    shared_data: Path, total: int, batch: int
) -> None:
    images, targets, task = membranes(shared_data, 3, 32)
    evaluation = task.evaluation()
    for start in range(0, total, batch):
        which = [number % 3 for number in range(start, min(start + batch, total))]
        maps = torch.stack([targets[k]["mask"] for k in which])
        evaluation.update_outputs(maps, [targets[k] for k in which], [images[k] for k in which])
    assert evaluation.compute()["mean_iou"] == 1
    width, height = evaluation.pictures()["samples"].size
    assert 700 < width < 1000
    assert height / min(total, 6) == pytest.approx(width / 3, rel=0.4)


def test_a_background_has_no_colour_and_what_is_ignored_is_pale() -> None:
    black = torch.zeros(3, 60, 60, dtype=torch.uint8)
    truth = torch.zeros(60, 60, dtype=torch.uint8)
    truth[:20], truth[20:40] = 1, 255
    shown = [Segmented(black, truth, torch.zeros_like(truth))]
    named = samples(shown, ["background", "cat"])
    assert share(named, (0, 0, 0)) > share(samples(shown, ["sky", "cat"]), (0, 0, 0)) + 0.2
    assert share(named, (178, 178, 178)) > 0.05


@pytest.mark.parametrize("classes", [2, 15, 200])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_any_number_of_classes_is_drawn(classes: int, dtype: torch.dtype) -> None:
    image = (torch.rand(1, 40, 80) * 200).to(dtype)
    maps = torch.arange(40 * 80).view(40, 80) % classes
    drawn = samples([Segmented(image, maps, maps.flip(0))] * 2, [f"c{k}$" for k in range(classes)])
    assert drawn.mode == "RGB"
    assert max(drawn.size) < 1500


def share(picture: Image.Image, colour: tuple[int, int, int]) -> float:
    pixels = np.asarray(picture).astype(int)
    return float((np.abs(pixels - colour).max(axis=2) <= 2).mean())
