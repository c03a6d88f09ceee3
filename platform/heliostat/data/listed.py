"""A source of any format as samples, read where it lies, without importing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from heliostat.data import splits
from heliostat.data.annotated import Annotated
from heliostat.data.columns import Row, content
from heliostat.data.encoded import HASHED_BYTES, Encoded, content_of, size_of
from heliostat.data.fingerprint import fingerprint
from heliostat.data.images import EncodedImages, open_images
from heliostat.data.records import Listing, Record
from heliostat.data.samples import Indices
from heliostat.spec.problems import InputError


def open_listed(
    uri: str,
    listing: Listing,
    split: str,
    *,
    labelled: bool = True,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    tolerant: bool = False,
    each_own_size: bool = False,
) -> EncodedImages | Annotated:
    """Return the samples of a listing's split: annotated ones where there are objects or masks.

    The parameters mean what they do in `open_imported`, and the same is raised.
    """
    records = listing.splits[splits.choose_part(split, listing.splits)]
    if not records:
        raise InputError.of(f"{uri}: the split {split!r} holds no samples", key=("uri",))
    origin = RecordRows(uri, records, np.arange(len(records)))
    annotated = labelled and listing.kind in ("objects", "masks")
    if annotated or each_own_size:
        return Annotated(
            uri,
            origin,
            classes=listing.classes,
            channels=channels or 3,
            size=size,
            annotated=annotated,
        )
    labels = None
    if labelled and listing.kind in ("labels", "domains"):
        labels = np.array([record.label for record in records], np.int64)
    return open_images(
        uri,
        RecordImages(origin),
        classes=listing.classes if labels is not None else (),
        labels=labels,
        channels=channels,
        size=size,
        tolerant=tolerant,
    )


@dataclass(frozen=True, eq=False)
class RecordRows:
    """Some of a listing's records (an `annotated.Origin`)."""

    uri: str
    all: Sequence[Record]
    chosen: Indices

    blocks = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.chosen)

    def __getitem__(self, index: int) -> Record:
        """Return one record."""
        return self.all[int(self.chosen[index])]

    def source(self, index: int) -> str:
        """Return the image's path, or its name below the source."""
        record = self[index]
        return str(record.image if isinstance(record.image, Path) else Path(self.uri, record.name))

    def fingerprint(self) -> str:
        """SHA-256 of names, annotations and contents; over 2 GiB, sizes in place of contents."""
        sizes = [size_of(self[i].image) for i in range(len(self))]
        whole = sum(sizes) <= HASHED_BYTES
        parts = (_part(self[i], whole) for i in range(len(self)))
        return fingerprint(["listed", sizes], None, parts)

    def take(self, chosen: Indices) -> Self:
        """Return the chosen ones."""
        return type(self)(self.uri, self.all, self.chosen[chosen])


@dataclass(frozen=True, eq=False)
class RecordImages:
    """The images of records (an `images.Store`)."""

    rows: RecordRows

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:
        """Return one image's file, or its content."""
        return self.rows[index].image

    def name(self, index: int) -> str:
        """Return where it comes from."""
        return self.rows.source(index)

    def take(self, chosen: Indices) -> Self:
        """Return the store of the chosen images."""
        return type(self)(self.rows.take(chosen))


def _part(record: Record, whole: bool) -> bytes:
    image = content_of(record.image) if whole else b""
    mask = None if record.mask is None else content_of(record.mask)
    return content([Row(record.name, image, 0, 0, record.label, record.objects, mask)])
