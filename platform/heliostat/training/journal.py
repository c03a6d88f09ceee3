"""The journal: what a job has to say, written durably before anybody else hears of it.

A journal is a folder of append-only segments of JSON lines, `<attempt>-<rank>-<segment>.jsonl`.
What the job's driver says of an attempt has `driver` in the rank's place. Each writer owns its
files, so a writer that wakes up late cannot spoil another's. A reader takes whole lines only: a
line torn by a crash is never seen.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliostat.training.storage import write_bytes
from heliostat.training.storage_away import StorageAway

Record = dict[str, Any]

SEGMENT_BYTES = 4 * 1024 * 1024
MOST_WAITING = 64 * 1024 * 1024
"""Bytes of records that may wait in memory for a disk."""
_DRIVER = "driver"  # sorts after every rank's number


class Journal:
    """The writer of one rank, or of the driver (rank None), in one attempt.

    What a full disk or a file system that is away refuses waits in memory, in its order, and is
    tried again with every record; a line that came onto the disk in part is taken back first.
    """

    def __init__(
        self,
        folder: Path,
        *,
        attempt: int,
        rank: int | None,
        segment_bytes: int = SEGMENT_BYTES,
        refused: Callable[[OSError], None] | None = None,
        accepted: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the writer's first segment in `folder`, which is made if it is missing.

        `refused` is told what the disk said where something has to wait, and may raise;
        `accepted` is told when nothing waits any more. Without `refused` the error is raised.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._stem = folder / f"{attempt:04d}-{_DRIVER if rank is None else f'{rank:04d}'}"
        self._segment = 0
        self._segment_bytes = segment_bytes
        self._refused = refused
        self._accepted = accepted
        self._waiting: deque[_Line] = deque()
        self._waiting_bytes = 0
        self._was_refused = False
        # The loop writes, and so does the thread that samples the system.
        self._lock = threading.Lock()
        self._file, self._end = self._open_segment(0)

    def write(self, kind: str, *, file: tuple[Path, bytes] | None = None, **fields: Any) -> None:
        """Append one record; it is the operating system's when this returns, unless it waits.

        `time` (unix milliseconds) is set here unless it is given. A `file` that the record
        names, with its content, is written before it. Raises StorageAway where too much waits.
        """
        record = {"kind": kind, "time": now_ms(), **fields}
        line = _Line((json.dumps(record, separators=(",", ":")) + "\n").encode(), file)
        with self._lock:
            if self._file is None:
                raise ValueError("the journal is closed")
            if self._waiting_bytes > MOST_WAITING:
                raise StorageAway(f"{MOST_WAITING:,} bytes of records wait for {self._stem.parent}")
            self._waiting.append(line)
            self._waiting_bytes += line.size
        self._settle(self._append)

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        self._settle(self._append, self._flush)

    def close(self) -> None:
        """Sync and close; the journal is not written after this.

        Where something waits it stays open: the caller may try again.
        """
        if self._file is None:
            return
        self.sync()
        with self._lock:
            if not self._waiting:
                os.close(self._file)
                self._file = None

    @property
    def waits(self) -> bool:
        """Whether there are records that the disk has not taken."""
        return bool(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether it is written no more."""
        return self._file is None

    def _settle(self, *work: Callable[[], None]) -> None:
        """Do the work, and tell of what the disk refused, outside of the lock: it may write."""
        try:
            with self._lock:
                waited = self._was_refused
                for step in work:
                    step()
                self._was_refused = False
        except OSError as error:
            self._was_refused = True
            if self._refused is None:
                raise
            self._refused(error)
        else:
            if waited:
                self._accepted()

    def _append(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            if line.file is not None:
                line.file[0].parent.mkdir(parents=True, exist_ok=True)
                write_bytes(*line.file)
            self._write_at_the_end(line.text)
            self._waiting.popleft()
            self._waiting_bytes -= line.size
            if self._end > self._segment_bytes:
                self._begin_another()

    def _write_at_the_end(self, text: bytes) -> None:
        assert self._file is not None
        done = 0
        try:
            while done < len(text):
                done += os.pwrite(self._file, text[done:], self._end + done)
        except OSError:
            with suppress(OSError):  # what follows is written over it in any case
                os.ftruncate(self._file, self._end)
            raise
        self._end += len(text)

    def _begin_another(self) -> None:
        self._flush()
        assert self._file is not None
        before = self._file
        self._file, self._end = self._open_segment(self._segment + 1)
        self._segment += 1
        os.close(before)

    def _flush(self) -> None:
        if self._file is not None:
            os.fsync(self._file)

    def _open_segment(self, number: int) -> tuple[int | None, int]:
        """Return the segment's file, and where its last whole line ends."""
        file = os.open(f"{self._stem}-{number:06d}.jsonl", os.O_RDWR | os.O_CREAT, 0o666)
        size = os.fstat(file).st_size
        end = os.pread(file, size, 0).rfind(b"\n") + 1 if size else 0
        if end < size:
            os.ftruncate(file, end)
        return file, end


@dataclass(frozen=True)
class _Line:
    """A record on its way, and the file that it names."""

    text: bytes
    file: tuple[Path, bytes] | None

    @property
    def size(self) -> int:
        return len(self.text) + (len(self.file[1]) if self.file else 0)


class JournalReader:
    """Follows a journal folder: each call gives the records that are new since the last."""

    def __init__(self, folder: Path) -> None:
        """Start at the journal's beginning; the folder need not exist yet."""
        self._folder = folder
        self._offsets: dict[str, int] = {}

    def new_records(self) -> list[Record]:
        """Return the complete new records: by attempt, then rank, then as they were written.

        Each has its `attempt` and its `rank`, None for the driver, whose records come last.
        """
        records: list[Record] = []
        for path in sorted(self._folder.glob("*.jsonl")):
            records.extend(self._new_lines(path))
        return records

    def _new_lines(self, path: Path) -> list[Record]:
        offset = self._offsets.get(path.name, 0)
        if path.stat().st_size == offset:
            return []
        with path.open("rb") as file:
            file.seek(offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offsets[path.name] = offset + len(whole)
        attempt, rank, _ = path.stem.split("-")
        place = {"attempt": int(attempt), "rank": None if rank == _DRIVER else int(rank)}
        return [{**place, **json.loads(line)} for line in whole.splitlines()]


def read_all(folder: Path) -> list[Record]:
    """Return every complete record of the journal in `folder`."""
    return JournalReader(folder).new_records()


def events(records: list[Record], name: str) -> list[Record]:
    """Return the events called `name`, in the journal's order."""
    return [r for r in records if r["kind"] == "event" and r["name"] == name]


def metric_values(records: list[Record], *, after: int) -> Mapping[str, dict[int, float]]:
    """Return the recorded values of every metric at steps beyond `after`: name → step → value."""
    values: dict[str, dict[int, float]] = {}
    for record in records:
        if record["kind"] == "metric" and record["step"] > after:
            values.setdefault(record["name"], {})[record["step"]] = record["value"]
    return values


def now_ms() -> int:
    """Return the unix time in milliseconds, the unit of MLflow's timestamps."""
    return time.time_ns() // 1_000_000
