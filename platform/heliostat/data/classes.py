"""Splits of one job must agree: the same classes in the same order, images of one shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from heliostat.data.samples import Indices, Labels, Samples, Shape, Skipped
from heliostat.spec.problems import InputError, Key


def align_classes(samples: Samples, classes: tuple[str, ...], *, key: Key = ()) -> Samples:
    """Return the samples with their labels numbered as in `classes` (the training split's).

    Raises InputError, of `key`, if the samples have a class that is not among them. Samples or
    `classes` without names are taken as they are.
    """
    if not classes or not samples.classes or samples.classes == classes:
        return samples
    unknown = [name for name in samples.classes if name not in classes]
    if unknown:
        raise InputError.of(
            f"{'class' if len(unknown) == 1 else 'classes'} {_some(unknown)} unknown in training",
            key=key,
            valid=_some(classes),
        )
    return _Renumbered(samples, classes)


def check_shapes(train: Samples, other: Samples, *, key: Key = ()) -> None:
    """Raise InputError, of `key`, if images differ from training's in size or channels."""
    if train.shape is None or other.shape is None or train.shape == other.shape:
        return
    setting = "channels" if train.shape[1:] == other.shape[1:] else "image_size"
    raise InputError.of(
        f"images of {_described(other.shape)}, but in training of {_described(train.shape)}",
        key=key,
        valid=f"set data.{setting}",
    )


class _Renumbered:
    """Samples whose labels are numbered by other classes."""

    def __init__(self, samples: Samples, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._samples = samples
        self._numbers = np.array([classes.index(name) for name in samples.classes], np.int64)
        self.labels: Labels | None = (
            None if samples.labels is None else self._numbers[samples.labels]
        )

    @property
    def uri(self) -> str:
        return self._samples.uri

    @property
    def shape(self) -> Shape | None:
        return self._samples.shape

    @property
    def fingerprint(self) -> str:
        return self._samples.fingerprint

    @property
    def background(self) -> bool:
        return self._samples.background

    @property
    def blocks(self) -> tuple[int, ...] | None:
        return self._samples.blocks

    @property
    def skipped(self) -> Skipped:
        return self._samples.skipped

    def __len__(self) -> int:
        return len(self._samples)

    def source(self, index: int) -> str:
        return self._samples.source(index)

    def size(self, index: int) -> tuple[int, int] | None:
        return self._samples.size(index)

    def read(self, indices: Indices, key: tuple[int, int] = (0, 0)) -> tuple[Any, Any]:
        inputs, targets = self._samples.read(indices, key)
        if isinstance(targets, list):
            return inputs, [self._annotated(target) for target in targets]
        return inputs, None if targets is None else torch.from_numpy(self._numbers[targets.numpy()])

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        return self._samples.read_each(indices)

    def _annotated(self, target: dict[str, Any]) -> dict[str, Any]:
        from torchvision import tv_tensors

        if "mask" not in target:
            return {**target, "labels": torch.from_numpy(self._numbers[target["labels"].numpy()])}
        numbers = np.arange(256)  # what stands for no class stays
        numbers[: len(self._numbers)] = self._numbers
        mask = torch.from_numpy(numbers.astype(np.uint8)[target["mask"].numpy()])
        return {"mask": tv_tensors.Mask(mask)}


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _described(shape: Shape) -> str:
    channels, height, width = shape
    return f"{height}x{width} with {channels} channel{'s' if channels > 1 else ''}"
