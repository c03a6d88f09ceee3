"""The MNIST family's IDX files."""

from __future__ import annotations

from pathlib import Path

from heliostat.data.formats import arrays
from heliostat.data.idx import image_files, open_idx
from heliostat.data.records import Listing

NAME = "idx"
LAYOUT = "train-images-idx3-ubyte, train-labels-idx1-ubyte and the t10k- files, gzipped or not"


def fits(path: Path) -> bool:
    """Say whether the folder holds an IDX file of images."""
    return path.is_dir() and bool(image_files(path))


def read(path: Path) -> Listing:
    """Return the splits, held in memory as they are in the files."""
    opened = {s: open_idx(str(path), path, s, labelled=True) for s in image_files(path)}
    return arrays.listing(NAME, path, opened)
