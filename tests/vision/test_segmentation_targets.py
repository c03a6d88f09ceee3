"""What targets may be, and a line for each that they may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from heliostat.vision.mistakes import WrongTargets, WrongValue
from heliostat.vision.segmentation import Segmentation

MASKS = Segmentation(["a", "b", "c"])
OBJECTS = Segmentation(["cat", "dog"], background=True)


def image(height: int, width: int) -> Tensor:
    return tv_tensors.Image(torch.zeros(3, height, width, dtype=torch.uint8))


def mask(rows: Any) -> dict[str, Tensor]:
    return {"mask": tv_tensors.Mask(torch.tensor(rows, dtype=torch.uint8))}


def objects(*outlined: tuple[int, bool, list[list[int]]], size: tuple[int, int] = (3, 4)) -> Any:
    masks = np.array([rows for _, _, rows in outlined], bool).reshape(-1, *size)
    return {
        "labels": torch.tensor([label for label, _, _ in outlined], dtype=torch.int64),
        "crowd": torch.tensor([crowd for _, crowd, _ in outlined], dtype=torch.bool),
        "masks": tv_tensors.Mask(torch.from_numpy(masks)),
    }


def test_masks_come_as_they_are_in_lists_and_in_tensors() -> None:
    images = torch.zeros(2, 3, 2, 2, dtype=torch.uint8)
    rows = [[[0, 1], [2, 255]], [[2, 2], [0, 0]]]
    listed = MASKS.truth(images, [mask(some) for some in rows])
    assert type(listed) is Tensor
    assert (listed.dtype, listed.tolist()) == (torch.int64, rows)
    stacked = torch.tensor(rows)
    assert MASKS.truth(images, stacked).tolist() == rows


def test_smaller_objects_lie_over_larger_ones_and_a_crowd_alone_is_ignored() -> None:
    large_dog = (1, False, [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    small_cat = (0, False, [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    crowd = (0, True, [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    painted = [[2, 1, 2, 255], [2, 1, 2, 255], [0, 0, 0, 0]]
    images = torch.zeros(2, 3, 3, 4, dtype=torch.uint8)
    for order in ((large_dog, small_cat, crowd), (crowd, small_cat, large_dog)):
        truth = OBJECTS.truth(images, [objects(*order), objects()])
        assert truth.tolist() == [painted, [[0] * 4] * 3]
    assert OBJECTS.classes == ("background", "cat", "dog")
    assert "iou/background" in OBJECTS.metrics


@pytest.mark.parametrize(
    ("task", "inputs", "targets", "line"),
    [
        (MASKS, [image(2, 2), image(3, 2)], [mask([[0]])] * 2, "differ in size .2x2 and 3x2, .*"),
        (MASKS, [image(2, 2)], [mask([[0, 1]])], "a mask is 1x2, its image 2x2"),
        (MASKS, [image(1, 2)], [mask([[0, 3]])], "the value 3; 3 classes have 0 to 2, and 255 .*"),
        (MASKS, [image(1, 2)] * 2, [mask([[0, 1]])], "1x2, 1 of them; the images are 1x2, 2 of .*"),
        (MASKS, torch.zeros(2, 3, 2, 2), torch.zeros(2, dtype=torch.int64), "needs a mask .*"),
        (MASKS, torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2), "float32 .* needs a mask .*"),
        (MASKS, [image(2, 2)], None, "None; segmentation needs a mask .*"),
        (MASKS, [image(2, 2)], [{"boxes": torch.zeros(0, 4)}], "boxes without outlines; .*"),
        (MASKS, [image(3, 4)], [objects()], "objects, .*: give task.args {background: true}"),
        (MASKS, {"x": torch.zeros(2)}, None, "inputs are a dict, and not images"),
        (MASKS, torch.zeros(2, 5), torch.zeros(2), r"inputs of shape \(5,\) are no images .*"),
        (OBJECTS, [image(1, 1)], [mask([[0]])], "task.args.background is for .* objects"),
        (OBJECTS, [image(3, 4)], [objects((2, False, [[0] * 4] * 3))], "class is 2; .*"),
        (OBJECTS, [image(9, 9)], [objects()], "a mask is 3x4, its image 9x9"),
    ],
)
def test_what_is_no_map_of_classes_is_refused_in_a_line(
    task: Segmentation, inputs: Any, targets: Any, line: str
) -> None:
    with pytest.raises(WrongTargets, match=line + "$") as refusal:
        task.check_samples(inputs, targets)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("classes", "args", "line"),
    [
        (["cell"], {}, "at least two classes, not 1; .* {background: true}"),
        ([str(k) for k in range(256)], {}, "at most 255 classes, not 256"),
        (["a", "b"], {"dice": -1.0}, "dice is -1.0; it must be a number, 0 or more"),
        (["a", "b"], {"dice": "much"}, "dice is 'much'; it must be a number, 0 or more"),
        (["a", "b"], {"ignore_index": 0.5}, "ignore_index is 0.5, not a whole number"),
        (["a", "b"], {"aux_weight": float("nan")}, "aux_weight is nan; .*"),
        (["a", "b"], {"class_weights": [1.0]}, ".* 2 classes need a list of 2"),
        (["a", "b"], {"class_weights": [1.0, -2.0]}, r"class_weights\[1\] is -2.0; .*"),
        (["a", "b"], {"class_weights": [0.0, 0.0]}, "class_weights are all 0"),
    ],
)
def test_arguments_that_nothing_can_be_learnt_with_are_refused(
    classes: list[str], args: dict[str, Any], line: str
) -> None:
    with pytest.raises(WrongValue, match=line + "$"):
        Segmentation(classes, **args)
