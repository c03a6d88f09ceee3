from __future__ import annotations

import io
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heliostat.data.checking import Report, check
from heliostat.data.formats import open_listing
from heliostat.data.records import Kind, Listing, Objects, Record, Rle
from heliostat.spec.problems import InputError


def test_bccd_has_two_boxes_of_no_area_and_its_cells_are_uneven(shared_data: Path) -> None:
    report = check(open_listing(shared_data / "bccd" / "BCCD"))

    assert report.samples == {"train": 205, "val": 87, "test": 72}
    assert report.classes["test"] == {"Platelets": 69, "RBC": 805, "WBC": 71}
    assert report.counts == {"imbalance": 3, "empty_box": 2}
    assert of_kind(report, "empty_box") == [
        ("train", "BloodImage_00343", "box 4 (RBC), 181 329 181 329, has no area"),
        ("val", "BloodImage_00338", "box 13 (RBC), 504 337 504 337, has no area"),
    ]
    assert of_kind(report, "imbalance")[2][2] == "RBC has 805 objects, Platelets 69: 11.7 to 1"
    assert report.breaks


def test_the_raccoons_have_three_grey_photos_four_pairs_of_copies_and_a_reduced_copy(
    shared_data: Path,
) -> None:
    report = check(open_listing(shared_data / "raccoon"))

    assert report.counts == {"duplicate": 5, "not_rgb": 3}
    assert of_kind(report, "not_rgb") == [
        ("all", f"raccoon-{number}", "is grey; 197 of 200 are RGB") for number in (150, 152, 161)
    ]
    assert of_kind(report, "duplicate") == [
        ("all", "raccoon-116", "the same pixels as all images/raccoon-11.jpg"),
        ("all", "raccoon-52", "the same picture as all images/raccoon-50.jpg"),
        ("all", "raccoon-74", "the same pixels as all images/raccoon-52.jpg"),
        ("all", "raccoon-83", "the same pixels as all images/raccoon-120.jpg"),
        ("all", "raccoon-98", "the same pixels as all images/raccoon-65.jpg"),
    ]
    assert not report.breaks


def test_what_does_not_decode_is_found_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    jpeg = encoded(photo(0), "JPEG")
    floats = Image.fromarray(np.zeros((8, 8), np.float32))
    report = check(
        listing(
            "images",
            Record(jpeg, "whole.jpg"),
            Record(jpeg[:-20], "half.jpg"),
            Record(b"", "empty.png"),
            Record(encoded(floats, "TIFF"), "floats.tif"),
            Record(tmp_path / "gone.png", "gone.png"),
        )
    )

    assert {sample: message for _, sample, message in of_kind(report, "undecodable")} == {
        "half": "image file is truncated (21 bytes not processed)",
        "empty": "is in no image format that is read",
        "floats": "images of mode F (32 bits a pixel) are not read",
        "gone": "does not exist",
    }
    assert report.breaks


def test_boxes_are_held_against_the_image_a_pixel_beyond_it_is_allowed() -> None:
    boxes = [
        (0, 0, 41, 31),
        (-1, -1, 10, 10),
        (30, 5, 42, 10),
        (40, 0, 50, 10),
        (9, 9, 3, 12),
        (float("nan"), 0, 5, 5),
    ]
    report = check(listing("objects", objects(boxes, [0, 0, 0, 1, 1, 7]), classes=("cat", "dog")))

    assert [(f.kind, f.message) for f in report.findings] == [
        ("undeclared_class", "class 7, of 2 that have a name"),
        ("outside_box", "box 3 (cat), 30 5 42 10, is partly outside the image of 40×30"),
        ("outside_box", "box 4 (dog), 40 0 50 10, is outside the image of 40×30"),
        ("empty_box", "box 5 (dog), 9 9 3 12, has no area"),
        ("empty_box", "box 6 (7), nan 0 5 5, has no area"),
    ]
    assert report.classes == {"all": {"cat": 3, "dog": 2}}


def test_an_outline_for_an_image_of_another_size_is_found() -> None:
    record = objects([(0, 0, 9, 9)], [0], (Rle((40, 30), b"PT1"),))

    (finding,) = check(listing("objects", record, classes=("cat",))).findings
    assert finding.kind == "mask_size"
    assert finding.message == "the outline of box 1 is for an image of 30×40, the image is of 40×30"


def test_a_mask_has_the_images_size_and_declared_values_or_255() -> None:
    values = np.zeros((30, 40), np.uint8)
    values[0, :4] = (1, 2, 9, 255)
    palette = Image.fromarray(np.ones((30, 40), np.uint8))
    palette.putpalette([0, 0, 0, 200, 0, 0])
    small, colours = Image.fromarray(values[:, :20]), Image.new("RGB", (40, 30))
    report = check(
        listing(
            "masks",
            *(
                Record(encoded(photo(seed)), f"{seed}.png", mask=encoded(mask))
                for seed, mask in enumerate((Image.fromarray(values), palette, small, colours))
            ),
            classes=("sky", "sea"),
        )
    )

    assert [(f.kind, f.sample, f.message) for f in report.findings] == [
        ("undeclared_value", "0.png", "mask: 2 of 1,200 pixels are 2, 9, of 2 classes"),
        ("mask_size", "2.png", "the mask is of 20×30, the image of 40×30"),
        ("undeclared_value", "2.png", "mask: 2 of 600 pixels are 2, 9, of 2 classes"),
        ("undecodable", "3.png", "mask: has 3 channels (RGB), not one"),
    ]
    assert report.classes == {"all": {"sky": 2, "sea": 3}}


