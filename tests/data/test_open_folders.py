from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from heliostat.data import Samples, open_source
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source


def test_a_folder_of_classes_gives_each_files_pixels_and_its_folders_name(
    class_folder: Path, digits: Samples
) -> None:
    train = open_source(Source(uri=str(class_folder), split="train"))
    assert len(train) == 40
    assert train.shape == (1, 8, 8)
    for _ in range(2):  # decoded, then kept
        inputs, targets = train.read(np.arange(40))
        for index in range(40):
            file = Path(train.source(index))
            original = digits.read(np.array([int(file.stem)]))[0][0]
            assert torch.equal(inputs[index], original)
            assert train.classes[int(targets[index])] == file.parent.name


def test_images_are_resized_and_converted_where_asked(class_folder: Path) -> None:
    source = Source(uri=str(class_folder), split="val")
    assert open_source(source, image_size=(12, 16)).read(np.arange(3))[0].shape == (3, 1, 12, 16)
    colour = open_source(source, channels=3).read(np.arange(3))[0]
    grey = open_source(source).read(np.arange(3))[0]
    assert torch.equal(colour, grey.repeat(1, 3, 1, 1))


def test_palettes_become_colours_and_16_bit_greys_keep_their_upper_half(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    Image.fromarray(colours).quantize(2).save(tmp_path / "a.png")
    samples = open_source(Source(uri=str(tmp_path)), labelled=False)
    assert np.array_equal(samples.read(np.array([0]))[0][0].permute(1, 2, 0).numpy(), colours)
    Image.fromarray(np.array([[0, 65535, 0x1234]], np.uint16)).save(tmp_path / "a.png")
    samples = open_source(Source(uri=str(tmp_path)), labelled=False)
    assert samples.read(np.array([0]))[0].flatten().tolist() == [0, 255, 0x12]


def test_photos_of_many_sizes_need_an_image_size(shared_data: Path) -> None:
    source = Source(uri=str(shared_data / "raccoon" / "images"))
    with pytest.raises(InputError, match=r"uri: images differ in size \(\d+x\d+, .*…\); set data"):
        open_source(source, labelled=False)
    photos = open_source(source, image_size=(48, 64), labelled=False)
    assert photos.shape == (3, 48, 64)
    inputs, targets = photos.read(np.arange(20))
    assert targets is None
    for index in (0, 13):
        with Image.open(photos.source(index)) as image:
            exact = np.asarray(image.convert("RGB").resize((64, 48), Image.Resampling.BILINEAR))
        difference = inputs[index].permute(1, 2, 0).numpy().astype(int) - exact
        assert np.abs(difference).mean() < 2


def test_prediction_reads_every_image_and_says_which_cannot_be_read(class_folder: Path) -> None:
    (class_folder / "train" / "digit-0" / "broken.png").write_bytes(b"\x89PNG\r\n")
    samples = open_source(Source(uri=str(class_folder)), labelled=False)
    assert len(samples) == 61
    results = samples.read_each(np.arange(61))
    failed = [i for i, result in enumerate(results) if isinstance(result, Exception)]
    assert [Path(samples.source(i)).name for i in failed] == ["broken.png"]
    assert {tuple(r.shape) for r in results if isinstance(r, torch.Tensor)} == {(1, 8, 8)}
    with pytest.raises(InputError, match=r"broken.png cannot be read"):
        open_source(Source(uri=str(class_folder), split="train"))


def test_a_fingerprint_is_of_the_content_and_not_of_the_place(
    class_folder: Path, tmp_path: Path
) -> None:
    def fingerprint(folder: Path) -> str:
        return open_source(Source(uri=str(folder), split="train")).fingerprint

    moved = shutil.copytree(class_folder, tmp_path / "moved")
    assert fingerprint(moved) == fingerprint(class_folder)
    first, second = sorted(moved.rglob("train/*/*.png"))[:2]
    first.write_bytes(second.read_bytes())
    assert fingerprint(moved) != fingerprint(class_folder)


def test_a_mistake_about_a_folder_is_one_line(class_folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "text.txt").write_text("no image")
    flat = class_folder / "val" / "digit-1"
    wrong = [
        (Source(uri=str(tmp_path / "absent")), "uri: .*absent does not exist"),
        (Source(uri=str(empty)), "uri: .*empty holds no images; .bmp"),
        (Source(uri=str(flat)), "uri: the images in .* have no labels; one folder"),
        (Source(uri=str(class_folder)), "split: several splits, and none is named; train \\| val"),
        (Source(uri=str(class_folder), split="test"), "split: no split 'test' here; train \\| val"),
        (Source(uri=str(class_folder / "val"), split="val"), "split: no split 'val' here: .*all"),
        (Source(uri=str(class_folder), split="val[:1%]"), "split: the slice is empty: .* 20 samp"),
        (Source(uri=str(tmp_path / "text.txt")), "uri: .*text.txt is in no format that is read"),
        (Source(uri="gs://bucket/set"), "uri: 'gs://bucket/set' is not a source that is read"),
        (Source(uri="torchvision:CIFAR11"), "uri: unknown data set .*torchvision:CIFAR10 "),
    ]
    for source, message in wrong:
        with pytest.raises(InputError, match=f"^{message}") as caught:
            open_source(source)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_said_to_be_so(class_folder: Path) -> None:
    closed = class_folder / "train" / "digit-0"
    closed.chmod(0)
    with pytest.raises(InputError, match=f"uri: no permission to read {closed}"):
        open_source(Source(uri=str(class_folder), split="train"))
    closed.chmod(0o755)
