from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco
from torchvision import tv_tensors

from heliostat.data import Samples, open_source
from heliostat.data.annotated import Annotated
from heliostat.data.formats import open_listing
from heliostat.data.listed import open_listed
from heliostat.data.records import Listing, Objects, Record, Rle
from heliostat.data.writing import import_dataset
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source

SQUARE = ((10.0, 5.0, 30.0, 5.0, 30.0, 15.0, 10.0, 15.0),)
"""Left 10, top 5, right 30, bottom 15."""


def encoded(pixels: Any, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def photo(number: int, height: int = 20, width: int = 40) -> bytes:
    noise = np.random.default_rng(number)
    return encoded(noise.integers(0, 256, (height, width, 3), np.uint8))


def objects(outlined: bool = True) -> Objects:
    inside = np.zeros((20, 40), np.uint8, order="F")
    inside[0:10, 20:40] = 1
    rle = Rle((20, 40), coco.encode(inside)["counts"])
    return Objects(
        np.array([[10, 5, 30, 15], [20, 0, 40, 10]], np.float32),
        np.array([1, 0]),
        np.array([False, True]),
        (SQUARE, rle) if outlined else (),
    )


def listing(*records: Record, kind: Any = "objects") -> Listing:
    return Listing("made", kind, ("cat", "dog"), {"train": records})


@pytest.fixture(params=["as it lies", "imported"])
def way(request: pytest.FixtureRequest, tmp_path: Path, helio_home: Path) -> Any:
    """Return a function that opens a listing's train split: as it lies, or after an import."""

    def opened(listing: Listing, **settings: Any) -> Annotated:
        samples: Samples
        if request.param == "as it lies":
            samples = open_listed("made", listing, "train", **settings)
        else:
            import_dataset(listing, str(tmp_path / "set"), replace=True)
            samples = open_source(
                Source(uri=str(tmp_path / "set"), split="train"),
                image_size=settings.get("size"),
            )
        assert isinstance(samples, Annotated)
        return samples

    return opened


def test_objects_come_as_boxes_classes_crowds_and_masks(way: Any) -> None:
    samples = way(listing(Record(photo(0), "0.png", objects=objects())))
    (image,), (target,) = samples.read(np.array([0]))
    assert isinstance(image, tv_tensors.Image)
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 20, 40))
    assert np.array_equal(image.permute(1, 2, 0), np.asarray(Image.open(io.BytesIO(photo(0)))))
    assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
    assert target["boxes"].canvas_size == (20, 40)
    assert target["boxes"].tolist() == [[10, 5, 30, 15], [20, 0, 40, 10]]
    assert target["labels"].tolist() == [1, 0]
    assert target["crowd"].tolist() == [False, True]
    assert isinstance(target["masks"], tv_tensors.Mask)
    assert (target["masks"].dtype, tuple(target["masks"].shape)) == (torch.bool, (2, 20, 40))
    for mask, (left, top, right, bottom) in zip(
        target["masks"], [(10, 5, 30, 15), (20, 0, 40, 10)], strict=True
    ):
        assert mask[top:bottom, left:right].all()
        assert mask.sum() == (bottom - top) * (right - left)


def test_boxes_and_masks_follow_an_image_that_is_resized(way: Any) -> None:
    samples = way(listing(Record(photo(0), "0.png", objects=objects())), size=(40, 20))
    (image,), (target,) = samples.read(np.array([0]))
    assert tuple(image.shape) == (3, 40, 20)
    assert target["boxes"].tolist() == [[5, 10, 15, 30], [10, 0, 20, 20]]
    assert target["boxes"].canvas_size == (40, 20)
    for mask, (left, top, right, bottom) in zip(
        target["masks"], target["boxes"].int().tolist(), strict=True
    ):
        assert mask[top:bottom, left:right].all()
        assert mask.sum() == (bottom - top) * (right - left)


def test_images_keep_their_sizes_and_one_without_objects_has_none(way: Any) -> None:
    nothing = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    samples = way(
        listing(
            Record(photo(0), "0.png", objects=objects(outlined=False)),
            Record(photo(1, 8, 6), "1.png", objects=nothing),
        )
    )
    images, targets = samples.read(np.array([1, 0]))
    assert [tuple(image.shape) for image in images] == [(3, 8, 6), (3, 20, 40)]
    assert tuple(targets[0]["boxes"].shape) == (0, 4)
    assert tuple(targets[0]["masks"].shape) == (0, 8, 6)
    assert "masks" not in targets[1]
    assert samples.take(np.array([1])).read(np.array([0]))[0][0].shape == images[0].shape
    assert samples.take(np.array([1])).fingerprint != samples.fingerprint


def test_a_mask_comes_as_the_classes_of_its_pixels(way: Any) -> None:
    values = np.zeros((20, 40), np.uint8)
    values[:10], values[10:, 30:] = 1, 255
    samples = way(listing(Record(photo(0), "0.png", mask=encoded(values)), kind="masks"))
    _, (target,) = samples.read(np.array([0]))
    assert isinstance(target["mask"], tv_tensors.Mask)
    assert target["mask"].dtype == torch.uint8
    assert np.array_equal(target["mask"], values)


def test_a_resized_mask_holds_no_value_that_was_not_there(way: Any) -> None:
    values = np.zeros((20, 40), np.uint8)
    values[:10], values[10:, 30:] = 1, 255
    records = Record(photo(0), "0.png", mask=encoded(values))
    samples = way(listing(records, kind="masks"), size=(7, 9))
    _, (target,) = samples.read(np.array([0]))
    assert tuple(target["mask"].shape) == (7, 9)
    assert set(target["mask"].unique().tolist()) == {0, 1, 255}


def test_what_cannot_be_read_names_its_sample(way: Any) -> None:
    small = encoded(np.zeros((3, 3), np.uint8))
    wrong = Objects(objects().boxes, objects().classes, objects().crowd, (SQUARE, Rle((9, 9), b"")))
    for record, kind, message in (
        (Record(b"x", "0.png", objects=objects()), "objects", r"cannot be read as an image: "),
        (Record(photo(0), "0.png", mask=b"x"), "masks", r": its annotation cannot be read: "),
        (Record(photo(0), "0.png", mask=small), "masks", r": a mask is 3x3 .*, the image 20x40"),
        (Record(photo(0), "0.png", objects=wrong), "objects", r": a mask is 9x9 .*, the image"),
    ):
        samples = way(listing(record, kind=kind))
        with pytest.raises(InputError, match=message) as caught:
            samples.read(np.array([0]))
        assert samples.source(0) in str(caught.value)
        assert isinstance(samples.read_each(np.array([0]))[0], InputError)


@pytest.mark.parametrize("name", ["raccoon", "bccd"])
def test_real_photos_with_boxes_are_the_same_named_directly_and_imported(
    name: str, shared_data: Path, tmp_path: Path, helio_home: Path
) -> None:
    folder = shared_data / name if name == "raccoon" else shared_data / "bccd" / "BCCD"
    found = open_listing(folder)
    few = {split: records[:4] for split, records in found.splits.items()}
    import_dataset(Listing(found.format, found.kind, found.classes, few), str(tmp_path / "set"))
    split = next(iter(few))
    there, imported = (
        open_source(Source(uri=str(uri), split=split)) for uri in (folder, tmp_path / "set")
    )
    pairs = [zip(*samples.read(np.arange(4)), strict=True) for samples in (there, imported)]
    for a, b in zip(*pairs, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1]["boxes"], b[1]["boxes"])
        assert len(a[1]["labels"]) > 0
    assert there.source(0).endswith((".jpg", ".png"))
    assert Path(there.source(0)).is_file()
