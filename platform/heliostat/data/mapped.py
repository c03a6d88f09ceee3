"""Rows of cached shards, read where they lie in mapped files."""

from __future__ import annotations

import os
import resource
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from heliostat.data.imported import record
from heliostat.data.manifest import Shard
from heliostat.data.records import Record
from heliostat.data.rows import Rows
from heliostat.data.samples import Indices
from heliostat.data.shards import cache_bytes, cache_folder, facts, held
from heliostat.data.stores import Store

if TYPE_CHECKING:
    import pyarrow as pa


class Mapped:
    """The shards of a split, each fetched and mapped when it is first asked for.

    All stay mapped where all fit into the cache. Where they do not, those used last stay, of at
    most half of it: the rest may be evicted. Threads may share it.
    """

    def __init__(self, store: Store, shards: Sequence[Shard]) -> None:
        """Take the shards, in the order of their rows."""
        self.store = store
        self.shards = tuple(shards)
        self._folder = cache_folder()
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def fits(self) -> bool:
        """Whether the cache may hold all of them at once."""
        return sum(shard.bytes for shard in self.shards) <= cache_bytes()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The shards' names, with the data set's."""
        return tuple(f"{self.store.uri.rstrip('/')}/{shard.path}" for shard in self.shards)

    def rows(self) -> Rows:
        """Return all rows."""
        counts = (shard.rows for shard in self.shards)
        return Rows.of(*zip(self.names, counts, strict=True))

    def source(self, rows: Rows, index: int) -> str:
        """Return `set#path` of one of `rows`: the path that it was imported from."""
        shard, row = rows.place(index)
        path = self.opened(shard).path(row)
        return f"{self.store.uri}#{path}" if path else rows.name(index)

    def opened(self, number: int) -> OpenShard:
        """Return a shard; InputError where it cannot be fetched."""
        with self._lock:
            found = self._open.get(number)
            if found is not None:
                self._open.move_to_end(number)
                return found
        # Not under the lock: threads fetch different shards at the same time.
        opened = OpenShard(*held(self.store, self.shards[number], self._folder))
        with self._lock:
            found = self._open.setdefault(number, opened)
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        return found

    def facts(self, rows: Rows, name: str) -> Indices | None:
        """Return a small column's values (`shards.FACTS`) of `rows`; None where there is none."""
        columns = []
        for shard in self.shards:
            table = facts(self.store, shard, self._folder)
            if name not in table.column_names:
                return None
            columns.append(table[name].to_numpy())
        return np.concatenate([np.zeros(0, np.int64), *columns])[rows.chosen].astype(np.int64)

    @cached_property
    def _most(self) -> int:
        # Two descriptors a shard: the map's own, and the one that is locked.
        files = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8)
        if self.fits:
            return min(files, len(self.shards))
        largest = max(shard.bytes for shard in self.shards)
        return max(1, min(files, cache_bytes() // 2 // largest))


@dataclass(frozen=True, eq=False)
class MappedImages:
    """Encoded images that are rows of shards (an `images.Store`)."""

    mapped: Mapped
    rows: Rows

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rows.chosen)

    def __getitem__(self, index: int) -> bytes:
        """Return one image's content, copied out of the mapped file; empty where there is none."""
        shard, row = self.rows.place(index)
        return self.mapped.opened(shard).image(row)

    def name(self, index: int) -> str:
        """Return `set#path`, the path that the image had where it was imported from."""
        return self.mapped.source(self.rows, index)

    def take(self, chosen: Indices) -> Self:
        """Return the store of the chosen images."""
        return replace(self, rows=self.rows.take(chosen))

    def labels(self, indices: Indices) -> Indices:
        """Return the labels of some, int64 (n,), read from their shards."""
        places = [self.rows.place(index) for index in indices.tolist()]
        found = [self.mapped.opened(shard).value("label", row) for shard, row in places]
        return np.array(found, np.int64)


class OpenShard:
    """A shard's Arrow file, mapped and kept from being evicted for as long as this lives."""

    def __init__(self, path: Path, descriptor: int) -> None:
        import pyarrow as pa

        weakref.finalize(self, os.close, descriptor)
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        counts = np.array([batch.num_rows for batch in self._batches], np.int64)
        self._starts = np.cumsum(counts) - counts
        self._images = [_Binary(batch.column("image").field("bytes")) for batch in self._batches]

    def image(self, row: int) -> bytes:
        """Return an image's content; empty where there is none."""
        batch, row = self._place(row)
        return self._images[batch][row]

    def path(self, row: int) -> str | None:
        """Return where an image was imported from."""
        batch, row = self._place(row)
        path: str | None = self._batches[batch].column("image").field("path")[row].as_py()
        return path

    def value(self, name: str, row: int) -> Any:
        """Return a column's value."""
        batch, row = self._place(row)
        return self._batches[batch].column(name)[row].as_py()

    def record(self, row: int) -> Record:
        """Return a whole row."""
        batch, row = self._place(row)
        (values,) = self._batches[batch].slice(row, 1).to_pylist()
        return record(values)

    def _place(self, row: int) -> tuple[int, int]:
        batch = int(np.searchsorted(self._starts, row, side="right")) - 1
        return batch, row - int(self._starts[batch])


class _Binary:
    """A column of bytes by number, without a pyarrow scalar for each."""

    def __init__(self, array: pa.Array) -> None:
        import pyarrow as pa

        _, offsets, data = array.buffers()
        width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
        self._offsets = np.frombuffer(offsets, width)[array.offset :]
        self._data = memoryview(data if data is not None else b"")

    def __getitem__(self, row: int) -> bytes:
        return bytes(self._data[self._offsets[row] : self._offsets[row + 1]])
