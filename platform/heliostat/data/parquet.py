"""Parquet files of images: encoded bytes or paths, with or without labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from heliostat.data import splits
from heliostat.data.encoded import Encoded
from heliostat.data.images import EncodedImages, open_images
from heliostat.data.paths import entries, reading
from heliostat.data.rows import Rows
from heliostat.data.samples import Indices, Labels
from heliostat.spec.problems import InputError

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_files(path: Path) -> dict[str, list[Path]]:
    """Return the Parquet files at `path`, by split; empty where there are none.

    A split's files begin with its name or lie in a folder of that name, as Hugging Face writes
    them (`train-00000-of-00002.parquet`); files of no split are all one, "all". Where there are
    none, those in `data/` are meant, which is where its repositories have them.
    """
    if path.is_file():
        return {"all": [path]} if path.suffix == ".parquet" else {}
    folders, files = entries(path, ".parquet")
    found = [(file, file.stem) for file in files]
    found += [
        (f, d.name) for d in folders if d.name in splits.FOLDERS for f in entries(d, ".parquet")[1]
    ]
    if not found and (path / "data").is_dir():
        return parquet_files(path / "data")
    by_split: dict[str, list[Path]] = {}
    for file, name in found:
        by_split.setdefault(splits.FOLDERS.get(name.split("-")[0], "all"), []).append(file)
    return by_split if "all" not in by_split else {"all": [file for file, _ in found]}


def open_parquet(
    uri: str,
    path: Path,
    split: str,
    *,
    labelled: bool,
    channels: int | None,
    size: tuple[int, int] | None,
    tolerant: bool = False,
) -> EncodedImages:
    """Return the images of `image` ({bytes, path} or bytes), `bytes` or `path`, with `label`.

    Paths are relative to their file's folder. Labels are names, or numbers whose names stand in
    Hugging Face's metadata, else the numbers themselves.
    """
    files_by_split = parquet_files(path)
    files = files_by_split[splits.choose_part(split, files_by_split)]
    tables = [_read(file, labelled) for file in files]
    classes, labels = label_numbers(files, tables) if labelled else ((), None)
    encoded = [_encoded(*pair) for pair in zip(files, tables, strict=True)]
    rows = Rows.of(*((str(f), len(part)) for f, part in zip(files, encoded, strict=True)))
    if not len(rows.chosen):
        raise InputError.of(f"{path} holds no rows", key=("uri",))
    store = _Values([image for part in encoded for image in part], rows)
    return open_images(
        uri,
        store,
        classes=classes,
        labels=labels,
        channels=channels,
        size=size,
        tolerant=tolerant,
    )


def image_column(file: Path) -> str:
    """Return the name of the file's column of images; InputError where there is none."""
    names = _column_names(file)
    column = next((name for name in _IMAGE_COLUMNS if name in names), None)
    if column is None:
        raise InputError.of(
            f"{file} has no column of images, only {', '.join(names)}",
            key=("uri",),
            valid=" | ".join(_IMAGE_COLUMNS),
        )
    return column


def read_columns(file: Path, columns: Sequence[str]) -> pa.Table:
    """Return columns of the file; InputError where it has no `label` that is asked for."""
    import pyarrow.parquet as pq

    names = _column_names(file)
    if LABEL in columns and LABEL not in names:
        raise InputError.of(
            f"{file} has no labels, only {', '.join(names)}", key=("uri",), valid=LABEL
        )
    with reading(file):
        return pq.read_table(file, columns=list(columns))


def label_numbers(
    files: Sequence[Path], tables: Sequence[pa.Table]
) -> tuple[tuple[str, ...], Labels]:
    """Return the classes and all files' labels, int64 (N,), from the files' `label` columns."""
    values = [value for table in tables for value in table[LABEL].to_pylist()]
    rows = Rows.of(*((str(f), len(table)) for f, table in zip(files, tables, strict=True)))
    if None in values:
        raise InputError.of(f"{rows.name(values.index(None))}: no label", key=("uri",))
    if all(isinstance(value, str) for value in values):
        classes = tuple(sorted(set(values)))
        numbers = {name: number for number, name in enumerate(classes)}
        return classes, np.array([numbers[value] for value in values], np.int64)
    if not all(isinstance(value, int) and value >= 0 for value in values):
        raise InputError.of(
            f"{files[0]}: labels of type {tables[0][LABEL].type}",
            key=("uri",),
            valid="names, or numbers from 0",
        )
    labels = np.array(values, np.int64)
    highest = int(labels.max(initial=0))
    names = _names(tables[0]) or tuple(map(str, range(min(highest, _MOST_CLASSES) + 1)))
    if highest >= len(names):
        row = rows.name(int(labels.argmax()))
        raise InputError.of(f"{row}: label {highest}", key=("uri",), valid=f"0 to {len(names) - 1}")
    return names, labels


def as_encoded(value: Any, folder: Path) -> Encoded:
    """Return the image that a value of the column is; its path is relative to `folder`."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        return folder / value
    return value if isinstance(value, bytes) else b""  # a row without an image is unreadable


LABEL = "label"
_MOST_CLASSES = 1_000_000
"""Of classes without names: a label above is an id of something else."""
_IMAGE_COLUMNS = ("image", "bytes", "path")


@dataclass(frozen=True, eq=False)
class _Values:
    """Images that are values of a column: encoded bytes, or paths."""

    values: Sequence[Encoded]
    rows: Rows

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Encoded:
        return self.values[index]

    def name(self, index: int) -> str:
        return self.rows.name(index)

    def take(self, chosen: Indices) -> Self:
        return replace(self, values=[self.values[i] for i in chosen], rows=self.rows.take(chosen))


def _column_names(file: Path) -> list[str]:
    import pyarrow.parquet as pq

    with reading(file):
        return list(pq.read_schema(file).names)


def _read(file: Path, labelled: bool) -> pa.Table:
    image = image_column(file)
    return read_columns(file, [image, LABEL] if labelled else [image])


def _encoded(file: Path, table: pa.Table) -> list[Encoded]:
    column = next(name for name in _IMAGE_COLUMNS if name in table.column_names)
    return [as_encoded(value, file.parent) for value in table[column].to_pylist()]


def _names(table: pa.Table) -> tuple[str, ...]:
    """Return the class names of Hugging Face's `ClassLabel`, empty where there are none."""
    metadata = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    label = metadata.get("info", {}).get("features", {}).get("label", {})
    return tuple(label.get("names", ()))
