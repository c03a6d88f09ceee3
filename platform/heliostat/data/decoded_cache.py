"""Images decoded once, in a file that all workers of a node map: later epochs read pixels.

The file takes the size of the pixels, 3 × height × width bytes an image: about five times the
JPEGs' own size. It stays under HELIO_HOME/cache/decoded until somebody deletes it.
"""

from __future__ import annotations

import os
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from heliostat.data.node import node_folder
from heliostat.data.paths import one_line
from heliostat.data.samples import Indices, Pixels, Shape
from heliostat.spec.problems import InputError

Shapes = NDArray[np.int64]
"""The shape of each of N images, (N, 3)."""


@dataclass(frozen=True)
class CacheSettings:
    """That decoded images are kept, and in what size: `data.cache`."""

    short_side: int | None = None
    """Images are kept with their shorter side reduced to this many pixels; None: as they are."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that an image of this size is kept in."""
        shorter = min(height, width)
        if self.short_side is None or shorter <= self.short_side:
            return height, width
        scale = self.short_side / shorter
        return round(height * scale), round(width * scale)


def cache_folder() -> Path:
    """Return the folder of this node's caches."""
    return node_folder("cache/decoded")


class DecodedCache:
    """Decoded images by number, each there once any of the processes has put it there."""

    def __init__(self, shapes: Shapes, pixels: Pixels, there: Pixels, file: int | None) -> None:
        """Take the images' `pixels` one after the other, and a mark for each that is `there`.

        `file` is the descriptor of what holds both, closed with this; None where they are plain
        memory.
        """
        self._shapes = shapes
        self._pixels = pixels
        self._there = there
        self._file = file
        if file is not None:
            weakref.finalize(self, os.close, file)
        sizes = shapes.prod(axis=1)
        self._starts = np.cumsum(sizes) - sizes

    @classmethod
    def in_memory(cls, count: int, shape: Shape) -> DecodedCache:
        """Return a cache of this process, gone with it, for `count` images of one shape."""
        # Pages of the array are taken from the system only when an image is written to them.
        pixels = np.empty(count * int(np.prod(shape)), np.uint8)
        shapes = np.broadcast_to(np.array(shape, np.int64), (count, 3))
        return cls(shapes, pixels, np.zeros(count, np.uint8), None)

    @classmethod
    def in_folder(cls, folder: Path, shapes: Shapes) -> DecodedCache:
        """Return the cache kept in `folder`, made if it is missing.

        Raises InputError where it cannot be written or has no room.
        """
        total = int(shapes.prod(axis=1).sum())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _open(folder, len(shapes), total) as file:
                start = _pixels_start(len(shapes))
                there: Pixels = np.memmap(file, np.uint8, "r+", 0, (len(shapes),))
                pixels: Pixels = np.memmap(file, np.uint8, "r", start, (total,))
                return cls(shapes, pixels, there, os.dup(file.fileno()))
        except OSError as error:
            raise _unwritable(error) from error

    def missing(self, indices: Indices) -> Indices:
        """Return those of the images that are not there yet, each once."""
        return np.unique(indices[self._there[indices] == 0])

    def __getitem__(self, index: int) -> Pixels | None:
        """Return an image's pixels, not to be written to; None where it is not there yet."""
        if not self._there[index]:
            return None
        shape, start = self._shapes[index], int(self._starts[index])
        return self._pixels[start : start + int(shape.prod())].reshape(shape)

    def gather(self, indices: Indices) -> Pixels:
        """Return a copy of n images of one shape, (n, *shape); all must be there."""
        shape: Shape = tuple(self._shapes[0].tolist())
        return self._pixels.reshape(-1, *shape)[indices]

    def put(self, index: int, image: Pixels) -> None:
        """Keep an image; InputError where the disk has no room for it."""
        if image.shape != tuple(self._shapes[index].tolist()):
            raise ValueError("it has not the size that its header gives")
        start = int(self._starts[index])
        if self._file is None:
            self._pixels[start : start + image.size] = image.reshape(-1)
        else:
            self._write(image, _pixels_start(len(self._there)) + start)
        self._there[index] = 1

    def _write(self, image: Pixels, at: int) -> None:
        # Not through the map: a page that a full disk has no room for would end the process.
        assert self._file is not None  # the caller has looked
        content = image.data.cast("B")
        try:
            while content:
                written = os.pwrite(self._file, content, at)
                content, at = content[written:], at + written
        except OSError as error:
            raise _unwritable(error) from error


_WHOLE = "images.u8"


def _open(folder: Path, count: int, total: int) -> BinaryIO:
    """Open the folder's file: a byte an image that says it is there, a gap, and the pixels.

    Until all images are there and on the disk, its name holds the machine's boot: a mark may
    reach the disk before the pixels do, and a machine that lost power in between lost them.
    """
    whole, partial = folder / _WHOLE, folder / f"partial-{_boot()}.u8"
    if not whole.exists():
        for other in folder.glob("partial-*"):
            if other != partial:
                other.unlink(missing_ok=True)
        if not partial.exists():
            _create(partial, count, total)
    path = whole if whole.exists() else partial
    if path.stat().st_size != _pixels_start(count) + total:
        raise OSError(f"{path} is damaged")
    file = open(path, "r+b")  # noqa: SIM115 - the caller closes it
    if path == partial and all(file.read(count)):
        os.fsync(file.fileno())
        partial.replace(whole)
    return file


def _create(path: Path, count: int, total: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if total > free:
        raise OSError(f"it needs {total / 2**30:.1f} GiB, and {free / 2**30:.1f} are free")
    descriptor, name = mkstemp(dir=path.parent, prefix=".new-")
    try:
        with open(descriptor, "wb") as file:
            # The marks are written, not left a hole: they are set through the map.
            file.write(bytes(_pixels_start(count)))
            file.truncate(_pixels_start(count) + total)
        os.link(name, path)
    except FileExistsError:
        pass  # another worker was first
    finally:
        os.unlink(name)


def _pixels_start(count: int) -> int:
    return -(-count // 4096) * 4096


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "any"  # not Linux


def _unwritable(error: OSError) -> InputError:
    return InputError.of(
        f"the cache of decoded images in {cache_folder()} cannot be written: {one_line(error)}",
        key=("cache",),
        valid="a smaller one ({short_side: 160}), or none",
    )
