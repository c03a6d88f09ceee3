"""An imported data set as samples, its shards fetched when they are first read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from heliostat.data import splits
from heliostat.data.annotated import Annotated
from heliostat.data.decode import header
from heliostat.data.fingerprint import fingerprint
from heliostat.data.images import EncodedImages, one_size, unreadable
from heliostat.data.imported import read_manifest
from heliostat.data.manifest import NAME
from heliostat.data.mapped import Mapped, MappedImages
from heliostat.data.records import Record
from heliostat.data.rows import Rows
from heliostat.data.samples import Indices, Labels, Shape
from heliostat.data.shards import cache_bytes
from heliostat.spec.problems import InputError


def is_dataset(uri: str) -> bool:
    """Return whether `uri` names an imported data set; what lies on S3 can be nothing else."""
    return uri.startswith("s3://") or (Path(uri.removeprefix("file://")) / NAME).is_file()


def open_imported(
    uri: str,
    split: str,
    *,
    labelled: bool = True,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    tolerant: bool = False,
    each_own_size: bool = False,
) -> EncodedImages | Annotated:
    """Return the samples of a split: annotated ones where there are objects or masks.

    `channels` None: 1 where the images that the import measured are all grey, else 3. `size`
    (height, width) None: the images' own, one for all but for annotated samples; found in columns
    of the shards, which are all fetched for it. Not labelled: images alone, of whatever kind.
    `each_own_size` as in `open_source`, `tolerant` as in `open_images`.

    Raises InputError, key ("uri",) or ("split",).
    """
    store, manifest = read_manifest(uri)
    facts = manifest.splits[splits.choose_part(split, manifest.splits)]
    if not facts.samples:
        raise InputError.of(f"{uri}: the split {split!r} holds no samples", key=("uri",))
    mapped = Mapped(store, facts.shards)
    about = f"{manifest.fingerprint} {split}"
    annotated = labelled and manifest.kind in ("objects", "masks")
    if annotated or each_own_size:
        return Annotated(
            uri,
            _Annotations(mapped, mapped.rows(), about),
            classes=manifest.classes,
            channels=channels or 3,
            size=size,
            annotated=annotated,
        )
    images = MappedImages(mapped, mapped.rows())
    labelled = labelled and manifest.kind in ("labels", "domains")
    size = size or _size(images, tolerant=tolerant or not labelled)
    return ImportedImages(
        uri,
        images,
        about=about,
        classes=manifest.classes if labelled else (),
        labelled=labelled,
        shape=(channels or len(manifest.mean) or 3, *size),
    )


class ImportedImages(EncodedImages):
    """Images of an imported data set, with their labels if they have any."""

    def __init__(
        self,
        uri: str,
        images: MappedImages,
        *,
        about: str,
        classes: tuple[str, ...],
        labelled: bool,
        shape: Shape,
    ) -> None:
        """Give every image as `shape`; `about` is what the fingerprint is made of."""
        super().__init__(uri, images, classes=classes, labels=None, shape=shape)
        self.blocks = blocks(images.mapped, images.rows)
        self._images = images
        self._about = about
        self._labelled = labelled

    @property
    def labels(self) -> Labels | None:
        """Every sample's class; None in a set larger than the cache, which it would all fetch."""
        return self._all_labels if self._images.mapped.fits else None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the data set's own and of which rows these are."""
        return fingerprint(self._about, self._images.rows.chosen, ())

    def take(self, chosen: Indices) -> ImportedImages:
        """Return the chosen samples."""
        return ImportedImages(
            self.uri,
            self._images.take(chosen),
            about=self._about,
            classes=self.classes,
            labelled=self._labelled,
            shape=self.shape,
        )

    @cached_property
    def _all_labels(self) -> Labels | None:
        if not self._labelled:
            return None
        return self._images.mapped.facts(self._images.rows, "label")

    def _targets(self, indices: Indices) -> Tensor | None:
        if not self._labelled:
            return None
        # All labels, once something has asked for them; until then, those of the rows read.
        known: Labels | None = self.__dict__.get("_all_labels")
        return torch.from_numpy(self._images.labels(indices) if known is None else known[indices])


def blocks(mapped: Mapped, rows: Rows) -> tuple[int, ...] | None:
    """Return how many of `rows` lie in each block: shards of together a quarter of the cache.

    None where the cache holds all shards, or the rows are not in the order of their shards.
    """
    if mapped.fits:
        return None
    at_most, block, filled, of_shard = cache_bytes() // 4, 0, 0, []
    for shard in mapped.shards:
        if filled and filled + shard.bytes > at_most:
            block, filled = block + 1, 0
        filled += shard.bytes
        of_shard.append(block)
    files = np.searchsorted(rows.starts, rows.chosen, side="right") - 1
    of_row = np.array(of_shard)[files]
    if np.any(np.diff(of_row) < 0):
        return None
    return tuple(count for count in np.bincount(of_row).tolist() if count)


@dataclass(frozen=True, eq=False)
class _Annotations:
    """Rows of shards with what is annotated in them (an `annotated.Origin`)."""

    mapped: Mapped
    rows: Rows
    about: str

    def __len__(self) -> int:
        return len(self.rows.chosen)

    def __getitem__(self, index: int) -> Record:
        shard, row = self.rows.place(index)
        return self.mapped.opened(shard).record(row)

    @property
    def blocks(self) -> tuple[int, ...] | None:
        return blocks(self.mapped, self.rows)

    def source(self, index: int) -> str:
        return self.mapped.source(self.rows, index)

    def fingerprint(self) -> str:
        return fingerprint(self.about, self.rows.chosen, ())

    def take(self, chosen: Indices) -> _Annotations:
        return replace(self, rows=self.rows.take(chosen))


def _size(images: MappedImages, *, tolerant: bool) -> tuple[int, int]:
    """Return the one (height, width) that the shards' columns give."""
    heights, widths = (images.mapped.facts(images.rows, name) for name in ("height", "width"))
    if heights is None or widths is None:
        raise InputError.of("the shards have no columns width and height", key=("uri",))
    unknown = np.flatnonzero((heights == 0) | (widths == 0))
    if len(unknown) and not tolerant:
        first = int(unknown[0])
        try:
            header(images[first])
        except Exception as error:
            raise unreadable(images.name(first), error) from error
    sizes = set(zip(heights.tolist(), widths.tolist(), strict=True)) - {(0, 0)}
    if not sizes:
        raise InputError.of(f"none of {len(images)} images can be read", key=("uri",))
    return one_size(sizes)
