"""CIFAR-10 and CIFAR-100, python and binary batches."""

from __future__ import annotations

from pathlib import Path

from heliostat.data.cifar import batch_files, open_cifar
from heliostat.data.formats import arrays
from heliostat.data.records import Listing

NAME = "cifar"
LAYOUT = "data_batch_1 … test_batch, or train and test with meta; or the same as .bin"


def fits(path: Path) -> bool:
    """Say whether the folder holds CIFAR's batches."""
    return path.is_dir() and bool(batch_files(path))


def read(path: Path) -> Listing:
    """Return the splits, held in memory as they are in the files; CIFAR-100's fine classes."""
    opened = {split: open_cifar(str(path), path, split) for split in batch_files(path)}
    return arrays.listing(NAME, path, opened)
