"""A class a pixel, two domains, and images alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heliostat.data.formats import open_listing
from heliostat.data.records import IGNORED, Record


def test_masks_of_0_and_255_are_two_classes(shared_data: Path) -> None:
    folder = shared_data / "isbi-em-membrane" / "data" / "membrane"
    listing = open_listing(folder)
    assert (listing.format, listing.kind, listing.classes) == ("masks", "masks", ("0", "255"))
    assert {split: len(part) for split, part in listing.splits.items()} == {"train": 30}
    for record in listing.splits["train"][:5]:
        name = Path(record.name).name
        assert record.image == folder / "train" / "image" / name
        with Image.open(folder / "train" / "label" / name) as image:
            assert np.array_equal(mask(record), np.asarray(image) // 255)


@pytest.mark.parametrize(
    "layout",
    ["images/{split}/{name}|masks/{split}/{name}", "{split}/img/{name}|{split}/labels/{name}"],
)
def test_other_values_are_the_classes_and_255_is_ignored(tmp_path: Path, layout: str) -> None:
    values = {"train": [[0, 3], [255, 1]], "val": [[5, 5], [0, 0]]}
    for split, rows in values.items():
        image, label = (
            tmp_path / path.format(split=split, name="a.png") for path in layout.split("|")
        )
        save(image, [[1, 2], [3, 4]])
        save(label, rows)
    listing = open_listing(tmp_path)
    assert listing.classes == tuple("012345")
    assert {s: mask(part[0]).tolist() for s, part in listing.splits.items()} == values
    (tmp_path / "classes.txt").write_text("sky\nroad\n\ncar\n")
    assert open_listing(tmp_path).classes == ("sky", "road", "car")


def test_vocs_palette_gives_the_numbers_of_its_colours(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "bccd" / "BCCD"
    write_voc_masks(source, tmp_path, "train.txt", ["BloodImage_00001", "BloodImage_00003"])
    listing = open_listing(tmp_path)
    assert (listing.format, listing.classes) == ("voc_masks", tuple("0123"))
    first, second = listing.splits["train"]
    assert first.name == "JPEGImages/BloodImage_00001.jpg"
    assert mask(first)[:2, :4].tolist() == [[0, 1, 2, 3], [IGNORED] * 4]
    assert mask(second).shape == (480, 640)
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "BloodImage_00001.xml").write_text(
        "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
        "<xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>"
    )
    assert open_listing(tmp_path, "voc_masks").classes[:3] == ("background", "aeroplane", "bicycle")


@pytest.mark.parametrize("names", [("trainA", "trainB", "testA", "testB"), ("A", "B")])
def test_two_unpaired_folders_are_two_domains(
    shared_data: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    photos = sorted((shared_data / "raccoon" / "images").iterdir())
    for number, name in enumerate(names):
        (tmp_path / name).mkdir()
        for photo in photos[number * 5 : number * 5 + 3 + number]:
            (tmp_path / name / photo.name).symlink_to(photo)
    listing = open_listing(tmp_path)
    assert (listing.format, listing.kind, listing.classes) == ("domains", "domains", ("A", "B"))
    labels = {split: [record.label for record in part] for split, part in listing.splits.items()}
    first = [0, 0, 0, 1, 1, 1, 1]
    assert labels == (
        {"all": first} if len(names) == 2 else {"train": first, "test": [0] * 5 + [1] * 6}
    )


def test_images_alone_have_no_annotation(shared_data: Path) -> None:
    listing = open_listing(shared_data / "isbi-em-membrane" / "data" / "membrane" / "test")
    assert (listing.format, listing.kind, listing.classes) == ("images", "images", ())
    every = listing.splits["all"]
    assert len(every) == 30
    assert {(r.label, r.objects, r.mask) for r in every} == {(None, None, None)}


def test_a_format_can_be_named_where_several_fit(shared_data: Path) -> None:
    listing = open_listing(shared_data / "raccoon", "images")
    assert (listing.format, len(listing.splits["all"])) == ("images", 200)
    assert listing.splits["all"][0].name == "images/raccoon-1.jpg"


def write_voc_masks(source: Path, folder: Path, set_: str, names: list[str]) -> None:
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for name in names:
        photo = source / "JPEGImages" / f"{name}.jpg"
        (folder / "JPEGImages" / photo.name).symlink_to(photo)
        pixels = np.zeros((480, 640), np.uint8)
        pixels[:2, :4] = [[0, 1, 2, 3], [255] * 4]
        image = Image.fromarray(pixels).convert("P")
        image.putpalette([value for n in range(256) for value in (255 - n, n, 7)])
        image.save(folder / "SegmentationClass" / f"{name}.png")
    (folder / "ImageSets" / "Segmentation" / set_).write_text("\n".join(names))


def save(file: Path, rows: list[list[int]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(rows, np.uint8)).save(file)


def mask(record: Record) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert isinstance(record.mask, bytes)
    with Image.open(io.BytesIO(record.mask)) as image:
        assert image.mode == "L"
        return np.asarray(image)
