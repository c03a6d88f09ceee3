"""Boxes and outlines: the same photos and boxes, as VOC published them and written as others."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from heliostat.data import open_source
from heliostat.data.formats import open_listing
from heliostat.data.records import Listing, Objects, Record, Rle
from heliostat.spec.sources import Source

Write = Callable[[Listing, Path], Path]


def test_voc_gives_its_splits_and_every_object(shared_data: Path) -> None:
    listing = open_listing(shared_data / "bccd" / "BCCD")
    assert (listing.format, listing.kind) == ("voc", "objects")
    assert {split: len(part) for split, part in listing.splits.items()} == {
        "train": 205,
        "val": 87,
        "test": 72,
    }
    assert counts(listing) == {"RBC": 4155, "WBC": 372, "Platelets": 361}
    names = [record.name for part in listing.splits.values() for record in part]
    assert len(set(names)) == 364


def test_voc_counts_pixels_from_one_and_a_box_without_area_stays_one(shared_data: Path) -> None:
    folder = shared_data / "bccd" / "BCCD"
    records = {r.name: r for part in open_listing(folder).splits.values() for r in part}
    boxes = objects(records["JPEGImages/BloodImage_00338.jpg"]).boxes
    text = (folder / "Annotations" / "BloodImage_00338.xml").read_text()
    edges = re.findall(r"<(?:xmin|ymin|xmax|ymax)>(\d+)<", text)
    written = np.array(edges, np.float32).reshape(-1, 4)
    flat = (written[:, :2] == written[:, 2:]).all(axis=1)
    assert flat.sum() == 1
    assert np.array_equal(boxes[~flat], written[~flat] - [1, 1, 0, 0])
    assert np.array_equal(boxes[flat], [[504, 337, 504, 337]])


def test_what_an_archive_unpacks_to_is_found_in_its_one_folder(shared_data: Path) -> None:
    listing = open_listing(shared_data / "bccd")
    assert listing.format == "voc"
    samples = open_source(Source(uri=str(shared_data / "bccd"), split="test"))
    assert (len(samples), samples.classes) == (72, listing.classes)


def test_a_folder_without_image_sets_pairs_annotations_and_images(shared_data: Path) -> None:
    listing = open_listing(shared_data / "raccoon")
    assert (listing.format, len(listing.splits["all"])) == ("voc", 200)
    assert counts(listing) == {"raccoon": 217}


def test_a_csv_of_boxes_gives_the_numbers_in_it(shared_data: Path) -> None:
    file = shared_data / "raccoon" / "data" / "raccoon_labels.csv"
    listing = open_listing(file)
    assert (listing.format, len(listing.splits["all"])) == ("csv", 200)
    assert counts(listing) == {"raccoon": 217}
    record = next(r for r in listing.splits["all"] if r.name == "raccoon-1.jpg")
    assert objects(record).boxes.tolist() == [[81, 88, 522, 408]]


def test_the_same_boxes_come_out_of_every_format(
    shared_data: Path, tmp_path: Path, write: Write
) -> None:
    original = open_listing(shared_data / "bccd" / "BCCD")
    written = open_listing(write(original, tmp_path))
    assert f"write_{written.format}" in write.__name__
    assert sorted(written.classes) == sorted(original.classes)
    assert list(written.splits) == list(original.splits)
    for split, part in original.splits.items():
        found = {Path(record.name).stem: record for record in written.splits[split]}
        assert len(found) == len(part)
        for record in part:
            assert same(written, found[Path(record.name).stem], original, record)


def test_coco_keeps_images_without_objects_and_numbers_categories_without_gaps(
    tmp_path: Path,
) -> None:
    file = coco(tmp_path, [annotation(category_id=90), annotation(category_id=7, iscrowd=1)])
    listing = open_listing(file)
    first, second = listing.splits["all"]
    assert listing.classes == ("seven", "ninety")
    assert objects(first).classes.tolist() == [1, 0]
    assert objects(first).crowd.tolist() == [False, True]
    assert objects(first).boxes[0].tolist() == [1, 2, 4, 6]
    assert (second.name, objects(second).boxes.shape) == ("b.png", (0, 4))


def test_polygons_and_both_forms_of_run_lengths_outline_the_same_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((8, 10), np.uint8)
    pixels[2:6, 1:4] = 1
    compressed = coco_mask.encode(np.asfortranarray(pixels))
    corners = [1, 2, 4, 2, 4, 6, 1, 6]
    file = coco(
        tmp_path,
        [
            annotation(segmentation=[corners]),
            annotation(segmentation={"size": [8, 10], "counts": run_lengths(pixels)}, iscrowd=1),
            annotation(
                segmentation={"size": [8, 10], "counts": compressed["counts"].decode("ascii")}
            ),
            annotation(),
        ],
    )
    polygons, *encoded, none = objects(open_listing(file).splits["all"][0]).outlines
    assert polygons == (tuple(map(float, corners)),)
    assert none == ()
    for rle in encoded:
        assert isinstance(rle, Rle)
        decoded = coco_mask.decode({"size": list(rle.size), "counts": rle.counts})
        assert np.array_equal(decoded, pixels)


def test_yolo_outlines_are_polygons_with_the_box_around_them(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    image(tmp_path / "images" / "a.png")
    image(tmp_path / "images" / "b.png")
    (tmp_path / "labels" / "a.txt").write_text("1 .1 .25 .4 .25 .4 .75\n0 .5 .5 .2 .5\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    listing = open_listing(tmp_path)
    outlined, empty = map(objects, listing.splits["all"])
    assert listing.classes == ("cat", "dog")
    assert outlined.classes.tolist() == [1, 0]
    assert np.allclose(outlined.boxes, [[1, 2, 4, 6], [4, 2, 6, 6]])
    polygons, none = outlined.outlines
    assert np.allclose(np.array(polygons), [[1, 2, 4, 2, 4, 6]])
    assert none == ()
    assert len(empty.boxes) == 0


def write_coco(listing: Listing, folder: Path) -> Path:
    """Write COCO's own layout: annotations/instances_train2017.json and train2017/."""
    (folder / "annotations").mkdir()
    for split, part in listing.splits.items():
        (folder / f"{split}2017").mkdir()
        images, annotations = [], []
        for number, record in enumerate(part):
            name = linked(record, folder / f"{split}2017").name
            images.append({"id": 1000 + number, "file_name": name, "width": 640, "height": 480})
            for box, label in zip(*boxes_of(record), strict=True):
                left, top, right, bottom = box
                size = [left, top, right - left, bottom - top]
                annotations.append(
                    {"image_id": 1000 + number, "category_id": 10 * label + 1, "bbox": size}
                )
        categories = [{"id": 10 * i + 1, "name": name} for i, name in enumerate(listing.classes)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        file = folder / "annotations" / f"instances_{split}2017.json"
        file.write_text(json.dumps(content))
    return folder


def write_coco_as_roboflow(listing: Listing, folder: Path) -> Path:
    """Write a folder a split, each with its JSON beside its images."""
    write_coco(listing, folder)
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        images = (folder / f"{split}2017").rename(folder / name)
        file = folder / "annotations" / f"instances_{split}2017.json"
        file.rename(images / "_annotations.coco.json")
    (folder / "annotations").rmdir()
    return folder


def write_yolo(listing: Listing, folder: Path) -> Path:
    """Write images/<split>/, labels/<split>/ and data.yaml."""
    for split, part in listing.splits.items():
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for record in part:
            name = linked(record, images).stem
            lines = []
            for (left, top, right, bottom), label in zip(*boxes_of(record), strict=True):
                middle = ((left + right) / 1280, (top + bottom) / 960)
                size = ((right - left) / 640, (bottom - top) / 480)
                lines.append(" ".join(map(str, (label, *middle, *size))))
            (labels / f"{name}.txt").write_text("\n".join(lines))
    (folder / "data.yaml").write_text(f"train: images/train\nnames: {list(listing.classes)}\n")
    return folder


def write_yolo_as_roboflow(listing: Listing, folder: Path) -> Path:
    """Write <split>/images/ and <split>/labels/."""
    write_yolo(listing, folder)
    for split in listing.splits:
        (folder / split).mkdir()
        for side in ("images", "labels"):
            (folder / side / split).rename(folder / split / side)
    (folder / "images").rmdir()
    (folder / "labels").rmdir()
    return folder


def write_csv(listing: Listing, folder: Path) -> Path:
    """Write one CSV with a column of splits, its images in images/."""
    (folder / "images").mkdir()
    with (folder / "boxes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["filename", "class", "xmin", "ymin", "xmax", "ymax", "split"])
        for split, part in listing.splits.items():
            for record in part:
                name = linked(record, folder / "images").name
                for box, label in zip(*boxes_of(record), strict=True):
                    rows.writerow([name, listing.classes[label], *box, split])
    return folder


@pytest.fixture(
    params=[write_coco, write_coco_as_roboflow, write_yolo, write_yolo_as_roboflow, write_csv],
    ids=lambda write: write.__name__.removeprefix("write_"),
)
def write(request: pytest.FixtureRequest) -> Write:
    """Write a listing's images and boxes in some format; return what is to be opened."""
    writer: Write = request.param
    return writer


def coco(folder: Path, annotations: list[dict[str, Any]]) -> Path:
    """Write JSON of two images beside them, with annotations of the first one."""
    names = ("a.png", "b.png")
    for name in names:
        image(folder / name)
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": annotations,
        "categories": [{"id": 90, "name": "ninety"}, {"id": 7, "name": "seven"}],
    }
    file = folder / "set.json"
    file.write_text(json.dumps(content))
    return file


def annotation(**values: Any) -> dict[str, Any]:
    return {"image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4], **values}


def image(file: Path) -> None:
    Image.new("L", (10, 8)).save(file)


def run_lengths(pixels: np.ndarray[Any, Any]) -> list[int]:
    """Return COCO's uncompressed counts, column by column, zeros first."""
    counts, value = [0], 0
    for pixel in pixels.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def linked(record: Record, folder: Path) -> Path:
    assert isinstance(record.image, Path)
    link = folder / record.image.name
    link.symlink_to(record.image)
    return link


def objects(record: Record) -> Objects:
    assert record.objects is not None
    return record.objects


def boxes_of(record: Record) -> tuple[list[list[float]], list[int]]:
    found = objects(record)
    return found.boxes.tolist(), found.classes.tolist()


def counts(listing: Listing) -> Counter[str]:
    every = (objects(record).classes for part in listing.splits.values() for record in part)
    return Counter(listing.classes[label] for labels in every for label in labels)


def same(one: Listing, a: Record, other: Listing, b: Record) -> bool:
    assert isinstance(a.image, Path)
    assert isinstance(b.image, Path)
    return (
        a.image.samefile(b.image)
        and [one.classes[label] for label in objects(a).classes]
        == [other.classes[label] for label in objects(b).classes]
        and np.allclose(objects(a).boxes, objects(b).boxes, atol=1e-4)
    )
