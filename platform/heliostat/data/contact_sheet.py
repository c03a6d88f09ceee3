"""A contact sheet: some samples of a split on one picture, with what is annotated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from heliostat.data import counter
from heliostat.data.annotated import Annotated
from heliostat.data.decode import header
from heliostat.data.drawing import INK, PAPER, Colour, colour, draw, font
from heliostat.data.formats.arrays import png
from heliostat.data.listing_of_dataset import ShardLost
from heliostat.data.records import Kind, Listing, Record
from heliostat.data.samples import Samples
from heliostat.data.splits import choose
from heliostat.data.unpaired import Unpaired
from heliostat.spec.problems import InputError


def contact_sheet(listing: Listing, split: str, *, count: int = 24, seed: int = 0) -> Image.Image:
    """Draw `count` samples of a split, or all where there are fewer, chosen by `seed`.

    They stand in the order of the split, each over its label and its name; classes that are drawn
    (boxes, outlines, masks) have their colours explained on top. A sample that cannot be read is
    an empty frame that says so. Returns an RGB image, at most some 2,000 pixels wide.

    Raises InputError, key ("split",), if there is no such split or it is empty.
    """
    records = listing.splits[choose(split, listing.splits)]
    if not len(records):
        raise InputError.of(f"the split {split!r} is empty", key=("split",))
    rows = np.sort(counter.permutation(len(records), counter.key(_CHOICE, seed))[:count])
    chosen = [_record(records, row) for row in rows.tolist()]
    return _drawn(chosen, listing, f"{listing.format}, {split}: {len(rows):,} of {len(records):,}")


def sheet_of_samples(samples: Samples, split: str, *, count: int = 24) -> Image.Image | None:
    """Draw `count` samples as a training job reads them; None where they are no images.

    Of two domains, images are drawn one by one, each over its domain's name.
    """
    samples = samples.images if isinstance(samples, Unpaired) else samples
    rows = np.sort(counter.permutation(len(samples), counter.key(_CHOICE, 0))[:count])
    title = f"{split}: {len(rows):,} of {len(samples):,}"
    if isinstance(samples, Annotated):
        records = [samples.record(row) for row in rows.tolist()]
        kind: Kind = "masks" if records[0].mask is not None else "objects"
        listing = Listing(samples.uri, kind, samples.classes, {split: records})
        return _drawn(records, listing, title)
    if samples.shape is None:
        return None
    labels = samples.labels
    chosen = [
        Record(
            png(image.permute(1, 2, 0).squeeze(-1).numpy()) if isinstance(image, Tensor) else b"",
            samples.source(row),
            label=None if labels is None else int(labels[row]),
        )
        for row, image in zip(rows.tolist(), samples.read_each(rows), strict=True)
    ]
    listing = Listing(samples.uri, "labels", samples.classes, {split: chosen})
    return _drawn(chosen, listing, title)


@dataclass(frozen=True)
class _Tile:
    picture: Image.Image
    lines: tuple[tuple[str, Colour], ...]
    """What stands below the picture."""


def _drawn(chosen: Sequence[Record | InputError], listing: Listing, title: str) -> Image.Image:
    side = max(map(_side, chosen))
    tiles = [_tile(record, listing, side) for record in chosen]
    return _arranged(tiles, side, title, _legend(listing))


_CHOICE = 0x5EE7
_WIDTH = 2000
_COLUMNS = 6
_SIDES = (112, 320)
"""How large a picture is drawn: thumbnails are magnified to the first, photos reduced."""
_GAP = 10
_LINE = 17
_TEXT, _TITLE = 13, 18
_FAINT: Colour = (97, 110, 124)
_WRONG: Colour = (198, 40, 40)
_EXPLAINED = 24
"""Classes in the legend; of more, the first."""


def _record(records: Sequence[Record], row: int) -> Record | InputError:
    try:
        return records[row]
    except ShardLost:
        raise
    except InputError as error:
        return error


def _side(record: Record | InputError) -> int:
    """Return the longer side that a record's picture is drawn with."""
    smallest, largest = _SIDES
    if isinstance(record, InputError):
        return smallest
    try:
        _, height, width = header(record.image)
    except Exception:
        return smallest
    return min(largest, max(smallest, height, width))


