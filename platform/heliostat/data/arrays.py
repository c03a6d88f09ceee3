"""Images that are in memory as one array: IDX, CIFAR and scikit-learn's digits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from heliostat.data.decode import pixels
from heliostat.data.fingerprint import fingerprint
from heliostat.data.rows import Rows
from heliostat.data.samples import Indices, Labels, Pixels, Shape


@dataclass(frozen=True, eq=False)
class Arrays:
    """Samples whose pixels are one uint8 array (N, C, H, W)."""

    uri: str
    classes: tuple[str, ...]
    images: Pixels
    labels: Labels | None
    rows: Rows

    background = True
    blocks = None
    skipped = ()

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    @property
    def shape(self) -> Shape:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of pixels, labels and classes."""
        about = ["arrays", self.classes, self.images.shape]
        return fingerprint(about, self.labels, [self.images.data.cast("B")])

    def source(self, index: int) -> str:
        """Return `path#row`."""
        return self.rows.name(index)

    def size(self, index: int) -> tuple[int, int]:
        """Return the (height, width) of every image."""
        return self.shape[1], self.shape[2]

    def read(self, indices: Indices, key: tuple[int, int] = (0, 0)) -> tuple[Any, Any]:
        """Return uint8 (n, C, H, W) and int64 (n,) or None."""
        inputs = torch.from_numpy(self.images[indices])
        return inputs, None if self.labels is None else torch.from_numpy(self.labels[indices])

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        """Return each image; in memory, none is unreadable."""
        return list(torch.from_numpy(self.images[indices]))

    def take(self, chosen: Indices) -> Self:
        """Return the chosen samples; the others' memory is free when `self` goes."""
        labels = None if self.labels is None else self.labels[chosen]
        rows = self.rows.take(chosen)
        return replace(self, images=self.images[chosen], labels=labels, rows=rows)

    def fitted(self, channels: int | None, size: tuple[int, int] | None) -> Self:
        """Return the samples with images of this size (height, width) and number of channels."""
        wanted = (channels or self.shape[0], *(size or self.shape[1:]))
        if wanted == self.shape:
            return self
        if wanted[1:] == self.shape[1:] and wanted[0] == 3:
            return replace(self, images=np.repeat(self.images, 3, axis=1))
        images = np.empty((len(self), *wanted), np.uint8)
        for target, image in zip(images, self.images, strict=True):
            planes = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            target[:] = pixels(Image.fromarray(planes), wanted)
        return replace(self, images=images)
