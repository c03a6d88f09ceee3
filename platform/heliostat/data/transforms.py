"""torchvision's `transforms.v2` by their own names, on samples or on whole batches.

Boxes and masks follow the image: targets hold `tv_tensors`, which the transforms know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from heliostat.data.arguments import check_arguments
from heliostat.data.global_draws import own_draws, seeds
from heliostat.data.samples import Indices
from heliostat.spec.nearest import did_you_mean
from heliostat.spec.problems import InputError, Key
from heliostat.spec.transforms import Transform

Apply = Callable[[Any, Any], tuple[Any, Any]]
"""(inputs, targets) → the same, transformed."""


def build_transforms(steps: Sequence[Transform], *, key: Key, first: int = 0) -> Apply:
    """Return torchvision's transforms one after the other, of an (image, target) or of a batch.

    Importing torchvision takes some seconds. Raises InputError for a name that torchvision does
    not have and for arguments that its transform does not take; its key is below `key`, where
    the steps are counted from `first`.
    """
    from torchvision.transforms import v2

    built = [_build(v2, step, (*key, number)) for number, step in enumerate(steps, first)]
    composed: Apply = v2.Compose(built)
    return composed


def each_sample(
    apply: Apply, inputs: Any, targets: Any, *, seed: int, epoch: int, indices: Indices
) -> tuple[Any, Any]:
    """Return a batch each of whose samples was transformed, by (seed, epoch, sample) alone.

    Images uint8 (n, C, H, W) with class targets int64 (n,) or None stay so, in the size that the
    transforms leave. Lists of images and of dictionaries (boxes, masks) stay lists. torch's
    global generator is seeded for each sample and is afterwards as it was.
    """
    from torchvision.tv_tensors import Image

    ragged = isinstance(inputs, list)
    labels = [None] * len(indices) if targets is None or not ragged else targets
    numbers = seeds(_TRANSFORM, (seed, epoch), indices)
    done = []
    with own_draws():
        for image, target, number in zip(inputs, labels, numbers, strict=True):
            torch.default_generator.manual_seed(number)
            done.append(apply(Image(image), target))
    images = [image.as_subclass(Tensor) for image, _ in done]
    if ragged:
        return images, None if targets is None else [target for _, target in done]
    return _stacked(images), targets


def whole_batch(steps: Sequence[Transform], *, key: Key) -> Apply:
    """Return torchvision's transforms of a batch (inputs, targets) on its device.

    uint8 images become float32 on 0..1 first, as MixUp and its like need them. The randomness is
    torch's global generator's.
    """
    apply = build_transforms(steps, key=key)

    def scaled(inputs: Any, targets: Any) -> tuple[Any, Any]:
        is_pixels = isinstance(inputs, Tensor) and inputs.dtype == torch.uint8
        return apply(inputs.float() / 255 if is_pixels else inputs, targets)

    return scaled


def _stacked(images: list[Tensor]) -> Tensor:
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        some = " and ".join(str(shape) for shape in sorted(shapes)[:2])
        raise InputError.of(
            f"the transforms leave images of different shapes: {some}",
            key=("augment",),
            valid="end them with one that gives a fixed size, such as {Resize: {size: [64, 64]}}",
        )
    return torch.stack(images)


def _build(v2: Any, step: Transform, key: Key) -> Any:
    known = {
        name: made
        for name, made in vars(v2).items()
        if isinstance(made, type) and issubclass(made, v2.Transform) and name not in _NOT_BY_NAME
    }
    if step.name not in known:
        raise InputError.of(
            f"torchvision.transforms.v2 has no {step.name!r}",
            key=key,
            valid=did_you_mean(step.name, known),
        )
    check_arguments(step.name, known[step.name], step.args, key=(*key, step.name))
    try:
        return known[step.name](**{**_DEFAULTS.get(step.name, {}), **step.args})
    except (TypeError, ValueError) as error:
        raise InputError.of(f"{step.name}: {error}", key=(*key, step.name)) from error


def _of_each_box(sample: Any) -> tuple[Tensor, ...]:
    """Return what an (image, target) holds for each box, and loses with the box."""
    _, target = sample
    return tuple(target[name] for name in ("labels", "crowd") if name in target)


_DEFAULTS: dict[str, dict[str, Any]] = {"SanitizeBoundingBoxes": {"labels_getter": _of_each_box}}
# They take other transforms or functions, which a spec cannot name; or are the base itself.
_NOT_BY_NAME = ("Transform", "Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder")
_TRANSFORM = 0x7F2
