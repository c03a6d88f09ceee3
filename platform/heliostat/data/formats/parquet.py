"""Parquet of images with labels: encoded bytes, paths, or Hugging Face's {bytes, path}."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from heliostat.data.formats.files import in_order
from heliostat.data.formats.lazy import Lazy
from heliostat.data.parquet import (
    LABEL,
    as_encoded,
    image_column,
    label_numbers,
    parquet_files,
    read_columns,
)
from heliostat.data.paths import reading
from heliostat.data.records import Listing, Record
from heliostat.data.rows import Rows
from heliostat.data.samples import Indices, Labels
from heliostat.spec.problems import InputError

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "parquet"
LAYOUT = "Parquet with image, bytes or path, and label; its files named after their splits"


def fits(path: Path) -> bool:
    """Say whether there are Parquet files."""
    return bool(parquet_files(path))


def read(path: Path) -> Listing:
    """Return the rows; only their labels are read at once, images by the row group.

    The classes are those of all splits, since a split's numbers mean the names of all.
    """
    files = in_order(parquet_files(path))
    every = [file for part in files.values() for file in part]
    columns = [image_column(file) for file in every]
    classes, labels = label_numbers(every, [read_columns(file, [LABEL]) for file in every])
    root = path if path.is_dir() else path.parent
    splits: dict[str, Lazy[int]] = {}
    for split, part in files.items():
        tables = _Tables.of(root, part, columns[: len(part)], labels)
        if not len(tables):
            raise InputError.of(f"{part[0]} holds no rows", key=("uri",))
        splits[split] = Lazy(range(len(tables)), tables.record)
        columns, labels = columns[len(part) :], labels[len(tables) :]
    return Listing(NAME, "labels", classes, splits)


_KEPT = 4
"""Row groups held at a time: an importer's threads are a few rows apart."""


@dataclass(frozen=True, eq=False)
class _Tables:
    """A split's files, of which the row groups read last are held."""

    files: tuple[Path, ...]
    columns: tuple[str, ...]
    """Of each file, the column of its images."""
    rows: Rows
    labels: Labels
    groups: tuple[tuple[int, int], ...]
    """(number of the file, number of the row group in it)"""
    starts: Indices
    """The first row of each group, and the number of all rows, int64 (groups + 1,)."""
    held: OrderedDict[int, pa.ChunkedArray] = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, root: Path, files: list[Path], columns: list[str], labels: Labels) -> _Tables:
        counts = [_group_rows(file) for file in files]
        names = [file.relative_to(root).as_posix() for file in files]
        return cls(
            tuple(files),
            tuple(columns),
            Rows.of(*((name, sum(count)) for name, count in zip(names, counts, strict=True))),
            labels,
            tuple((f, g) for f, count in enumerate(counts) for g in range(len(count))),
            np.cumsum([0, *(rows for count in counts for rows in count)]),
        )

    def __len__(self) -> int:
        return int(self.starts[-1])

    def record(self, row: int) -> Record:
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        value = self._group(number)[row - int(self.starts[number])].as_py()
        image = as_encoded(value, self.files[self.groups[number][0]].parent)
        return Record(image, self.rows.name(row), int(self.labels[row]))

    def _group(self, number: int) -> pa.ChunkedArray:
        import pyarrow.parquet as pq

        held = self.held.get(number)
        if held is not None:
            return held
        file, group = self.groups[number]
        path, column = self.files[file], self.columns[file]
        with reading(path), pq.ParquetFile(path) as opened:
            values = opened.read_row_group(group, columns=[column])[column]
        self.held[number] = values
        while len(self.held) > _KEPT:
            self.held.popitem(last=False)
        return values


def _group_rows(file: Path) -> list[int]:
    import pyarrow.parquet as pq

    with reading(file):
        facts = pq.read_metadata(file)
    return [facts.row_group(group).num_rows for group in range(facts.num_row_groups)]
