"""Two domains of images with no pairs between them: each sample is one image of either."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heliostat.data import counter
from heliostat.data.samples import Indices, Samples, Shape, Skipped
from heliostat.spec.problems import InputError


class Unpaired:
    """N samples, N being the number of images in the larger of the domains A and B.

    Sample i is A's image i and one of B's: in training B is permuted, anew in each epoch, and in
    evaluation it is in order, so that data that has true pairs (files of the same names) can be
    scored by them. The smaller domain begins again where it ends.

    The images of both are read by number from the source, whose order of blocks is not followed:
    one that is larger than the cache is read slowly.
    """

    labels = None
    blocks: tuple[int, ...] | None = None

    def __init__(self, images: Samples) -> None:
        """Take the samples of an opened source whose labels are the domain, 0 or 1.

        Raises InputError where they are not of just two domains.
        """
        self.images = images
        self._domains = _domains(images)

    @property
    def uri(self) -> str:
        """The source's."""
        return self.images.uri

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the two domains."""
        return self.images.classes

    @property
    def shape(self) -> Shape | None:
        """(channels, height, width) of an image of either domain."""
        return self.images.shape

    @property
    def fingerprint(self) -> str:
        """The source's."""
        return self.images.fingerprint

    @property
    def background(self) -> bool:
        """The source's."""
        return self.images.background

    @property
    def skipped(self) -> Skipped:
        """The source's."""
        return self.images.skipped

    def __len__(self) -> int:
        """Return N."""
        return max(map(len, self._domains))

    def source(self, index: int) -> str:
        """Return where both images come from, as they stand together in evaluation."""
        return ", ".join(map(self.images.source, self.rows(np.array([index])).tolist()))

    def size(self, index: int) -> tuple[int, int] | None:
        """Return the (height, width) of A's image in its source."""
        return self.images.size(int(self.rows(np.array([index]))[0]))

    def rows(self, indices: Indices, key: tuple[int, int] | None = None) -> Indices:
        """Return which of the source's images n samples are: int64 (2n,), A's and B's in turn.

        `key` is (seed, epoch), on which B's order depends and on nothing else; None: in order.
        """
        a, b = self._domains
        partners = indices if key is None else _partners(len(self), len(b), *key)[indices]
        rows: Indices = np.stack([a[indices % len(a)], b[partners % len(b)]], axis=1).reshape(-1)
        return rows

    def read(self, indices: Indices, key: tuple[int, int] | None = None) -> tuple[Any, Any]:
        """Return uint8 (n, 2, C, H, W), A's images and B's, and None for targets.

        `key` is as in `rows`. InputError for an image that cannot be decoded.
        """
        rows = self.rows(indices, key)
        images, _ = self.images.read(rows) if key is None else self.images.read(rows, key)
        return by_sample(images), None

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        """Return each sample's images (2, C, H, W) in evaluation's order, or why there are none."""
        found = self.images.read_each(self.rows(indices))
        return [_both(*pair) for pair in zip(found[::2], found[1::2], strict=True)]


def numbers(indices: Indices) -> Indices:
    """Return a number for each image of n samples, int64 (2n,): what augmentation draws by."""
    return (indices[:, None] * 2 + np.arange(2)).reshape(-1)


def by_sample(images: Tensor) -> Tensor:
    """Return 2n images (2n, C, H, W), A's and B's in turn, as (n, 2, C, H, W)."""
    return images.reshape(len(images) // 2, 2, *images.shape[1:])


_PARTNERS = 0xAB  # keeps B's order apart from other uses of the same seed


@lru_cache(maxsize=4)
def _partners(size: int, count: int, seed: int, epoch: int) -> Indices:
    """Return a place in B, of `count`, for each of `size` samples: one permutation after another.

    The rounds differ, so that no two epochs or rounds show the same images together.
    """
    rounds = range(-(-size // count))
    orders = [counter.permutation(count, counter.key(_PARTNERS, seed, epoch, r)) for r in rounds]
    return np.concatenate(orders)[:size]


def _domains(images: Samples) -> tuple[Indices, Indices]:
    """Return the numbers of A's images and of B's."""
    labels = images.labels
    if labels is None or len(images.classes) != 2:
        found = f"{len(images.classes)} classes" if images.classes else "no two kinds of image"
        raise InputError.of(
            f"unpaired translation learns from two domains, and this data has {found}",
            valid="folders trainA/ and trainB/, or A/ and B/ (format: domains)",
        )
    a, b = (np.flatnonzero(labels == domain) for domain in (0, 1))
    for name, found_images in zip(images.classes, (a, b), strict=True):
        if not len(found_images):
            raise InputError.of(f"no image is of the domain {name}", key=("split",))
    return a, b


def _both(a: Tensor | Exception, b: Tensor | Exception) -> Tensor | Exception:
    if isinstance(a, Exception):
        return a
    return b if isinstance(b, Exception) else torch.stack([a, b])
