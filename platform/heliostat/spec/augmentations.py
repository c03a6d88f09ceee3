"""Augmentations of training images, written `horizontal_flip` or `{random_crop: {padding: 2}}`.

Those in small letters are heliostat's own, made for whole batches at once; capitals name
torchvision's, which are applied to one sample after the other.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, field_validator

from heliostat.spec.base import Model, wrong, wrong_here
from heliostat.spec.explain import validated
from heliostat.spec.nearest import did_you_mean
from heliostat.spec.problems import InputError
from heliostat.spec.sizes import Size
from heliostat.spec.transforms import (
    Transform,
    is_torchvisions,
    name_and_arguments,
    read_transform,
    written,
)

_Share = Annotated[float, Field(gt=0, le=1)]
_Ratio = Annotated[float, Field(gt=0)]


class _Augmentation(Model):
    name: ClassVar[str]


class HorizontalFlip(_Augmentation):
    """Flip left and right, half of the time."""

    name = "horizontal_flip"


class RandomCrop(_Augmentation):
    """Pad with zeros on each side, then cut out `size` (default: the size before padding)."""

    name = "random_crop"
    padding: int = Field(default=0, ge=0)
    """Pixels on each side."""
    size: Size | None = Field(default=None, validate_default=True)
    """(height, width) in pixels."""

    @field_validator("size")
    @classmethod
    def _changes_something(
        cls, size: tuple[int, int] | None, info: ValidationInfo
    ) -> tuple[int, int] | None:
        if size is None and info.data.get("padding") == 0:
            raise wrong_here("changes nothing", "give padding or size")
        return size


class RandomResizedCrop(_Augmentation):
    """Cut a window of random area and shape out of the image as it is stored, and resize it.

    Comes first in the list: the image is decoded at the scale that its window needs. Windows are
    drawn as torchvision's `RandomResizedCrop` draws them.
    """

    name = "random_resized_crop"
    size: Size
    """(height, width) in pixels of what comes out."""
    scale: tuple[_Share, _Share] = Field(default=(0.08, 1.0), strict=False)
    """Smallest and largest area of a window, as a share of the image's."""
    ratio: tuple[_Ratio, _Ratio] = Field(default=(3 / 4, 4 / 3), strict=False)
    """Narrowest and widest shape of a window: width / height."""

    @field_validator("scale", "ratio")
    @classmethod
    def _ordered(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] > ends[1]:
            raise wrong_here(f"{ends[0]} is above {ends[1]}", "[lowest, highest]")
        return ends


_BY_NAME: dict[str, type[HorizontalFlip | RandomCrop | RandomResizedCrop]] = {
    "horizontal_flip": HorizontalFlip,
    "random_crop": RandomCrop,
    "random_resized_crop": RandomResizedCrop,
}


def _read(value: Any) -> _Any:
    if isinstance(value, _Any):
        return value
    name, arguments = name_and_arguments(value)
    if is_torchvisions(name):
        return read_transform(value)
    if name not in _BY_NAME:
        raise wrong_here(f"unknown augmentation {name!r}", did_you_mean(name, _BY_NAME))
    try:
        return validated(_BY_NAME[name], arguments)
    except InputError as error:
        prefix = () if isinstance(value, str) else (name,)
        raise wrong(*error.under(*prefix).problems) from None


def _written(augment: _Any) -> Any:
    if isinstance(augment, Transform):
        return written(augment)
    arguments = augment.model_dump(mode="json")
    return {augment.name: arguments} if arguments else augment.name


_Any = HorizontalFlip | RandomCrop | RandomResizedCrop | Transform
Augment = Annotated[_Any, BeforeValidator(_read), PlainSerializer(_written)]
"""An augmentation, read from and dumped to the form in which a person writes it."""
