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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]

SEGMENT_BYTES = 4 * 1024 * 1024
_DRIVER = "driver"  # sorts after every rank's number


class Journal:
    """The writer of one rank, or of the driver (rank None), in one attempt."""

    def __init__(
        self, folder: Path, *, attempt: int, rank: int | None, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Open the writer's first segment in `folder`, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._stem = folder / f"{attempt:04d}-{_DRIVER if rank is None else f'{rank:04d}'}"
        self._segment = 0
        self._segment_bytes = segment_bytes
        # The loop writes, and so does the thread that samples the system.
        self._lock = threading.Lock()
        self._file = self._open_segment()

    def write(self, kind: str, **fields: Any) -> None:
        """Append one record; it is the operating system's when this returns.

        `time` (unix milliseconds) is set here unless it is given.
        """
        record = {"kind": kind, "time": now_ms(), **fields}
        line = json.dumps(record, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            if self._file.tell() > self._segment_bytes:
                self.close()
                self._segment += 1
                self._file = self._open_segment()

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close; the journal is not written after this."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def _open_segment(self) -> Any:
        return open(f"{self._stem}-{self._segment:06d}.jsonl", "a", encoding="utf-8")


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