def _tile(record: Record | InputError, listing: Listing, side: int) -> _Tile:
    if isinstance(record, InputError):
        return _Tile(_frame(side), ((str(record), _WRONG),))
    label = () if record.label is None else (_class_name(listing.classes, record.label),)
    lines = (*((name, INK) for name in label), (record.name, _FAINT))
    try:
        return _Tile(draw(record, listing.classes, side), lines)
    except Exception:  # Pillow's plugins raise whatever they meet
        return _Tile(_frame(side), (("cannot be decoded", _WRONG), *lines))


def _frame(side: int) -> Image.Image:
    frame = Image.new("RGB", (side, side * 3 // 4), (241, 243, 245))
    ImageDraw.Draw(frame).line((0, 0, *frame.size), fill=_WRONG, width=2)
    return frame


def _class_name(classes: Sequence[str], number: int) -> str:
    return classes[number] if 0 <= number < len(classes) else f"class {number}"


def _legend(listing: Listing) -> list[tuple[str, Colour]]:
    """Return what colours mean, where there are any."""
    if listing.kind not in ("objects", "masks"):
        return []
    return [(name, colour(number)) for number, name in enumerate(listing.classes[:_EXPLAINED])]


def _arranged(
    tiles: Sequence[_Tile], side: int, title: str, legend: Sequence[tuple[str, Colour]]
) -> Image.Image:
    """Lay tiles out in rows as high as their highest picture."""
    columns = min(max(_COLUMNS, 1200 // (side + _GAP)), _WIDTH // (side + _GAP))
    columns = -(-len(tiles) // -(-len(tiles) // columns))  # as many rows, evenly filled
    width = max(columns * (side + _GAP) + _GAP, 360)
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(map(_height, row)) + _GAP for row in rows]
    entries = list(_placed(legend, width))
    top = _GAP + _TITLE + _GAP + (entries[-1][1] + _LINE + _GAP if entries else 0)
    sheet = Image.new("RGB", (width, top + sum(heights)), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), title, fill=INK, font=font(_TITLE))
    for (x, y), (name, ink) in zip(entries, legend, strict=True):
        y += _GAP + _TITLE + _GAP
        pen.rectangle((x, y + 2, x + 12, y + 14), fill=ink)
        pen.text((x + 18, y), name, fill=INK, font=font(_TEXT))
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            _put(sheet, pen, tile, (_GAP + column * (side + _GAP), top), side)
        top += height
    return sheet


def _height(tile: _Tile) -> int:
    return tile.picture.height + 4 + _LINE * len(tile.lines)


def _placed(legend: Sequence[tuple[str, Colour]], width: int) -> Iterator[tuple[int, int]]:
    """Give each entry's place, from left to right and in a new line where it does not fit."""
    x, y = _GAP, 0
    for name, _ in legend:
        needed = 18 + round(font(_TEXT).getlength(name)) + 16
        if x > _GAP and x + needed > width:
            x, y = _GAP, y + _LINE
        yield x, y
        x += needed


def _put(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: _Tile, corner: tuple[int, int], side: int
) -> None:
    x, y = corner
    sheet.paste(tile.picture, (x, y))
    y += tile.picture.height + 4
    for text, ink in tile.lines:
        pen.text((x, y), _fitting(text, side), fill=ink, font=font(_TEXT))
        y += _LINE


def _fitting(text: str, width: int) -> str:
    """Return the end of a text that is too wide: of a path, its file's name."""
    if font(_TEXT).getlength(text) <= width:
        return text
    while text and font(_TEXT).getlength("…" + text) > width:
        text = text[1:]
    return "…" + text
