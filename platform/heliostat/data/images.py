"""Encoded images, in files or in rows of Parquet, decoded when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from heliostat.data.cached_photos import CachedPhotos
from heliostat.data.crops import Windows
from heliostat.data.decode import Decoder, decode, decode_window, header
from heliostat.data.decoded_cache import CacheSettings, DecodedCache, cache_folder
from heliostat.data.encoded import HASHED_BYTES, Encoded, content_of, size_of
from heliostat.data.fingerprint import fingerprint
from heliostat.data.paths import one_line
from heliostat.data.pool import decoders as decoders
from heliostat.data.pool import each
from heliostat.data.samples import Indices, Labels, Pixels, Shape, Skipped
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
    blocks: tuple[int, ...] | None = None
    skipped: Skipped = ()

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
        self.shape = shape
        self._labels = labels
        self._store = store
        self._decoder: Decoder = "simplejpeg"
        self._settings: CacheSettings | None = None
        fits = len(store) * shape[0] * shape[1] * shape[2] <= _KEEP_BYTES
        self._kept = DecodedCache.in_memory(len(store), shape) if fits else None
        self._photos: CachedPhotos | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self._store)

    @property
    def labels(self) -> Labels | None:
        """Every sample's class, int64 (N,)."""
        return self._labels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, contents, labels and classes; over 2 GiB, sizes in place of contents.

        Names are the files' last parts, so that a moved folder keeps its fingerprint.
        """
        sizes = [size_of(self._store[i]) for i in range(len(self))]
        names = [Path(self.source(i)).name for i in range(len(self))]
        about = ["images", self.classes, names, sizes]
        contents = self._contents() if sum(sizes) <= HASHED_BYTES else ()
        return fingerprint(about, self.labels, contents)

    def source(self, index: int) -> str:
        """Return the file's path, or `path#row`."""
        return self._store.name(index)

    def size(self, index: int) -> tuple[int, int]:
        """Return the (height, width) that an image's header says."""
        return header(self._store[index])[1:]

    def read(self, indices: Indices, key: tuple[int, int] = (0, 0)) -> tuple[Any, Any]:
        """Return uint8 (n, C, H, W) and int64 (n,) or None; InputError for a broken image."""
        kept = self._opened_kept()
        if kept is None:
            images = np.empty((len(indices), *self.shape), np.uint8)
            self._each(indices, lambda place, index: _put(images, place, self._decoded(index)))
        else:
            missing = kept.missing(indices)
            self._each(missing, lambda _, index: kept.put(index, self._decoded(index)))
            images = kept.gather(indices)
        return torch.from_numpy(images), self._targets(indices)

    def read_windows(self, indices: Indices, windows: Windows) -> tuple[Tensor, Any]:
        """Return windows of n images as they are stored, uint8 (n, C, *size), and the targets.

        What lies outside a window is not resized, and a JPEG is decoded at no larger scale than
        its window needs, unless `decoded_by` keeps the images whole.
        """
        shape = (self.shape[0], *windows.step.size)
        images = np.empty((len(indices), *shape), np.uint8)
        photos = self._opened_photos()

        def one(place: int, index: int) -> None:
            choose = partial(windows.window, place)
            if photos is None:
                window = decode_window(self._store[index], shape, choose, self._decoder)
            else:
                window = photos.window(index, choose, windows.step.size)
            images[place] = window

        self._each(indices, one)
        return torch.from_numpy(images), self._targets(indices)

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        """Return each image uint8 (C, H, W), or the exception that decoding it raised."""

        def one(index: int) -> Tensor | Exception:
            try:
                return torch.from_numpy(self._decoded(index))
            except Exception as error:
                return error

        return list(decoders().map(one, indices.tolist()))

    def take(self, chosen: Indices) -> EncodedImages:
        """Return the chosen samples."""
        labels = None if self.labels is None else self.labels[chosen]
        store = self._store.take(chosen)
        return EncodedImages(self.uri, store, classes=self.classes, labels=labels, shape=self.shape)

    def decoded_by(self, decoder: Decoder, cache: CacheSettings | None = None) -> Self:
        """Return the same samples, read with this decoder; with `cache`, decoded once a node.

        What `take` returns has neither.
        """
        other = copy(self)
        other._decoder, other._settings, other._photos = decoder, cache, None
        other._kept = None if cache else self._kept
        return other

    def _targets(self, indices: Indices) -> Tensor | None:
        return None if self.labels is None else torch.from_numpy(self.labels[indices])

    def _decoded(self, index: int) -> Pixels:
        return decode(self._store[index], self.shape, self._decoder)

    def _each(self, indices: Indices, work: Callable[[int, int], None]) -> None:
        def one(place: int) -> None:
            index = int(indices[place])
            try:
                work(place, index)
            except InputError:
                raise
            except Exception as error:
                raise unreadable(self.source(index), error) from error

        each(one, range(len(indices)))

    def _opened_kept(self) -> DecodedCache | None:
        if self._kept is None and self._settings is not None:
            folder = cache_folder() / self._cache_key(self.shape)
            shapes = np.broadcast_to(np.array(self.shape), (len(self), 3))
            self._kept = DecodedCache.in_folder(folder, shapes)
        return self._kept

    def _opened_photos(self) -> CachedPhotos | None:
        if self._photos is None and self._settings is not None:
            folder = cache_folder() / self._cache_key(self._settings.short_side)
            self._photos = CachedPhotos(
                self._store, self.shape[0], self._decoder, self._settings, folder
            )
        return self._photos

    def _cache_key(self, kind: object) -> str:
        about = ["decoded", self._decoder, self.shape[0], kind]
        if not isinstance(self._store, Files):
            return fingerprint([*about, self.fingerprint], None, ())
        stats = [path.stat() for path in self._store.paths]
        files = [
            (str(p), s.st_size, s.st_mtime_ns)
            for p, s in zip(self._store.paths, stats, strict=True)
        ]
        return fingerprint([*about, files], None, ())

    def _contents(self) -> Iterator[bytes]:
        for index in range(len(self)):
            yield content_of(self._store[index])


