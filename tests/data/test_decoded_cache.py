from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from heliostat.data.crops import Windows
from heliostat.data.decoded_cache import CacheSettings, DecodedCache
from heliostat.data.images import EncodedImages, Files
from heliostat.spec.augmentations import RandomResizedCrop
from heliostat.spec.problems import InputError

CROP = RandomResizedCrop(size=(64, 64))
SHAPES = np.array([[4, 5, 3], [2, 2, 3], [7, 1, 3]])


@pytest.fixture
def photos(shared_data: Path, tmp_path: Path) -> EncodedImages:
    """Ten photos of different sizes, files of the test's own."""
    paths = sorted((shared_data / "raccoon" / "images").glob("*.jpg"))[:10]
    copies = [Path(shutil.copy(path, tmp_path)) for path in paths]
    return EncodedImages(
        "photos", Files(copies), classes=("a",), labels=np.zeros(10, np.int64), shape=(3, 64, 64)
    )


def test_an_image_put_by_one_process_is_there_for_another(tmp_path: Path) -> None:
    images = [np.full(shape, 7 * number, np.uint8) for number, shape in enumerate(SHAPES.tolist())]
    one, other = (DecodedCache.in_folder(tmp_path, SHAPES) for _ in range(2))
    assert one[2] is None
    one.put(2, images[2])
    one.put(0, images[0])
    assert other[1] is None
    assert np.array_equal(other[2], images[2])
    assert np.array_equal(other[0], images[0])
    assert other.missing(np.array([0, 1, 1, 2])).tolist() == [1]


def test_a_whole_cache_outlives_a_reboot_and_a_part_of_one_does_not(tmp_path: Path) -> None:
    part = DecodedCache.in_folder(tmp_path, SHAPES)
    part.put(0, np.ones((4, 5, 3), np.uint8))
    (running,) = tmp_path.glob("partial-*")
    running.rename(tmp_path / "partial-another-boot.u8")
    again = DecodedCache.in_folder(tmp_path, SHAPES)
    assert again[0] is None
    for number, shape in enumerate(SHAPES.tolist()):
        again.put(number, np.full(shape, number, np.uint8))
    DecodedCache.in_folder(tmp_path, SHAPES)
    assert [path.name for path in tmp_path.iterdir()] == ["images.u8"]
    last = DecodedCache.in_folder(tmp_path, SHAPES)[2]
    assert last is not None
    assert (last == 2).all()


def test_an_image_of_another_size_than_its_header_says_overwrites_no_other(tmp_path: Path) -> None:
    cache = DecodedCache.in_folder(tmp_path, SHAPES)
    with pytest.raises(ValueError, match="not the size"):
        cache.put(1, np.zeros((9, 9, 3), np.uint8))


def test_a_cache_larger_than_the_disk_is_refused_before_anything_is_decoded(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match=r"^cache: .* it needs .* GiB, and .* are free; a smaller"):
        DecodedCache.in_folder(tmp_path, np.array([[10**6, 10**6, 3]] * 100))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_is_one_line(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    pixels, there = np.zeros(12, np.uint8), np.zeros(1, np.uint8)
    cache = DecodedCache(np.array([[2, 2, 3]]), pixels, there, os.open(full, os.O_RDWR))
    with pytest.raises(InputError, match=os.strerror(errno.ENOSPC)):
        cache.put(0, np.ones((2, 2, 3), np.uint8))
    assert cache[0] is None


@pytest.mark.parametrize("short_side", [None, 100])
def test_later_epochs_cut_the_same_windows_from_the_cache(
    photos: EncodedImages, helio_home: Path, short_side: int | None
) -> None:
    indices = np.arange(10)
    windows = Windows.of(CROP, 1, indices)
    kept = photos.decoded_by("simplejpeg", CacheSettings(short_side))
    first, _ = kept.read_windows(indices, windows)
    for path in photos._store.paths:  # type: ignore[attr-defined]
        os.truncate(path, 0)
    again, _ = kept.read_windows(indices, windows)
    assert torch.equal(first, again)
    assert len(list((helio_home / "cache" / "decoded").iterdir())) == 1


def test_the_cache_changes_pixels_by_little_and_only_by_its_scale(
    photos: EncodedImages, helio_home: Path
) -> None:
    indices = np.arange(10)
    windows = Windows.of(CROP, 1, indices)

    def off(first: EncodedImages, second: EncodedImages) -> float:
        pair = [samples.read_windows(indices, windows)[0].float() for samples in (first, second)]
        return float((pair[0] - pair[1]).abs().mean())

    whole = photos.decoded_by("simplejpeg", CacheSettings())
    assert off(photos, whole) < 4
    assert off(whole, photos.decoded_by("pillow", CacheSettings())) == 0
    assert off(whole, photos.decoded_by("simplejpeg", CacheSettings(short_side=128))) < 8


def test_a_changed_file_has_another_cache(photos: EncodedImages, helio_home: Path) -> None:
    first, second = photos._store.paths[:2]  # type: ignore[attr-defined]
    photos.decoded_by("simplejpeg", CacheSettings()).read(np.arange(2))
    shutil.copy(second, first)
    inputs, _ = photos.decoded_by("simplejpeg", CacheSettings()).read(np.arange(2))
    assert torch.equal(inputs[0], inputs[1])
