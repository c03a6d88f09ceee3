"""Records' files, read ahead of whoever takes them in."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from heliostat.data.columns import Row
from heliostat.data.decode import header
from heliostat.data.encoded import Encoded, content_of
from heliostat.data.moments import Moments, moments
from heliostat.data.paths import reading
from heliostat.data.records import Record

Loaded = list[tuple[Row, Moments | None]]


def load_ahead(records: Sequence[Record], measured: Collection[int]) -> Iterator[Loaded]:
    """Give all records in order, in pieces, with the moments of those that are to be measured.

    Raises InputError for a file that cannot be read. At most some 64 MiB are read ahead, or
    sixteen records where these are larger.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="heliostat-import") as pool:
        waiting: deque[Future[Loaded]] = deque()
        started, piece, ahead = 0, _FIRST_PIECE, _AHEAD
        try:
            while waiting or started < len(records):
                while started < len(records) and len(waiting) < ahead:
                    numbers = range(started, min(started + piece, len(records)))
                    waiting.append(pool.submit(_load, records, numbers, measured))
                    started = numbers.stop
                loaded = waiting.popleft().result()
                piece = _piece(loaded)
                ahead = _AHEAD_SMALL if piece == _PIECE_RECORDS else _AHEAD
                yield loaded
        finally:
            for future in waiting:
                future.cancel()


_THREADS = 8
_AHEAD = 16
# Threads that read files of 1 kB mostly hand Python's lock to one another: 60,000 of them, in the
# page cache, took 1.5 s of import with two at work, and 2.9 s with four.
_AHEAD_SMALL = 2
_PIECE_BYTES = 4 * 2**20
_PIECE_RECORDS = 256
_FIRST_PIECE = 4


def _piece(loaded: Loaded) -> int:
    """Return how many records like these make up a piece."""
    each = sum(row.size for row, _ in loaded) / len(loaded)
    return int(max(1, min(_PIECE_RECORDS, _PIECE_BYTES // (each + 1))))


def _load(records: Sequence[Record], numbers: range, measured: Collection[int]) -> Loaded:
    return [_loaded(records[number], number in measured) for number in numbers]


def _loaded(record: Record, measured: bool) -> tuple[Row, Moments | None]:
    image = _content(record.image)
    mask = None if record.mask is None else _content(record.mask)
    width, height = _size(image)
    row = Row(record.name, image, width, height, record.label, record.objects, mask)
    return row, moments(image) if measured else None


def _content(encoded: Encoded) -> bytes:
    if isinstance(encoded, bytes):
        return encoded
    try:
        return content_of(encoded)
    except OSError:
        # Entered for each file, the context manager would cost as much as reading a small one.
        with reading(encoded):
            raise


def _size(image: bytes) -> tuple[int, int]:
    """Return (width, height) in pixels; zeros where there is no header that can be read."""
    try:
        _, height, width = header(image)
    except Exception:
        return 0, 0
    return width, height
