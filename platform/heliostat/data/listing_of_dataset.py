"""An imported data set as a listing: its shards are read a row group at a time."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from heliostat.data.dataset import is_dataset
from heliostat.data.formats import open_listing
from heliostat.data.imported import read_manifest, record
from heliostat.data.manifest import Shard
from heliostat.data.paths import one_line
from heliostat.data.records import Listing, Record
from heliostat.data.stores import LocalFolder, Store, open_store
from heliostat.spec.problems import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def listing_of(uri: str, format: str | None = None) -> Listing:
    """Return what is at a path, `file://` or `s3://` URI: an imported data set, or a source.

    `format` is that of a source, found out where it is None. Raises InputError, key ("uri",) or
    ("format",), for whatever is wrong with it.
    """
    if is_dataset(uri):
        return dataset_listing(uri)
    return open_listing(Path(open_store(uri).uri), format)


def dataset_listing(uri: str) -> Listing:
    """Return an imported data set's records, for one thread and best in their order.

    They keep one row group in memory. A shard in a bucket is downloaded when it is first met, to
    a temporary folder that holds only the newest.
    """
    store, manifest = read_manifest(uri)
    splits = {name: _Rows(store, facts.shards) for name, facts in manifest.splits.items()}
    return Listing(manifest.format, manifest.kind, manifest.classes, splits)


class ShardLost(InputError):
    """A shard cannot be read: not a mistake in one sample, but the end of reading this set."""


@dataclass
class _Group:
    """The row group in memory: rows [start, start + len(table)) of the split."""

    start: int
    table: pa.Table


class _Rows(Sequence[Record]):
    """The records of a split's shards."""

    def __init__(self, store: Store, shards: Sequence[Shard]) -> None:
        self._store = store
        self._shards = shards
        self._ends = np.cumsum([shard.rows for shard in shards], dtype=np.int64)
        self._folder: Path | None = None
        self._file: tuple[int, pq.ParquetFile] | None = None
        self._group: _Group | None = None

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        group = self._group
        if group is None or not group.start <= index < group.start + len(group.table):
            group = self._group = self._read(index)
        return record(group.table.slice(index - group.start, 1).to_pylist()[0])

    def _read(self, index: int) -> _Group:
        """Read the row group that holds a row."""
        number = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[number]) - self._shards[number].rows
        with _whole(self._store, self._shards[number]):
            file = self._opened(number)
            for place in range(file.num_row_groups):
                rows = file.metadata.row_group(place).num_rows
                if index < start + rows:
                    return _Group(start, file.read_row_group(place))
                start += rows
            raise ValueError("rows are missing")

    def _opened(self, number: int) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        if self._file is None or self._file[0] != number:
            self._file = number, pq.ParquetFile(self._local(self._shards[number]), memory_map=True)
        return self._file[1]

    def _local(self, shard: Shard) -> Path:
        if isinstance(self._store, LocalFolder):
            return self._store.root / shard.path
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="heliostat-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / "shard.parquet"
        # The file before stays readable where it is mapped, until it is let go of.
        path.unlink(missing_ok=True)
        self._store.download(shard.path, path)
        return path


@contextmanager
def _whole(store: Store, shard: Shard) -> Iterator[None]:
    """Turn what a missing or broken shard raises into ShardLost."""
    name = f"{store.uri.rstrip('/')}/{shard.path}"
    try:
        yield
    except FileNotFoundError as error:
        raise ShardLost.of(f"{name} does not exist", key=("uri",)) from error
    except InputError as error:
        raise ShardLost(error.problems) from error
    except (OSError, ValueError) as error:
        raise ShardLost.of(f"{name} cannot be read: {one_line(error)}", key=("uri",)) from error
