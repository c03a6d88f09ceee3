"""Encoded images, in files or in rows of Parquet, decoded when they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from heliostat.data.decode import Encoded, decode, header
from heliostat.data.fingerprint import fingerprint
from heliostat.data.paths import one_line
from heliostat.data.samples import Indices, Labels, Pixels, Shape
from heliostat.spec.problems import InputError


class Store(Protocol):
    """Encoded images by number."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int) -> Encoded:
        """Return one image's file, or its content."""

    def name(self, index: int) -> str:
        """Return where it comes from: a path, or `path#row`."""

    def take(self, chosen: Indices) -> Self:
        """Return the store of the chosen images."""


@dataclass(frozen=True, eq=False)
class Files:
    """Images that are files."""

    paths: Sequence[Path]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Encoded:
        """Return the file."""
        return self.paths[index]

    def name(self, index: int) -> str:
        """Return the file's path."""
        return str(self.paths[index])

    def take(self, chosen: Indices) -> Self:
        """Return the store of the chosen files."""
        return type(self)([self.paths[i] for i in chosen])


class EncodedImages:
    """Samples decoded by a pool of threads, and kept decoded where all fit in 512 MiB."""

    background = True

    def __init__(
        self,
        uri: str,
        store: Store,
        *,
        classes: tuple[str, ...],
        labels: Labels | None,
        shape: Shape,
    ) -> None:
        """Give every image as `shape` (channels, height, width), resized where it differs."""
        self.uri = uri
        self.classes = classes
        self.labels = labels
        self.shape = shape
        self._store = store
        fits = len(store) * shape[0] * shape[1] * shape[2] <= _KEEP_BYTES
        # Pages of the array are taken from the system only when an image is written to them.
        self._kept = np.empty((len(store), *shape), np.uint8) if fits else None
        self._done = np.zeros(len(store), np.bool_)

    def __len__(self) -> int:
        """Return N."""
        return len(self._store)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, contents, labels and classes; over 2 GiB, sizes in place of contents.

        Names are the files' last parts, so that a moved folder keeps its fingerprint.
        """
        sizes = [_size(self._store[i]) for i in range(len(self))]
        names = [Path(self.source(i)).name for i in range(len(self))]
        about = ["images", self.classes, names, sizes]
        contents = self._contents() if sum(sizes) <= _HASH_BYTES else ()
        return fingerprint(about, self.labels, contents)

    def source(self, index: int) -> str:
        """Return the file's path, or `path#row`."""
        return self._store.name(index)

    def read(self, indices: Indices, key: tuple[int, int] = (0, 0)) -> tuple[Any, Any]:
        """Return uint8 (n, C, H, W) and int64 (n,) or None; InputError for a broken image."""
        targets = None if self.labels is None else torch.from_numpy(self.labels[indices])
        if self._kept is None:
            images = np.empty((len(indices), *self.shape), np.uint8)
            self._decode_into(images, np.arange(len(indices)), indices)
            return torch.from_numpy(images), targets
        missing = np.unique(indices[~self._done[indices]])
        self._decode_into(self._kept, missing, missing)
        self._done[missing] = True
        return torch.from_numpy(self._kept[indices]), targets

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        """Return each image uint8 (C, H, W), or the exception that decoding it raised."""

        def one(index: int) -> Tensor | Exception:
            try:
                return torch.from_numpy(decode(self._store[index], self.shape).copy())
            except Exception as error:
                return error

        return list(_pool().map(one, indices.tolist()))

    def take(self, chosen: Indices) -> EncodedImages:
        """Return the chosen samples."""
        labels = None if self.labels is None else self.labels[chosen]
        store = self._store.take(chosen)
        return EncodedImages(self.uri, store, classes=self.classes, labels=labels, shape=self.shape)

    def _decode_into(self, images: Pixels, places: Indices, indices: Indices) -> None:
        def one(place: int, index: int) -> None:
            try:
                images[place] = decode(self._store[index], self.shape)
            except Exception as error:
                raise unreadable(self.source(index), error) from error

        for _ in _pool().map(one, places.tolist(), indices.tolist()):
            pass

    def _contents(self) -> Iterator[bytes]:
        for index in range(len(self)):
            encoded = self._store[index]
            yield encoded if isinstance(encoded, bytes) else encoded.read_bytes()


def open_images(
    uri: str,
    store: Store,
    *,
    classes: tuple[str, ...],
    labels: Labels | None,
    channels: int | None,
    size: tuple[int, int] | None,
) -> EncodedImages:
    """Return the store's images as samples, their shape found in the headers where not given.

    `channels` None: 3, or 1 where every image is grey. `size` (height, width) None: the images'
    own, which must be the same for all. Images with no readable header are passed over where
    there are no labels (prediction reports them one by one), else they raise InputError.
    """
    if size is None or channels is None:
        found = _headers(store, tolerant=labels is None, until_colour=size is not None)
        channels = channels or max(c for c, _, _ in found)
        size = size or _one_size(found)
    return EncodedImages(uri, store, classes=classes, labels=labels, shape=(channels, *size))


def unreadable(name: str, error: Exception) -> InputError:
    """Return the InputError of an image that cannot be read; it may come up in mid-training."""
    # Pillow names the file as well: once is enough.
    reason = one_line(error).removesuffix(f" {name!r}")
    return InputError.of(f"{name} cannot be read as an image: {reason}")


_KEEP_BYTES = 512 * 2**20
_HASH_BYTES = 2 * 2**30


def _headers(store: Store, *, tolerant: bool, until_colour: bool) -> set[Shape]:
    def one(index: int) -> Shape | None:
        try:
            return header(store[index])
        except Exception as error:
            if tolerant:
                return None
            raise unreadable(store.name(index), error) from error

    found: set[Shape] = set()
    for start in range(0, len(store), 1000):
        numbers = range(start, min(start + 1000, len(store)))
        found.update(shape for shape in _pool().map(one, numbers) if shape is not None)
        if until_colour and any(channels == 3 for channels, _, _ in found):
            break
    if not found:
        raise InputError.of(f"none of {len(store)} images can be read", key=("uri",))
    return found


def _one_size(found: set[Shape]) -> tuple[int, int]:
    sizes = sorted({(height, width) for _, height, width in found})
    if len(sizes) > 1:
        some = ", ".join(f"{height}x{width}" for height, width in sizes[:3])
        more = ", …" if len(sizes) > 3 else ""
        raise InputError.of(
            f"images differ in size ({some}{more})",
            key=("uri",),
            valid="set data.image_size: [height, width]",
        )
    return sizes[0]


@cache
def _pool() -> ThreadPoolExecutor:
    # torch's thread count is the CPU budget: Ray gives a worker with one CPU OMP_NUM_THREADS=1.
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="heliostat-decode")


def _size(encoded: Encoded) -> int:
    return len(encoded) if isinstance(encoded, bytes) else encoded.stat().st_size
