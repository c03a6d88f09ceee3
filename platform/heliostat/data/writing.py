"""A source of any format becomes a data set: Parquet shards, and a manifest when all is there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from heliostat.data.columns import Row, content, schema
from heliostat.data.loading import load_ahead
from heliostat.data.manifest import NAME, SHARD, Manifest, SplitFacts
from heliostat.data.moments import Moments, combine
from heliostat.data.records import Listing, Record
from heliostat.data.shard_writer import ShardWriter
from heliostat.data.statistics import choose
from heliostat.data.stores import PART, SCRATCH, Store, open_store
from heliostat.spec.problems import InputError

SHARD_BYTES = 128 * 2**20

Show = Callable[[int, int], None]
"""`show(done, total)`: so many samples of so many are written."""


def import_dataset(
    listing: Listing,
    dest: str,
    *,
    shard_bytes: int = SHARD_BYTES,
    replace: bool = False,
    show: Show = lambda done, total: None,
) -> Manifest:
    """Write all samples of `listing` to the folder `dest`, a path or `s3://bucket/prefix`.

    The manifest comes last, and whatever ends the import before (an exception, Ctrl-C) has what
    was written removed; after a kill, the next import into `dest` removes it. `replace` puts the
    data set in the place of one that is there.

    Raises InputError for a destination that holds something else or cannot be written, and for
    what is wrong with a sample. An image without a readable header is no such thing: its width
    and height are 0, and `helio data check` finds it.
    """
    total = sum(map(len, listing.splits.values()))
    if not total:
        raise InputError.of("there are no samples to import", key=("uri",))
    store = open_store(dest)
    with _claimed(store, replace) as written:
        work = _Import(listing, store, shard_bytes, written, lambda done: show(done, total))
        manifest = work.run()
        store.write(NAME, manifest.to_json())
    return manifest


@contextmanager
def _claimed(store: Store, replace: bool) -> Iterator[list[str]]:
    """Keep the destination marked as unfinished; the names put in the list go if it fails."""
    names = store.names()
    unfinished = any(name.startswith(f"{SCRATCH}/") for name in names)
    if NAME in names and not replace:
        raise InputError.of(
            f"{store.uri} already holds a data set", key=("uri",), valid="--replace, or another"
        )
    if names and NAME not in names and not unfinished:
        some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        raise InputError.of(
            f"{store.uri} holds other files: {some}", key=("uri",), valid="an empty or new folder"
        )
    written: list[str] = [NAME]
    try:
        store.write(_MARKER, _NOTICE)
        # The manifest goes first: without it, what is left is not a data set.
        store.delete([NAME, *filter(_is_ours, names)])
        yield written
    except BaseException:
        # Where the store has gone away, what is said of that is the error that counts.
        with suppress(InputError):
            store.delete([*written, NAME + PART, _MARKER])
        raise
    store.delete([_MARKER])


_MARKER = f"{SCRATCH}/README"
_NOTICE = b"An import into this folder has not ended. `helio data import` starts it again.\n"


def _is_ours(name: str) -> bool:
    left_over = name.startswith(f"{SCRATCH}/") and name != _MARKER
    return left_over or name == NAME + PART or re.fullmatch(SHARD, name) is not None


@dataclass
class _Import:
    """One import: its samples in order, and what is learned of them on the way."""

    listing: Listing
    store: Store
    shard_bytes: int
    written: list[str]
    show: Callable[[int], None]
    done: int = 0
    moments: list[Moments] = field(default_factory=list)

    def run(self) -> Manifest:
        """Write every split's shards."""
        listing = self.listing
        columns = schema(listing.kind, listing.classes)
        about = json.dumps([listing.kind, listing.classes])
        self._digest = hashlib.sha256(about.encode())
        splits = {}
        with self.store.scratch() as scratch:
            for name, records in listing.splits.items():
                writer = ShardWriter(self.store, scratch, name, columns, self.shard_bytes)
                splits[name] = self._write(name, records, writer)
        mean, std = combine(self.moments)
        return Manifest(
            format=listing.format,
            kind=listing.kind,
            classes=tuple(listing.classes),
            columns={column.name: str(column.type) for column in columns},
            mean=mean,
            std=std,
            splits=splits,
            fingerprint=self._digest.hexdigest(),
            measured=len(self.moments),
        )

    def _write(self, split: str, records: Sequence[Record], writer: ShardWriter) -> SplitFacts:
        self._digest.update(f"\n{split} {len(records)}\n".encode())
        counts = [0] * len(self._classes)
        chosen = choose(len(records), 0).tolist() if split == self._measured else ()
        try:
            for loaded in load_ahead(records, frozenset(chosen)):
                self._digest.update(content([row for row, _ in loaded]))
                for row, found in loaded:
                    for number in self._numbers(row):
                        counts[number] += 1
                    writer.add(row)
                    if found is not None:
                        self.moments.append(found)
                self.done += len(loaded)
                self.show(self.done)
            writer.close()
        finally:
            writer.abandon()
            self.written += [shard.path for shard in writer.shards]
        per_class = None if self.listing.kind in ("images", "masks") else tuple(counts)
        return SplitFacts(len(records), per_class, tuple(writer.shards))

    def _numbers(self, row: Row) -> list[int]:
        """Return the classes that a row names; InputError where one is none of the listing's."""
        kind, known = self.listing.kind, len(self._classes)
        if kind in ("labels", "domains"):
            if row.label is not None and 0 <= row.label < known:
                return [row.label]
            raise _unknown_class(row, row.label, known)
        if kind != "objects" or row.objects is None:
            return []
        numbers: list[int] = row.objects.classes.tolist()
        if numbers and not 0 <= min(numbers) <= max(numbers) < known:
            raise _unknown_class(row, numbers, known)
        return numbers

    @property
    def _classes(self) -> tuple[str, ...]:
        return self.listing.classes

    @property
    def _measured(self) -> str:
        """The split that statistics are of."""
        return "train" if "train" in self.listing.splits else next(iter(self.listing.splits))


def _unknown_class(row: Row, said: object, known: int) -> InputError:
    return InputError.of(
        f"{row.name} is of class {said}", key=("uri",), valid=f"a number under {known}"
    )
