from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from heliostat.data import Samples
from heliostat.data.augment import augment, check_augment
from heliostat.spec.augmentations import HorizontalFlip, RandomCrop
from heliostat.spec.problems import InputError

ALL = (RandomCrop(padding=2), HorizontalFlip())


def test_a_samples_pixels_do_not_depend_on_the_batch_it_is_read_in(digits: Samples) -> None:
    indices = np.arange(100)
    images, _ = digits.read(indices)
    whole = augment(images, ALL, 3, 1, indices)
    alone = [augment(images[i : i + 1], ALL, 3, 1, indices[i : i + 1]) for i in range(100)]
    assert torch.equal(whole, torch.cat(alone))
    assert not torch.equal(whole, augment(images, ALL, 3, 2, indices))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_crop_is_a_window_of_the_zero_padded_image_and_all_windows_occur(
    dtype: torch.dtype,
) -> None:
    indices = np.arange(4000)
    images = torch.arange(1, 193).reshape(1, 3, 8, 8).to(dtype).repeat(4000, 1, 1, 1)
    cropped = augment(images, (RandomCrop(padding=1, size=(6, 7)),), 0, 0, indices)
    assert cropped.shape == (4000, 3, 6, 7)
    assert cropped.dtype == dtype
    padded = pad(images, (1, 1, 1, 1))
    windows = {
        (top, left): (padded[:, :, top : top + 6, left : left + 7] == cropped).all((1, 2, 3))
        for top in range(5)
        for left in range(4)
    }
    assert torch.stack(list(windows.values())).any(0).all()
    assert all(150 <= int(found.sum()) <= 250 for found in windows.values())


def test_half_of_the_images_are_mirrored(digits: Samples) -> None:
    indices = np.arange(1000)
    images, _ = digits.read(indices)
    flipped = augment(images, (HorizontalFlip(),), 0, 0, indices)
    mirrored = (flipped == images.flip(-1)).all((1, 2, 3))
    assert (mirrored | (flipped == images).all((1, 2, 3))).all()
    assert 450 < int(mirrored.sum()) < 550


def test_a_crop_larger_than_the_padded_image_is_refused(digits: Samples) -> None:
    with pytest.raises(InputError, match=r"^augment\[1\]: the crop of 16x16 .* at most 8x8"):
        check_augment((HorizontalFlip(), RandomCrop(size=(16, 16))), digits)
