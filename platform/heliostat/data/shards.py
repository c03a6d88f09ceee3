"""A node's cache of shards: each is fetched once, whatever the number of workers.

A Parquet shard becomes an Arrow file, uncompressed and named by the shard's SHA-256, that workers
map into memory: its pages are the system's to give back, so that memory stays flat however large
the set is. Shards of a local data set are converted in the same way.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from heliostat.data.manifest import Shard
from heliostat.data.node import node_folder
from heliostat.data.paths import one_line
from heliostat.data.stores import LocalFolder, unusable
from heliostat.spec.problems import InputError

if TYPE_CHECKING:
    import pyarrow as pa


class Remote(Protocol):
    """What the cache needs of a `stores.Store`."""

    @property
    def uri(self) -> str:
        """What a person calls it."""

    def download(self, name: str, to: Path) -> None:
        """Write a file's content to a local path; FileNotFoundError where there is none."""


FACTS = ("width", "height", "label")
"""Columns that are kept for every shard that was ever fetched: a few bytes a row."""


def cache_folder() -> Path:
    """Return the folder of this node's shards."""
    return node_folder("cache/shards")


def cache_bytes() -> int:
    """Return the cache's limit as it is set: HELIO_CACHE_BYTES, or 100 GiB.

    A data set that is larger is shuffled in blocks. So the limit is part of what decides the
    order, and must not depend on how full a node's disk happens to be.
    """
    text = os.environ.get("HELIO_CACHE_BYTES") or str(100 * 2**30)
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise InputError.of(
            f"HELIO_CACHE_BYTES is {text!r}", valid="a number of bytes, such as 50000000000"
        )
    return int(text)


