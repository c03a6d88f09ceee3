"""CSV that names image files: with a class each, or with a box a row.

Boxes are taken as they stand; a CSV says nowhere whether its pixels count from 0 or from 1.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heliostat.data.formats.files import (
    are_pixels,
    by_split,
    in_order,
    require,
    split_of,
    unknown_class,
    wrong,
)
from heliostat.data.paths import entries, reading
from heliostat.data.records import Listing, Objects, Record
from heliostat.data.splits import FOLDERS

NAME = "csv"
LAYOUT = (
    "CSV with path, image, file or filename, and label or class; split, and xmin, ymin, xmax and "
    "ymax if it has them"
)

_IMAGE = ("path", "image", "file", "filename")
_LABEL = ("label", "class")
_BOX = ("xmin", "ymin", "xmax", "ymax")


def fits(path: Path) -> bool:
    """Say whether `path` is a CSV, or holds one that has a column of images and one of classes."""
    if path.is_file():
        return path.suffix.lower() == ".csv"
    return any(_about_images(file) for file in _in_folder(path))


def read(path: Path) -> Listing:
    """Return the images; paths are relative to the CSV, or to images/ in or beside its folder.

    Classes are train's names, sorted, or the numbers up to the highest. In a CSV of boxes a row
    with none is an image without objects.
    """
    files = [path] if path.is_file() else [f for f in _in_folder(path) if _about_images(f)]
    named = by_split((split_of(f.stem) if path.is_dir() else None, f) for f in files)
    rows = [row for split, file in named.items() for row in _rows(file, split)]
    splits = {name: [row for row in rows if row.split == name] for name in {r.split for r in rows}}
    splits = in_order(splits)
    classes = _classes(splits.get("train") or rows)
    boxed = any(row.box for row in rows)
    records = _with_objects if boxed else _with_labels
    return Listing(
        NAME,
        "objects" if boxed else "labels",
        classes,
        {split: records(part, classes) for split, part in splits.items()},
    )


@dataclass(frozen=True)
class _Row:
    file: Path
    line: int
    name: str
    image: Path
    split: str
    label: str
    box: tuple[float, ...] | None


@dataclass(frozen=True)
class _Columns:
    """Where in a row stands what."""

    image: int
    label: int
    split: int | None
    box: tuple[int, ...]

    @classmethod
    def of(cls, file: Path, header: list[str]) -> _Columns:
        names = [name.strip().lower() for name in header]
        places = {name: place for place, name in reversed(list(enumerate(names)))}

        def one(wanted: tuple[str, ...], what: str) -> int:
            place = next((places[name] for name in wanted if name in places), None)
            if place is None:
                message = f"no column of {what}, only {', '.join(names)}"
                raise wrong(file, message, line=1, valid=" | ".join(wanted))
            return place

        boxed = all(name in places for name in _BOX)
        return cls(
            one(_IMAGE, "images"),
            one(_LABEL, "classes"),
            places.get("split"),
            tuple(places[name] for name in _BOX) if boxed else (),
        )


def _in_folder(path: Path) -> list[Path]:
    return entries(path, ".csv")[1]


def _about_images(file: Path) -> bool:
    names = {name.strip().lower() for name in next(_cells(file), (1, []))[1]}
    return bool(names & set(_IMAGE)) and bool(names & set(_LABEL))


def _cells(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty with the number of its last line."""
    with reading(file), file.open(encoding="utf-8-sig", newline="") as opened:
        first = opened.readline()
        opened.seek(0)
        rows = csv.reader(opened, delimiter=max(",;\t", key=first.count), strict=True)
        try:
            for cells in rows:
                if any(cell.strip() for cell in cells):
                    yield rows.line_num, cells
        except csv.Error as error:
            raise wrong(file, f"not CSV: {error}", line=rows.line_num) from error


def _rows(file: Path, split: str) -> list[_Row]:
    every = _cells(file)
    _, header = next(every, (1, []))
    columns = _Columns.of(file, header)
    found: list[_Row] = []
    folder: Path | None = None
    for line, cells in every:
        if len(cells) != len(header):
            message = f"{len(cells)} fields, but {len(header)} in the header"
            raise wrong(file, message, line=line)
        name = cells[columns.image].strip()
        folder = folder or _image_folder(file, name)
        require(folder / name, file, line=line)
        box = _box(file, line, [cells[place] for place in columns.box])
        label = cells[columns.label].strip()
        if not label and (box or not columns.box):
            raise wrong(file, "no class", line=line)
        part = _split(file, line, cells[columns.split]) if columns.split is not None else split
        found.append(_Row(file, line, name, folder / name, part, label, box))
    if not found:
        raise wrong(file, "no rows below the header")
    return found


def _image_folder(file: Path, name: str) -> Path:
    folders = (file.parent, file.parent / "images", file.parent.parent / "images")
    return next((folder for folder in folders if (folder / name).is_file()), file.parent)


def _split(file: Path, line: int, text: str) -> str:
    name = text.strip().lower()
    if name not in FOLDERS:
        raise wrong(file, f"unknown split {text!r}", line=line, valid="train | val | test")
    return FOLDERS[name]


def _box(file: Path, line: int, cells: list[str]) -> tuple[float, ...] | None:
    if not any(cell.strip() for cell in cells):
        return None
    try:
        box = tuple(float(cell) for cell in cells)
    except ValueError:
        box = (math.nan,)
    if not are_pixels(box):
        raise wrong(file, f"{', '.join(cells)} is no box", line=line, valid="four numbers")
    return box


def _classes(rows: Iterable[_Row]) -> tuple[str, ...]:
    names = {row.label for row in rows if row.label}
    # Numbers far above the count of different ones are names: years, say, or ids.
    if all(name.isdecimal() and int(name) < 1000 + 10 * len(names) for name in names):
        return tuple(map(str, range(max(map(int, names), default=-1) + 1)))
    return tuple(sorted(names))


def _with_labels(rows: list[_Row], classes: tuple[str, ...]) -> list[Record]:
    numbers = {name: number for number, name in enumerate(classes)}
    seen: set[str] = set()
    records: list[Record] = []
    for row in rows:
        if row.name in seen:
            raise wrong(row.file, f"{row.name} stands here a second time", line=row.line)
        seen.add(row.name)
        records.append(Record(row.image, row.name, _number(row, numbers)))
    return records


def _with_objects(rows: list[_Row], classes: tuple[str, ...]) -> list[Record]:
    numbers = {name: number for number, name in enumerate(classes)}
    of_image: dict[str, list[_Row]] = {}
    for row in rows:
        of_image.setdefault(row.name, []).append(row)
    return [
        Record(rows[0].image, name, objects=_objects([r for r in rows if r.box], numbers))
        for name, rows in of_image.items()
    ]


def _objects(rows: list[_Row], numbers: dict[str, int]) -> Objects:
    return Objects(
        np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        np.array([_number(row, numbers) for row in rows], np.int64),
        np.zeros(len(rows), np.bool_),
    )


def _number(row: _Row, numbers: dict[str, int]) -> int:
    label = str(int(row.label)) if row.label.isdecimal() and row.label not in numbers else row.label
    if label not in numbers:
        raise unknown_class(row.file, row.label, numbers, line=row.line)
    return numbers[label]
