"""Which format a source is in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from heliostat.data.formats import (
    cifar,
    coco,
    csv_file,
    domains,
    idx,
    image_folder,
    imagenet,
    images,
    masks,
    parquet,
    voc,
    voc_masks,
    yolo,
)
from heliostat.data.paths import reading
from heliostat.data.records import Listing
from heliostat.spec.nearest import did_you_mean
from heliostat.spec.problems import InputError


class Format(Protocol):
    """A module of this package."""

    NAME: str
    LAYOUT: str
    """What lies where, in a line."""

    def fits(self, path: Path) -> bool:
        """Say whether what lies at the path, which is there, looks like this format."""

    def read(self, path: Path) -> Listing:
        """Return what lies at a path that fits; InputError for whatever is wrong with it."""


FORMATS: tuple[Format, ...] = (
    idx,
    cifar,
    imagenet,
    coco,
    voc,
    voc_masks,
    yolo,
    masks,
    domains,
    parquet,
    csv_file,
    image_folder,
    images,
)
"""The most specific first: what fits an early one often fits later ones as well."""

NAMES: tuple[str, ...] = tuple(format.NAME for format in FORMATS)


def open_listing(path: Path, format: str | None = None) -> Listing:
    """Return what lies at `path`, in the format of this name, or in the first that fits.

    Raises InputError, its key "format" or "uri", for an unknown name, where none fits, and for
    what is broken, each in one line that names the file.
    """
    with reading(path):
        path.stat()
    if format is not None:
        named = _named(format)
        if not named.fits(path):
            message = f"{path} is not laid out as {format}"
            raise InputError.of(message, key=("uri",), valid=named.LAYOUT)
        return named.read(path)
    found = detect(path)
    if found is None:
        what = "an empty folder" if _is_empty(path) else "in no format that is known"
        raise InputError.of(f"{path} is {what}", key=("uri",), valid=f"one of {', '.join(NAMES)}")
    detected, at = found
    return detected.read(at)


def detect(path: Path) -> tuple[Format, Path] | None:
    """Return the first format that fits what lies at the path, which is there, and where it lies.

    That is the path itself, or the one folder in it, which an archive unpacks to, where a format
    with annotations fits that: as an image folder it would be one of a single class.
    """
    found = next((each for each in FORMATS if each.fits(path)), None)
    if found is None or found.NAME in _OF_FOLDERS:
        only = _only_folder(path)
        below = detect(only) if only else None
        if below is not None and below[0].NAME not in _OF_FOLDERS:
            return below
    return None if found is None else (found, path)


_OF_FOLDERS = (image_folder.NAME, images.NAME)


def _only_folder(path: Path) -> Path | None:
    folders = [each for each in path.iterdir() if each.is_dir()] if path.is_dir() else []
    return folders[0] if len(folders) == 1 else None


def _named(name: str) -> Format:
    found = next((each for each in FORMATS if name == each.NAME), None)
    if found is None:
        valid = did_you_mean(name, NAMES)
        raise InputError.of(f"unknown format {name!r}", key=("format",), valid=valid)
    return found


def _is_empty(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None