def open_images(
    uri: str,
    store: Store,
    *,
    classes: tuple[str, ...],
    labels: Labels | None,
    channels: int | None,
    size: tuple[int, int] | None,
    tolerant: bool = False,
) -> EncodedImages:
    """Return the store's images as samples, their shape found in the headers where not given.

    `channels` None: 3, or 1 where every image is grey. `size` (height, width) None: the images'
    own, which must be the same for all. Images with no readable header are passed over where
    `tolerant`, or where there are no labels (prediction reports them one by one), else they raise
    InputError.
    """
    if size is None or channels is None:
        found = _headers(store, tolerant=tolerant or labels is None, until_colour=size is not None)
        channels = channels or max(c for c, _, _ in found)
        size = size or one_size({(height, width) for _, height, width in found})
    return EncodedImages(uri, store, classes=classes, labels=labels, shape=(channels, *size))


def unreadable(name: str, error: Exception) -> InputError:
    """Return the InputError of an image that cannot be read; it may come up in mid-training."""
    # Pillow names the file as well: once is enough.
    reason = one_line(error).removesuffix(f" {name!r}")
    return InputError.of(f"{name} cannot be read as an image: {reason}")


def one_size(found: set[tuple[int, int]]) -> tuple[int, int]:
    """Return the images' one (height, width); InputError where they differ."""
    sizes = sorted(found)
    if len(sizes) > 1:
        some = ", ".join(f"{height}x{width}" for height, width in sizes[:3])
        more = ", …" if len(sizes) > 3 else ""
        raise InputError.of(
            f"images differ in size ({some}{more})",
            key=("uri",),
            valid="set data.image_size: [height, width]",
        )
    return sizes[0]


_KEEP_BYTES = 512 * 2**20


def _headers(store: Store, *, tolerant: bool, until_colour: bool) -> set[Shape]:
    found: set[Shape] = set()

    def one(index: int) -> None:
        try:
            found.add(header(store[index]))
        except Exception as error:
            if not tolerant:
                raise unreadable(store.name(index), error) from error

    start, at_once = 0, 64
    while start < len(store) and not (until_colour and any(shape[0] == 3 for shape in found)):
        each(one, range(start, min(start + at_once, len(store))))
        start, at_once = start + at_once, at_once * 2
    if not found:
        raise InputError.of(f"none of {len(store)} images can be read", key=("uri",))
    return found


def _put(images: Pixels, place: int, image: Pixels) -> None:
    images[place] = image
