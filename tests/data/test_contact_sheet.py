from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from heliostat.data.contact_sheet import contact_sheet
from heliostat.data.drawing import colour, draw
from heliostat.data.formats import open_listing
from heliostat.data.formats.rle import outline
from heliostat.data.records import Listing, Objects, Record
from heliostat.spec.problems import InputError

CLASSES = ("cat", "dog")


def test_a_box_is_drawn_where_it_is_in_its_classs_colour() -> None:
    boxed = objects([(100, 50, 300, 250)], [1])
    drawn = np.asarray(draw(Record(grey(400, 300), "a", objects=boxed), CLASSES, 200))

    assert drawn.shape == (150, 200, 3)
    rows, columns = np.nonzero((drawn == colour(1)).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (25, 125, 50, 150)
    assert (drawn[60:120, 60:140] == 128).all()
    assert (drawn[:20] == 128).all()


@pytest.mark.parametrize(
    "segmentation",
    [
        [[8, 4, 24, 4, 24, 12, 8, 12]],
        # Outside and inside by turns, down the columns of 16.
        {"size": [16, 32], "counts": [8 * 16 + 4, *[8, 8] * 15, 8, 4 + 8 * 16]},
    ],
)
def test_an_outline_is_filled_so_that_the_image_shows_through(segmentation: Any) -> None:
    outlined = objects([(8, 4, 24, 12)], [0], (outline(segmentation),))
    drawn = np.asarray(draw(Record(grey(32, 16), "a", objects=outlined), (), 320))

    inside, outside = drawn[80, 160].astype(int), drawn[20, 160]
    assert (outside == 128).all()
    assert inside[0] > 128 > inside[2]  # orange
    assert (inside != colour(0)).all()


def test_a_mask_tints_its_classes_and_what_is_ignored_is_pale() -> None:
    values = np.zeros((16, 32), np.uint8)
    values[:, 16:], values[:4] = 1, 255
    record = Record(grey(32, 16), "a", mask=png(values))
    drawn = np.asarray(draw(record, CLASSES, 320)).astype(int)

    expected = [np.array(colour(0)), np.array(colour(1)), np.array((255, 255, 255))]
    for pixel, tint in zip((drawn[100, 50], drawn[100, 250], drawn[10, 10]), expected, strict=True):
        assert np.abs(pixel - (0.6 * 128 + 0.4 * tint)).max() <= 1


def test_the_same_seed_shows_the_same_samples_and_another_seed_others() -> None:
    listing = labelled(*(png(np.full((28, 28), n, np.uint8)) for n in range(100)))

    first = contact_sheet(listing, "all", count=12)
    assert first.tobytes() == contact_sheet(listing, "all", count=12).tobytes()
    assert first.tobytes() != contact_sheet(listing, "all", count=12, seed=1).tobytes()
    # Four times their size, and no blend of neighbours.
    assert first.width >= 12 // 2 * 112


def test_what_cannot_be_read_is_a_frame_among_the_others() -> None:
    broken = contact_sheet(labelled(b"no image", grey(200, 100)), "all")
    whole = contact_sheet(labelled(grey(200, 100), grey(200, 100)), "all")

    def reds(sheet: Image.Image) -> int:
        red, green, _ = np.asarray(sheet).astype(int).transpose(2, 0, 1)
        return int((red > green + 100).sum())

    assert reds(broken) > 200
    assert reds(whole) == 0


def test_a_sheet_of_photos_with_boxes_is_not_too_wide_to_look_at(shared_data: Path) -> None:
    sheet = contact_sheet(open_listing(shared_data / "bccd" / "BCCD"), "val")

    assert sheet.mode == "RGB"
    assert (sheet.width, sheet.height // 10) == (1990, 114)
    colours = {value for _, value in sheet.getcolors(2**24) or ()}
    assert {colour(number) for number in range(3)} <= colours


@pytest.mark.parametrize(("split", "said"), [("val", "no split 'val' here"), ("none", "is empty")])
def test_a_split_that_is_not_there_or_empty_is_a_mistake(split: str, said: str) -> None:
    listing = Listing("made up", "images", (), {"train": [Record(grey(9, 9), "a")], "none": []})
    with pytest.raises(InputError, match=said):
        contact_sheet(listing, split)


def labelled(*images: bytes) -> Listing:
    records = [Record(image, f"{n}.png", label=n % 2) for n, image in enumerate(images)]
    return Listing("made up", "labels", CLASSES, {"all": records})


def objects(boxes: Any, classes: list[int], outlines: Any = ()) -> Objects:
    numbers, crowd = np.array(classes, np.int64), np.zeros(len(classes), np.bool_)
    return Objects(np.array(boxes, np.float32), numbers, crowd, outlines)


def grey(width: int, height: int) -> bytes:
    return png(np.full((height, width), 128, np.uint8))


def png(values: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()