def test_a_picture_in_two_splits_is_leakage_in_the_later_one() -> None:
    image = photo(1).resize((400, 300), Image.Resampling.BICUBIC)
    smaller = encoded(image.resize((201, 151)), "JPEG")
    splits = {
        "train": [Record(encoded(photo(0)), "a"), Record(encoded(image), "b")],
        "val": [Record(encoded(image, "BMP"), "c"), Record(smaller, "d")],
    }
    report = check(Listing("made up", "images", (), splits))

    assert [(f.kind, f.split, f.sample, f.message) for f in report.findings] == [
        ("leakage", "val", "c", "the same pixels as train b"),
        ("leakage", "val", "d", "the same picture as train b"),
    ]
    assert report.breaks


def test_pictures_that_only_share_their_hash_or_only_their_content_are_different() -> None:
    ramp = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    steep = np.where(ramp > 127, ramp, ramp // 4)
    squeezed = photo(1).resize((40, 60), Image.Resampling.BILINEAR)
    images = [Image.fromarray(ramp), Image.fromarray(steep), photo(1), squeezed]

    records = [Record(encoded(image), str(n)) for n, image in enumerate(images)]
    assert of_kind(check(listing("images", *records)), "duplicate") == []


def test_palettes_are_only_told_where_most_are_rgb() -> None:
    palettes = [Record(encoded(photo(n).quantize()), f"p{n}") for n in range(3)]
    colours = [Record(encoded(photo(n)), f"c{n}") for n in range(3, 7)]

    report = check(listing("images", *colours, *palettes[:1]))
    assert [(f.kind, f.sample, f.message) for f in report.findings] == [
        ("not_rgb", "p0", "is of a palette; 4 of 5 are RGB")
    ]
    assert check(listing("images", *palettes, *colours[:3])).findings == ()


def test_a_class_that_a_split_lacks_is_told_for_the_split() -> None:
    def labelled(first: int, *labels: int | None) -> list[Record]:
        return [Record(encoded(photo(first + n)), f"{n}", label) for n, label in enumerate(labels)]

    splits = {"train": labelled(0, 0, 0, 1), "val": labelled(3, 1), "test": labelled(4, None)}
    report = check(Listing("made up", "labels", ("cat", "dog"), splits))

    assert [(f.split, f.sample, f.message) for f in report.findings] == [
        ("val", "", "class cat has no images"),
        ("test", "", "no sample is annotated"),
    ]
    assert report.counts == {"missing_class": 2}
    assert not report.breaks


def test_a_broken_annotation_does_not_hide_what_comes_after_it() -> None:
    report = check(
        Listing("made up", "images", (), {"all": Alive([encoded(photo(0)), None, b"GIF"])})
    )

    assert [(f.kind, f.sample, f.message) for f in report.findings] == [
        ("broken_annotation", "#1", "1.xml: not well formed"),
        ("undecodable", "2", "is in no image format that is read"),
    ]


def test_few_samples_are_in_memory_at_once() -> None:
    records = Alive([encoded(photo(n)) for n in range(400)])
    seen: list[tuple[str, int, int]] = []

    report = check(
        Listing("made up", "images", (), {"all": records}),
        progress=lambda *state: seen.append(state),
    )

    assert report.samples == {"all": 400}
    assert seen == [("all", n, 400) for n in range(1, 401)]
    assert records.most <= 3 * (os.cpu_count() or 1) + 2


def test_a_limit_is_spread_evenly_and_balance_is_not_judged_by_it() -> None:
    records = [Record(encoded(photo(n)), str(n), n // 5) for n in range(10)]
    looked_at = Listing("made up", "labels", ("cat", "dog", "owl"), {"train": records})

    assert check(looked_at).counts == {"missing_class": 1}
    report = check(looked_at, limit=4)
    assert report.samples == {"train": 4}
    assert report.classes == {"train": {"cat": 2, "dog": 2, "owl": 0}}
    assert report.findings == ()


@pytest.mark.parametrize("splits", [{}, {"train": []}])
def test_nothing_has_nothing_wrong(splits: dict[str, list[Record]]) -> None:
    assert check(Listing("made up", "images", (), splits)).findings == ()


class Alive(Sequence[Record]):
    """Records made anew each time; `most` is how many there were at once."""

    def __init__(self, contents: list[bytes | None]) -> None:
        self.contents = contents
        self.most = self._alive = 0

    def __len__(self) -> int:
        return len(self.contents)

    def __getitem__(self, index: Any) -> Any:
        content = self.contents[index]
        if content is None:
            raise InputError.of(f"{index}.xml: not well formed")
        record = Record(content, str(index))
        self._alive += 1
        self.most = max(self.most, self._alive)
        weakref.finalize(record, self._gone)
        return record

    def _gone(self) -> None:
        self._alive -= 1


def of_kind(report: Report, kind: str) -> list[tuple[str, str, str]]:
    return [(f.split, Path(f.sample).stem, f.message) for f in report.findings if f.kind == kind]


def listing(kind: Kind, *records: Record, classes: tuple[str, ...] = ()) -> Listing:
    return Listing("made up", kind, classes, {"all": records})


def objects(boxes: Any, classes: list[int], outlines: Any = ()) -> Record:
    numbers = np.array(classes, np.int64)
    crowd = np.zeros(len(classes), np.bool_)
    found = Objects(np.array(boxes, np.float32), numbers, crowd, outlines)
    return Record(encoded(photo(0)), "photo.png", objects=found)


def photo(seed: int) -> Image.Image:
    """40×30, smooth like a photo, and another for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((40, 30), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
