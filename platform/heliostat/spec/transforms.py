"""torchvision's transforms by their own names, written `ColorJitter` or `{Name: {argument: …}}`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from heliostat.spec.base import Arguments, Model, wrong_here


class Transform(Model):
    """A class of `torchvision.transforms.v2` and its keyword arguments.

    Whether torchvision has it and takes them shows when the data is opened: a spec is read
    without torchvision.
    """

    name: str = Field(pattern=r"^[A-Z]\w*$")
    args: Arguments = Field(default_factory=dict)


def name_and_arguments(value: Any) -> tuple[str, Any]:
    """Return the two parts of `Name` or `{Name: {argument: value}}`, as YAML gives them."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and len(value) == 1:
        name, arguments = next(iter(value.items()))
        return name, {} if arguments is None else arguments
    valid = "a name, such as horizontal_flip, or {random_crop: {padding: 2}}"
    raise wrong_here("is not an augmentation", valid)


def is_torchvisions(name: Any) -> bool:
    """Whether a name is spelled as torchvision's classes are, and not as heliostat's own."""
    return isinstance(name, str) and name[:1].isupper()


def written(transform: Transform) -> Any:
    """Return the form in which a person writes it."""
    return {transform.name: transform.args} if transform.args else transform.name


def read_transform(value: Any) -> Transform:
    """Return what a person wrote, as it stands in YAML."""
    if isinstance(value, Transform):
        return value
    name, arguments = name_and_arguments(value)
    if not is_torchvisions(name):
        raise wrong_here(f"{name!r} is no name of torchvision.transforms.v2", "such as MixUp")
    if not isinstance(arguments, dict):
        raise wrong_here("its arguments are not a mapping", "{argument: value}", key=(name,))
    return Transform(name=name, args=arguments)


BatchTransform = Annotated[Transform, BeforeValidator(read_transform), PlainSerializer(written)]
"""A transform of whole batches, on the device."""
