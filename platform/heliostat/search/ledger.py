"""The ledger of a search: one JSON object a line, only ever appended to, synced to the disk.

A record has `kind`, `time` (ms since 1970) and what its kind says:

    begun      settings, limits         what the search is of, and how far it may go
    resumed    limits, reopened         a driver goes on with it; trials that are open again
    suggested  trial, values
    leg        trial, until, retry; of a clone also clone, and its new values
    told       trial, epoch, step, values, curve, finished, seconds
    failed     trial, verdict, message, again
    ended      trial, status, reason, open
    stopped    why, by, failure

A driver that is killed as it writes leaves a torn last line, which nobody reads: its record was
not acted on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]

LEDGER = "ledger.jsonl"
"""Its name in a search's folder."""


def read_records(path: Path, offset: int = 0) -> tuple[list[Record], int]:
    """Return the whole records from byte `offset` on, and the offset behind the last of them.

    Nothing is there yet where the file is not. Raises ValueError where a line that is not the
    last one is no record.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        lines = file.read().split(b"\n")[:-1]
    records: list[Record] = []
    for number, line in enumerate(lines):
        record = _parsed(line)
        if record is None and number < len(lines) - 1:
            raise ValueError(f"{path}: byte {offset}: not a record: {line[:80]!r}")
        if record is None:
            break
        records.append(record)
        offset += len(line) + 1
    return records, offset


class Ledger:
    """The ledger at `path`, as the driver of a search writes it. There is one writer at a time.

    `sync` brings what was written through a file descriptor to the disk.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.time,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.path = path
        self._clock = clock
        self._sync = sync
        self._end: int | None = None

    def records(self) -> list[Record]:
        """Return all records."""
        records, self._end = read_records(self.path)
        return records

    def append(self, records: Iterable[Record]) -> None:
        """Write `records` behind the last whole one; they are on the disk when this returns."""
        stamp = {"time": int(self._clock() * 1000)}
        lines = [json.dumps({**stamp, **record}, allow_nan=False) for record in records]
        if not lines:
            return
        if self._end is None:
            self._end = read_records(self.path)[1]
        new = not self.path.exists()
        data = "".join(f"{line}\n" for line in lines).encode()
        with self.path.open("ab") as file:
            if file.tell() != self._end:
                file.truncate(self._end)
            file.write(data)
            file.flush()
            self._sync(file.fileno())
        if new:
            self._sync_folder()
        self._end += len(data)

    def _sync_folder(self) -> None:
        """Make the ledger's name as durable as what it holds."""
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