def cache_limit(folder: Path) -> int:
    """Return how many bytes the cache may take: `cache_bytes()`, or 80 % of the disk's free space
    (what the cache has of it already included) where that is less."""
    free = shutil.disk_usage(folder).free + sum(_sizes(folder).values())
    return min(cache_bytes(), free * 8 // 10)


def cached(store: Remote, shard: Shard, folder: Path) -> Path:
    """Return a shard's Arrow file in the cache, fetched and converted where it is not there.

    Several processes may ask at once: one fetches. Shards used longest ago make room, but for
    those that a living process holds open: the cache is over its limit while more is open than
    that. Raises InputError where the shard is missing, is not what the manifest says (after a
    second try), or finds no room.
    """
    if not re.fullmatch("[0-9a-f]{64}", shard.sha256):
        raise InputError.of(f"{_named(store, shard)} has no SHA-256 in the manifest", key=("uri",))
    path = folder / f"{shard.sha256}.arrow"
    if not _touched(path):
        with _writing(folder), _locked(folder / f"{shard.sha256}.lock"):
            if not _touched(path):
                _make_room(folder, shard.bytes)
                _fetch(store, shard, path)
    return path


def held(store: Remote, shard: Shard, folder: Path) -> tuple[Path, int]:
    """Return a cached shard's path and a descriptor of it: while that is open, it is not evicted.

    The descriptor is the caller's to close. Raises as `cached` does.
    """
    while True:
        path = cached(store, shard, folder)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # evicted between the two calls: the file has no name any more


def facts(store: Remote, shard: Shard, folder: Path) -> pa.Table:
    """Return a shard's columns `FACTS`, as far as it has them; fetched where they are not known."""
    import pyarrow as pa

    path = folder / f"{shard.sha256}.facts"
    if not path.exists():
        cached(store, shard, folder)
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _fetch(store: Remote, shard: Shard, path: Path) -> None:
    with _parquet(store, shard, path.with_suffix(".parquet")) as parquet:
        try:
            _convert(parquet, path)
        except ValueError as error:  # pyarrow's ArrowInvalid
            raise InputError.of(
                f"{_named(store, shard)} cannot be read: {one_line(error)}", key=("uri",)
            ) from error


@contextmanager
def _parquet(store: Remote, shard: Shard, copy: Path) -> Iterator[Path]:
    """Give the shard's Parquet file, checked: itself where it is local, else a copy."""
    if isinstance(store, LocalFolder):
        found = _difference(store.root / shard.path, shard, store)
        if found:
            raise _not_as_said(store, shard, found)
        yield store.root / shard.path
        return
    try:
        found = _downloaded(store, shard, copy) and _downloaded(store, shard, copy)
        if found:
            raise _not_as_said(store, shard, found)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _downloaded(store: Remote, shard: Shard, copy: Path) -> str:
    try:
        store.download(shard.path, copy)
    except FileNotFoundError as error:
        raise _missing(store, shard) from error
    return _difference(copy, shard, store)


def _difference(file: Path, shard: Shard, store: Remote) -> str:
    """Return how the file differs from what the manifest says; empty where it does not."""
    try:
        size = file.stat().st_size
        if size != shard.bytes:
            return f"{size} bytes instead of {shard.bytes}"
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise _missing(store, shard) from error
    return "" if found == shard.sha256 else f"SHA-256 {found[:12]}… instead of {shard.sha256[:12]}…"


def _convert(parquet: Path, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = path.with_suffix(".part")
    kept: list[pa.RecordBatch] = []
    # Read page by page: a row group's column may be as large as the shard.
    with (
        pq.ParquetFile(parquet, pre_buffer=False, buffer_size=2**20) as source,
        pa.OSFile(str(part), "wb") as sink,
        pa.ipc.new_file(sink, source.schema_arrow) as writer,
    ):
        names = [name for name in FACTS if name in source.schema_arrow.names]
        for batch in source.iter_batches(batch_size=_ROWS, use_threads=False):
            writer.write_batch(batch)
            kept.append(batch.select(names))
        schema = pa.schema([source.schema_arrow.field(name) for name in names])
    with (
        pa.OSFile(str(path.with_suffix(".facts.part")), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        writer.write_table(pa.Table.from_batches(kept, schema))
    os.replace(path.with_suffix(".facts.part"), path.with_suffix(".facts"))
    os.replace(part, path)


_ROWS = 256


def _make_room(folder: Path, needed: int) -> None:
    """Remove what was used longest ago until `needed` bytes fit below the limit."""
    with _locked(folder / "room.lock"):
        sizes = _sizes(folder)
        excess = sum(sizes.values()) + needed - cache_limit(folder)
        for path in sorted(sizes, key=_used):
            if excess <= 0:
                return
            if _removed(path):
                excess -= sizes[path]


def _removed(path: Path) -> bool:
    """Remove a file of the cache, unless a process holds it open or is writing it."""
    guard = path if path.suffix == ".arrow" else path.with_name(f"{path.name[:64]}.lock")
    with suppress(FileNotFoundError), guard.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink(missing_ok=True)
    return True


def _sizes(folder: Path) -> dict[Path, int]:
    """Return what takes room: the shards, and what processes that died left half-written."""
    found = {}
    for entry in os.scandir(folder):
        if entry.name.endswith((".arrow", ".part", ".parquet")):
            with suppress(FileNotFoundError):
                found[Path(entry.path)] = entry.stat().st_size
    return found


def _used(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _touched(path: Path) -> bool:
    """Say whether the shard is there; its modification time says when it was last opened."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise unusable(str(folder), error) from error


def _missing(store: Remote, shard: Shard) -> InputError:
    return InputError.of(f"{_named(store, shard)} does not exist", key=("uri",))


def _not_as_said(store: Remote, shard: Shard, difference: str) -> InputError:
    return InputError.of(
        f"{_named(store, shard)} is not what {store.uri} was imported with: {difference}",
        key=("uri",),
        valid="import the data set again",
    )


def _named(store: Remote, shard: Shard) -> str:
    return f"{store.uri.rstrip('/')}/{shard.path}"
