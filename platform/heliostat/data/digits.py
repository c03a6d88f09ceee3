"""scikit-learn's bundled handwritten digits: 1,797 grey images of 8×8 (UCI, Alpaydin 1998)."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from heliostat.data import splits
from heliostat.data.arrays import Arrays
from heliostat.data.paths import reading
from heliostat.data.rows import Rows
from heliostat.spec.problems import InputError

URI = "sklearn:digits"


def open_digits(split: str) -> Arrays:
    """Return the digits, their values of 0..16 scaled to 0..255."""
    splits.refuse_named(split)
    path = _file()
    with reading(path), gzip.open(path) as file:
        table = np.loadtxt(file, delimiter=",")
    images = np.round(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = table[:, -1].astype(np.int64)
    return Arrays(URI, tuple("0123456789"), images, labels, Rows.of((URI, len(images))))


def _file() -> Path:
    # The file is found without importing scikit-learn, which takes 1.5 s (3 s when cold).
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise InputError.of(f"{URI} needs scikit-learn, which is not installed", key=("uri",))
    return Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
