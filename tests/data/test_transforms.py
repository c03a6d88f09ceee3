"""torchvision's transforms by name: the same pixels for a sample wherever it is read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from heliostat.data.transforms import build_transforms, each_sample
from heliostat.spec.problems import InputError
from heliostat.spec.transforms import Transform

IMAGES = torch.arange(6 * 3 * 16 * 16).reshape(6, 3, 16, 16).remainder(251).to(torch.uint8)
JITTER = build_transforms(
    [
        Transform(name="ColorJitter", args={"brightness": 0.5}),
        Transform(name="RandomRotation", args={"degrees": 20}),
    ],
    key=("data", "augment"),
)


def transformed(indices: list[int], *, seed: int = 1, epoch: int = 2) -> torch.Tensor:
    chosen = np.array(indices)
    images, _ = each_sample(JITTER, IMAGES[chosen], None, seed=seed, epoch=epoch, indices=chosen)
    return images


def test_a_samples_pixels_do_not_depend_on_the_batch_that_it_is_read_in() -> None:
    whole = transformed([0, 1, 2, 3, 4, 5])
    assert torch.equal(whole[[4, 1]], transformed([4, 1]))
    assert not torch.equal(whole, IMAGES)


def test_seed_and_epoch_decide_the_pixels() -> None:
    assert torch.equal(transformed([3]), transformed([3]))
    assert not torch.equal(transformed([3]), transformed([3], epoch=3))
    assert not torch.equal(transformed([3]), transformed([3], seed=2))


def test_the_steps_own_randomness_is_left_as_it_was() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    transformed([0, 1])
    assert torch.equal(torch.rand(3), expected)


def test_boxes_and_masks_follow_the_image() -> None:
    flip = build_transforms([Transform(name="RandomHorizontalFlip", args={"p": 1.0})], key=())
    boxes = tv_tensors.BoundingBoxes(
        torch.tensor([[1.0, 2.0, 5.0, 8.0]]), format="XYXY", canvas_size=(16, 16)
    )
    mask = tv_tensors.Mask(torch.zeros(16, 16, dtype=torch.uint8))
    mask[:, :4] = 1
    images, targets = each_sample(
        flip, [IMAGES[0]], [{"boxes": boxes, "mask": mask}], seed=0, epoch=0, indices=np.array([0])
    )
    assert torch.equal(images[0], IMAGES[0].flip(-1))
    assert targets[0]["boxes"].tolist() == [[11.0, 2.0, 15.0, 8.0]]
    assert targets[0]["mask"][0].tolist() == [0] * 12 + [1] * 4


def test_mixup_of_a_whole_batch_gives_shares_of_classes() -> None:
    mix = build_transforms([Transform(name="MixUp", args={"num_classes": 3})], key=())
    inputs, targets = mix(IMAGES.float(), torch.tensor([0, 1, 2, 0, 1, 2]))
    assert inputs.shape == IMAGES.shape
    assert targets.shape == (6, 3)
    assert torch.allclose(targets.sum(1), torch.ones(6))


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        (Transform(name="RandomRotatoin"), "did you mean RandomRotation?"),
        (Transform(name="RandomRotation", args={"degree": 3}), "degrees"),
        (Transform(name="RandomRotation", args={"degrees": -3}), "degrees"),
        (Transform(name="Compose", args={"transforms": []}), "no 'Compose'"),
    ],
)
def test_a_transform_that_torchvision_cannot_make_is_told_in_one_line(
    transform: Transform, told: str
) -> None:
    with pytest.raises(InputError) as raised:
        build_transforms([transform], key=("data", "augment"))
    (problem,) = raised.value.problems
    assert told in f"{problem.message} {problem.valid}"
    assert "\n" not in problem.message


def test_transforms_that_leave_different_shapes_are_refused() -> None:
    crop = build_transforms(
        [Transform(name="RandomResize", args={"min_size": 8, "max_size": 15})], key=()
    )
    with pytest.raises(InputError, match="different shapes"):
        each_sample(crop, IMAGES, None, seed=0, epoch=0, indices=np.arange(6))
