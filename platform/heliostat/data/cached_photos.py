"""Whole images of any size, decoded once: their windows are cut from the kept pixels."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp
from typing import Protocol

import numpy as np

from heliostat.data.crops import Window
from heliostat.data.decode import Decoder, cut, decode_whole, header
from heliostat.data.decoded_cache import CacheSettings, DecodedCache, Shapes
from heliostat.data.encoded import Encoded
from heliostat.data.pool import each
from heliostat.data.samples import Pixels


class _Store(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Encoded: ...


class CachedPhotos:
    """Encoded images and the cache of what they decode to, (height, width, channels)."""

    def __init__(
        self,
        store: _Store,
        channels: int,
        decoder: Decoder,
        settings: CacheSettings,
        folder: Path,
    ) -> None:
        """Open the cache in `folder`, or make it, which reads the header of every image."""
        self._store = store
        self._decoder: Decoder = decoder
        self._sizes = _sizes(store, folder)
        kept = [(*settings.size(height, width), channels) for height, width in self._sizes.tolist()]
        self._shapes = np.array(kept, np.int64)
        self._cache = DecodedCache.in_folder(folder, self._shapes)

    def window(
        self, index: int, choose: Callable[[int, int], Window], size: tuple[int, int]
    ) -> Pixels:
        """Return a window of an image, (C, *size); `choose` is told the image's size.

        Raises what `decode` raises, and InputError where the cache has no room.
        """
        image = self._cache[index]
        if image is None:
            image = self._decoded(index)
            self._cache.put(index, image)
        height, width = self._sizes[index].tolist()
        return cut(image, choose(height, width), (height, width), size)

    def _decoded(self, index: int) -> Pixels:
        height, width, channels = self._shapes[index].tolist()
        reduced = (height, width) if (self._shapes[index, :2] != self._sizes[index]).any() else None
        return decode_whole(self._store[index], channels, reduced, self._decoder)


def _sizes(store: _Store, folder: Path) -> Shapes:
    """Return each image's (height, width), (N, 2); zeros where its header cannot be read."""
    path = folder / "sizes.npy"
    if path.is_file():
        found: Shapes = np.load(path)
        return found
    sizes = np.zeros((len(store), 2), np.int64)

    def one(index: int) -> None:
        try:
            sizes[index] = header(store[index])[1:]
        except Exception:  # said when the image itself is read
            sizes[index] = 0

    each(one, range(len(store)))
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = mkstemp(dir=folder, prefix=".new-")
    with open(descriptor, "wb") as file:
        np.save(file, sizes)
    os.replace(temporary, path)
    return sizes
