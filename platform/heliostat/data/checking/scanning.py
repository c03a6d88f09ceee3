"""A whole source, sample by sample, and what only shows over all of them."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from heliostat.data.checking.balance import about_balance
from heliostat.data.checking.examining import Examined, examine, thumbnail
from heliostat.data.checking.report import Finding, FindingKind, Report
from heliostat.data.checking.sameness import Pictures, same_pictures
from heliostat.data.listing_of_dataset import ShardLost
from heliostat.data.records import Listing
from heliostat.data.samples import Indices, Pixels
from heliostat.spec.problems import InputError

Progress = Callable[[str, int, int], None]
"""Takes a split, how many of its samples were looked at, and how many there are."""


def check(
    listing: Listing, *, limit: int | None = None, progress: Progress | None = None
) -> Report:
    """Look at every sample, or at `limit` of each split, spread evenly over it.

    Images are decoded by as many threads as there are CPUs, a few at a time: what is kept is 54
    bytes a sample, and the findings. Balance is judged only where all samples are looked at.

    Raises InputError where the source cannot be read to its end.
    """
    scan = _Scan(listing, limit)
    with warnings.catch_warnings():
        # Pillow warns of odd metadata and of sizes; what stops decoding comes up as an error.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for split in listing.splits:
            scan.look_at(split, progress)
        scan.compare_modes()
        scan.compare_pictures()
    return scan.report()


class _Scan:
    """What is found so far. A place is a sample's number, counted over all splits."""

    def __init__(self, listing: Listing, limit: int | None) -> None:
        self._listing = listing
        self._splits = tuple(listing.splits)
        self._rows = [_spread(len(records), limit) for records in listing.splits.values()]
        self._ends = np.cumsum([len(rows) for rows in self._rows])
        self._pictures = Pictures(int(self._ends[-1]) if len(self._ends) else 0)
        self._per_class = {
            split: np.zeros(len(listing.classes), np.int64) for split in self._splits
        }
        self._found: list[tuple[int, Finding]] = []

    def look_at(self, split: str, progress: Progress | None) -> None:
        """Examine each of a split's samples."""
        number = self._splits.index(split)
        count = len(self._rows[number])
        start = int(self._ends[number]) - count
        for done, examined in enumerate(self._examined(split, self._rows[number])):
            place = start + done
            if isinstance(examined, InputError):
                self._add(place, "broken_annotation", str(examined))
            else:
                for kind, message in examined.complaints:
                    self._add(place, kind, message)
                self._per_class[split] += examined.per_class
                if examined.picture:
                    self._pictures.put(place, examined.picture)
            if progress:
                progress(split, done + 1, count)

    def compare_modes(self) -> None:
        """Find the images that are not RGB where most are."""
        decoded = np.flatnonzero(self._pictures.sizes[:, 0])
        modes = self._pictures.modes
        usual = int((modes[decoded] == b"RGB").sum())
        if usual * 2 <= len(decoded):
            return
        for place in decoded[modes[decoded] != b"RGB"].tolist():
            mode = modes[place].decode()
            what = _MODES.get(mode, f"of mode {mode}")
            self._add(place, "not_rgb", f"is {what}; {usual:,} of {len(decoded):,} are RGB")

    def compare_pictures(self) -> None:
        """Find the pictures that are there more than once."""
        for same in same_pictures(self._pictures, self._thumbnail):
            (split, _), (first_split, _) = self._where(same.place), self._where(same.first)
            alike = "same pixels" if same.exactly else "same picture"
            first = f"{first_split} {self._name(same.first)}"
            kind: FindingKind = "duplicate" if split == first_split else "leakage"
            self._add(same.place, kind, f"the {alike} as {first}")

    def report(self) -> Report:
        """Return what was found, in the order of the samples."""
        names = self._listing.classes
        classes = {
            split: dict(zip(names, counts.tolist(), strict=True))
            for split, counts in self._per_class.items()
        }
        samples = {s: len(rows) for s, rows in zip(self._splits, self._rows, strict=True)}
        found = sorted(self._found, key=lambda entry: entry[0])
        findings: list[Finding] = []
        for split, records in self._listing.splits.items():
            findings += [finding for _, finding in found if finding.split == split]
            if samples[split] == len(records):
                findings += about_balance(self._listing.kind, split, classes[split])
        return Report(samples, classes, tuple(findings))

    def _examined(self, split: str, rows: Indices) -> Iterator[Examined | InputError]:
        """Give what `examine` says of each row, in order, a few rows ahead."""
        records, classes = self._listing.splits[split], self._listing.classes
        threads = os.cpu_count() or 1
        ahead: deque[Future[Examined] | InputError] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="heliostat-check") as pool:
            for row in rows.tolist():
                try:
                    # Here, not in the pool: a source may read its rows one after the other.
                    ahead.append(pool.submit(examine, records[row], classes))
                except ShardLost:
                    raise
                except InputError as error:
                    ahead.append(error)
                if len(ahead) > 2 * threads:
                    yield _result(ahead.popleft())
            while ahead:
                yield _result(ahead.popleft())

    def _add(self, place: int, kind: FindingKind, message: str) -> None:
        split, _ = self._where(place)
        self._found.append((place, Finding(kind, split, self._name(place), message)))

    def _where(self, place: int) -> tuple[str, int]:
        """Return a place's split and its row in it."""
        number = int(np.searchsorted(self._ends, place, side="right"))
        rows = self._rows[number]
        return self._splits[number], int(rows[place - int(self._ends[number])])

    def _name(self, place: int) -> str:
        split, row = self._where(place)
        try:
            return self._listing.splits[split][row].name
        except InputError:
            return f"#{row}"

    def _thumbnail(self, place: int) -> Pixels:
        split, row = self._where(place)
        return thumbnail(self._listing.splits[split][row].image)


_MODES = {"1": "black and white", "L": "grey", "LA": "grey", "P": "of a palette", "CMYK": "CMYK"}


def _spread(count: int, limit: int | None) -> Indices:
    if limit is None or count <= limit:
        return np.arange(count)
    return np.arange(limit) * count // limit


def _result(ahead: Future[Examined] | InputError) -> Examined | InputError:
    return ahead if isinstance(ahead, InputError) else ahead.result()
