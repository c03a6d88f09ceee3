"""Images with objects or masks: each of its own size, its annotations in torchvision's types."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from heliostat.data.decode import decode_whole, header
from heliostat.data.encoded import content_of
from heliostat.data.images import unreadable
from heliostat.data.paths import one_line
from heliostat.data.pool import decoders
from heliostat.data.records import Record
from heliostat.data.samples import Indices, Skipped
from heliostat.data.targets import target
from heliostat.spec.problems import InputError


class Origin(Protocol):
    """Where annotated samples come from."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int) -> Record:
        """Return one of them."""

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """As `Samples.blocks`."""

    def source(self, index: int) -> str:
        """Return a file's path, or `path#row`."""

    def fingerprint(self) -> str:
        """Return the SHA-256 of the samples' content."""

    def take(self, chosen: Indices) -> Self:
        """Return the chosen samples."""


class Annotated:
    """Samples with objects or masks.

    `read` gives (list of n images, list of n targets): an image is a `tv_tensors.Image` uint8
    (C, H, W). A target with objects is {"boxes": `tv_tensors.BoundingBoxes` float32 (k, 4) as left,
    top, right, bottom in pixels, "labels": int64 (k,), "crowd": bool (k,)} and, where all objects
    are outlined, "masks": `tv_tensors.Mask` bool (k, H, W). A target with a mask is {"mask":
    `tv_tensors.Mask` uint8 (H, W)}: a pixel's class, or 255 for none.
    """

    background = True
    labels = None
    shape = None
    skipped: Skipped = ()

    def __init__(
        self,
        uri: str,
        origin: Origin,
        *,
        classes: tuple[str, ...],
        channels: int,
        size: tuple[int, int] | None,
        annotated: bool = True,
    ) -> None:
        """Give images of `size` (height, width), boxes and masks following; None: their own.

        Where not `annotated`, images alone: every target is empty.
        """
        self.uri = uri
        self.classes = classes
        self.blocks = origin.blocks
        self._origin = origin
        self._channels = channels
        self._size = size
        self._annotated = annotated

    def __len__(self) -> int:
        """Return N."""
        return len(self._origin)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, images and annotations."""
        return self._origin.fingerprint()

    def source(self, index: int) -> str:
        """Return the image's path, or `path#row`."""
        return self._origin.source(index)

    def size(self, index: int) -> tuple[int, int]:
        """Return the (height, width) that an image's header says."""
        return header(self._origin[index].image)[1:]

    def read(self, indices: Indices, key: tuple[int, int] = (0, 0)) -> tuple[Any, Any]:
        """Return lists of n images and n targets; InputError for what cannot be read."""
        from torchvision import tv_tensors  # noqa: F401  (4 s: not in the pool's threads)

        pairs = list(decoders().map(self._pair, indices.tolist()))
        return [image for image, _ in pairs], [target for _, target in pairs]

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        """Return each image, or the exception where it or its annotation cannot be read."""

        def one(index: int) -> Tensor | Exception:
            try:
                return self._pair(index)[0]
            except Exception as error:
                return error

        return list(decoders().map(one, indices.tolist()))

    def record(self, index: int) -> Record:
        """Return a sample as its source holds it; InputError where that cannot be had."""
        return self._origin[index]

    def take(self, chosen: Indices) -> Annotated:
        """Return the chosen samples."""
        return Annotated(
            self.uri,
            self._origin.take(chosen),
            classes=self.classes,
            channels=self._channels,
            size=self._size,
            annotated=self._annotated,
        )

    def _pair(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        from torchvision import tv_tensors

        record = self._origin[index]
        try:
            content = content_of(record.image)
            own = header(content)[1:]
            pixels = decode_whole(content, self._channels, self._size).transpose(2, 0, 1)
        except Exception as error:
            raise unreadable(self.source(index), error) from error
        image = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(pixels)))
        if not self._annotated:
            return image, {}
        try:
            return image, target(record, (own[0], own[1]), self._size or (own[0], own[1]))
        except Exception as error:
            raise InputError.of(
                f"{self.source(index)}: its annotation cannot be read: {one_line(error)}"
            ) from error
