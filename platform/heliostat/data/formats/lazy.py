"""Records that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar, overload

from heliostat.data.records import Record
from heliostat.data.samples import Labels

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Lazy(Sequence[Record], Generic[Item]):
    """A record of each item, made anew each time; it can be pickled where `make` can."""

    items: Sequence[Item]
    make: Callable[[Item], Record]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Lazy[Item]: ...

    def __getitem__(self, index: int | slice) -> Record | Lazy[Item]:
        """Return one record, or the sequence of some; InputError where its file is broken."""
        if isinstance(index, slice):
            return replace(self, items=self.items[index])
        return self.make(self.items[index])


def image_records(root: Path, paths: Sequence[Path], labels: Labels | None = None) -> Lazy[int]:
    """Return the records of image files below `root`, with labels int64 (n,) where they have."""
    return Lazy(range(len(paths)), partial(_image_record, root, paths, labels))


def _image_record(root: Path, paths: Sequence[Path], labels: Labels | None, number: int) -> Record:
    path = paths[number]
    label = None if labels is None else int(labels[number])
    return Record(path, path.relative_to(root).as_posix(), label)
