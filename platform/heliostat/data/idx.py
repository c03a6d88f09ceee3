"""The MNIST family's IDX files (https://yann.lecun.com/exdb/mnist), gzipped or not."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np

from heliostat.data import splits
from heliostat.data.arrays import Arrays
from heliostat.data.paths import entries, reading
from heliostat.data.rows import Rows
from heliostat.data.samples import Labels, Pixels
from heliostat.spec.problems import InputError


def image_files(folder: Path) -> dict[str, Path]:
    """Return the folder's IDX image file of each split; empty where it holds none."""
    matches = ((_IMAGES.match(path.name), path) for path in entries(folder, "ubyte", ".gz")[1])
    return {_SPLITS[match[1]]: path for match, path in matches if match}


def open_idx(uri: str, folder: Path, split: str, *, labelled: bool) -> Arrays:
    """Return a split, grey, its classes named by their numbers."""
    images_by_split = image_files(folder)
    path = images_by_split[splits.choose(split, images_by_split)]
    with reading(path):
        images = _read(path, dimensions=3)[:, None]
    labels = _labels(path, len(images), labelled)
    classes = tuple(str(label) for label in range(labels.max() + 1)) if labels is not None else ()
    return Arrays(uri, classes, images, labels, Rows.of((str(path), len(images))))


_IMAGES = re.compile(r"(train|t10k|val|test)-images[-.]idx3-ubyte(\.gz)?$")
_SPLITS = {"train": "train", "t10k": "test", "val": "val", "test": "test"}


def _labels(images: Path, count: int, labelled: bool) -> Labels | None:
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    bare = name.removesuffix(".gz")
    for path in (images.with_name(bare), images.with_name(f"{bare}.gz")):
        if path.exists():
            with reading(path):
                labels = _read(path, dimensions=1).astype(np.int64)
                if len(labels) != count:
                    raise ValueError(f"{len(labels)} labels for {count} images")
                return labels
    if labelled:
        missing = f"{images} has no file of labels beside it"
        raise InputError.of(missing, key=("uri",), valid=name)
    return None


def _read(path: Path, dimensions: int) -> Pixels:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        data = file.read()
    # Two zero bytes, the type (8: uint8), the number of dimensions, then each size, big-endian.
    if data[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"not an IDX file of uint8 with {dimensions} dimensions")
    sizes = np.frombuffer(data, ">u4", count=dimensions, offset=4).astype(np.int64)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
    if values.size != sizes.prod() or not values.size:
        raise ValueError(f"{values.size} bytes of content, {sizes.prod()} by its header")
    return values.reshape(sizes)
