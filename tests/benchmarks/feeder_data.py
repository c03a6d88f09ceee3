"""What the feeders read: the same real images, in the form that each of them documents."""

from __future__ import annotations

import gzip
import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHOTOS = 1_500
SMALL = 20_000
BUCKET = "feeders"


@dataclass(frozen=True)
class Part:
    """A kind of data and what is done to it, the same for every feeder."""

    name: str
    size: int
    """Pixels of a side of what comes out."""
    padding: int | None
    """Of a random crop; None: a random resized crop."""
    batch: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


_COLOUR = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PARTS = {
    part.name: part
    for part in (
        Part("photos", 128, None, 64, *_COLOUR),
        Part("small", 32, 4, 256, *_COLOUR),
        Part("arrays", 28, 2, 256, (0.286,), (0.353,)),
        Part("user_transform", 128, None, 64, *_COLOUR),
    )
}


def make(part: str, source: Path, work: Path) -> Path:
    """Return the folder of a part's files, written from the real data in `source` if missing."""
    if part == "arrays":
        return source / "fashion-mnist"
    folder = work / ("small" if part == "small" else "photos")
    if not folder.is_dir():
        temporary = folder.with_suffix(".new")
        shutil.rmtree(temporary, ignore_errors=True)
        (_small if part == "small" else _photos)(source, temporary)
        temporary.rename(folder)
    return folder


def converted(folder: Path, kind: str, write: Callable[[Path], None]) -> Path:
    """Return the copy of `folder` in another form, made by `write` if missing."""
    target = folder.parent / f"{folder.name}-{kind}"
    if not target.exists():
        temporary = target.with_suffix(".new")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary)
        temporary.rename(target)
    return target


def files(folder: Path) -> Iterator[tuple[bytes, int]]:
    """Yield (content, class) of an image folder's files, in a fixed mixed order."""
    classes = sorted(path.name for path in folder.iterdir())
    paths = sorted(folder.glob("*/*.jpg"), key=lambda path: path.name)
    for path in paths:
        yield path.read_bytes(), classes.index(path.parent.name)


def fashion(folder: Path, split: str = "train") -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return Fashion-MNIST's (n, 28, 28) images and labels."""
    with gzip.open(folder / f"{split}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{split}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return images, labels


def _photos(source: Path, folder: Path) -> None:
    kinds = {
        "raccoon": sorted((source / "raccoon" / "images").glob("*.jpg")),
        "cells": sorted((source / "bccd" / "BCCD" / "JPEGImages").glob("*.jpg")),
    }
    images = [(kind, path) for kind, paths in kinds.items() for path in paths]
    for number in range(PHOTOS):
        kind, path = images[number % len(images)]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / kind / f"{number:05}.jpg")


def _small(source: Path, folder: Path) -> None:
    images, labels = fashion(source / "fashion-mnist")
    for number in range(SMALL):
        image = Image.fromarray(images[number]).resize((32, 32)).convert("RGB")
        content = io.BytesIO()
        image.save(content, "JPEG", quality=90)
        target = folder / str(labels[number])
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{number:05}.jpg").write_bytes(content.getvalue())


def threads() -> int:
    """Return the processes or threads that a feeder may use beside the main thread."""
    return min(2, os.cpu_count() or 1)
