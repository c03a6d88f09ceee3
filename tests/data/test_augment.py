from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from heliostat.data import Samples, TrainBatches
from heliostat.data.augment import augment, check_augment
from heliostat.data.crops import Windows
from heliostat.data.images import EncodedImages, Files
from heliostat.spec.augmentations import HorizontalFlip, RandomCrop, RandomResizedCrop
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


def test_windows_have_areas_and_shapes_as_asked_lie_inside_and_differ_by_sample_and_epoch() -> None:
    step = RandomResizedCrop(size=(8, 8), scale=(0.2, 0.5), ratio=(0.5, 2.0))
    indices = np.arange(2000)
    windows = Windows.of(step, 5, indices)
    found = np.array([windows.window(place, 300, 400) for place in range(2000)])
    top, left, height, width = found.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 300).all()
    assert (left + width <= 400).all()
    area, ratio = height * width / (300 * 400), width / height
    assert (area.min(), area.max()) == pytest.approx((0.2, 0.5), abs=0.01)
    assert 0.49 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.02
    assert area.mean() == pytest.approx(0.35, abs=0.01)
    assert len(np.unique(found, axis=0)) > 1990
    alone = Windows.of(step, 5, indices[700:701]).window(0, 300, 400)
    assert alone == tuple(found[700].tolist())
    assert Windows.of(step, 6, indices).window(700, 300, 400) != alone


def test_an_image_that_no_window_fits_gives_the_largest_in_its_middle() -> None:
    step = RandomResizedCrop(size=(8, 8), scale=(1.0, 1.0))
    windows = Windows.of(step, 0, np.arange(1))
    assert windows.window(0, 100, 1000) == (0, 433, 100, 133)
    assert windows.window(0, 1000, 100) == (433, 0, 133, 100)
    assert windows.window(0, 1, 50) == (0, 24, 1, 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
def test_arrays_are_cropped_and_resized_as_files_are(digits: Samples, dtype: torch.dtype) -> None:
    step = RandomResizedCrop(size=(8, 8), scale=(1.0, 1.0), ratio=(1.0, 1.0))
    images = digits.read(np.arange(20))[0].to(dtype)
    assert torch.equal(augment(images, (step,), 0, 0, np.arange(20)), images)
    larger = augment(images, (RandomResizedCrop(size=(16, 12)),), 0, 0, np.arange(20))
    assert larger.shape == (20, 1, 16, 12)
    assert larger.dtype == dtype


def test_training_batches_of_files_of_any_size_have_the_crops_size_on_every_rank(
    shared_data: Path,
) -> None:
    paths = sorted((shared_data / "raccoon" / "images").glob("*.jpg"))[:12]
    samples = EncodedImages(
        "photos", Files(paths), classes=("a",), labels=np.zeros(12, np.int64), shape=(3, 32, 32)
    )
    steps = (RandomResizedCrop(size=(40, 48)), HorizontalFlip())
    check_augment(steps, samples)

    def epoch(rank: int, ranks: int) -> torch.Tensor:
        batches = TrainBatches(
            samples, batch_size=6, seed=3, rank=rank, world_size=ranks, augment=steps
        )
        return torch.stack([batch.inputs for batch in batches.epoch(1)])

    whole = epoch(0, 1)
    assert whole.shape == (2, 6, 3, 40, 48)
    assert torch.equal(whole, torch.cat([epoch(0, 2), epoch(1, 2)], dim=1))


def test_a_random_resized_crop_comes_first(digits: Samples) -> None:
    with pytest.raises(InputError, match=r"^augment\[1\]: .* the first of data.augment"):
        check_augment((HorizontalFlip(), RandomResizedCrop(size=(8, 8))), digits)
