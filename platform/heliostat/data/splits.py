"""Which split of a source is meant, and which of its samples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from heliostat.data import counter
from heliostat.data.samples import Indices
from heliostat.spec.problems import InputError
from heliostat.spec.splits import Split

WHOLE = ("all", "train")
"""Names of the one split of a source that is not divided (Hugging Face calls it train)."""

FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The split that a folder, or a Parquet file, of this name holds."""


def choose(name: str, available: Iterable[str]) -> str:
    """Return the split `name` of a source that is divided into the `available` ones.

    Raises InputError if it is not there. "all" is not: training on all would take the test split
    in without a word.
    """
    names = tuple(available)
    if name in names:
        return name
    message = "several splits, and none is named" if name == "all" else f"no split {name!r} here"
    raise InputError.of(message, key=("split",), valid=" | ".join(names))


def choose_part(name: str, available: Iterable[str]) -> str:
    """Return the split `name`, or "all" of a source that is not divided.

    Raises InputError as `choose` and `refuse_named` do.
    """
    names = tuple(available)
    if names != ("all",):
        return choose(name, names)
    refuse_named(name)
    return "all"


def refuse_named(name: str) -> None:
    """Raise InputError if `name` is a part of a source that is not divided."""
    if name not in WHOLE:
        raise InputError.of(
            f"no split {name!r} here: this data is not divided",
            key=("split",),
            valid="slices of it, such as all[:80%] and all[80%:]",
        )


def rows(split: Split, size: int) -> Indices | None:
    """Return which of a split's `size` samples its slice takes; None where it has no slice.

    A slice is one of a fixed permutation, the same whatever the job's seed: slices that do not
    overlap share no sample in any job, and each is mixed although files are sorted by class.
    """
    if split.start is None and split.stop is None:
        return None
    taken = split.resolve(size)
    if not taken:
        raise InputError.of(
            f"the slice is empty: the split {split.name!r} has {size} samples", key=("split",)
        )
    return counter.permutation(size, _SLICES)[np.arange(taken.start, taken.stop)]


_SLICES = counter.key(0x511CE)
