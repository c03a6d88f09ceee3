"""What a job reads: sources of samples, and the data of a training job."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from heliostat.spec.augmentations import Augment
from heliostat.spec.base import Arguments, ImportPath, Model, wrong, wrong_here
from heliostat.spec.problems import InputError
from heliostat.spec.sizes import Size
from heliostat.spec.splits import parse_split
from heliostat.spec.transforms import BatchTransform, Transform


class Source(Model):
    """Where samples come from: a URI, or a map-style torch Dataset of the user's own."""

    uri: str | None = Field(default=None, min_length=1)
    """A path, `s3://…`, `sklearn:digits`, `torchvision:CIFAR10`."""
    dataset: ImportPath | None = Field(default=None, validate_default=True)
    format: str | None = None
    """What `uri` is in, as `helio data import --format` names it; None: found out."""
    split: str | None = None
    """`name[start:stop]`, as `parse_split` reads it; None: the whole of the source."""
    args: Arguments = Field(default_factory=dict)
    """Keyword arguments of `dataset`."""
    download: bool = False
    """Whether a source that can be downloaded (torchvision's) may be."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, values: Any) -> Any:
        return {"uri": values} if isinstance(values, str) else values

    @field_validator("split")
    @classmethod
    def _legal_split(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                parse_split(text)
            except InputError as error:
                raise wrong(*error.problems) from None
        return text

    @field_validator("dataset")
    @classmethod
    def _one_of_two(cls, dataset: str | None, info: ValidationInfo) -> str | None:
        if "uri" in info.data and (dataset is None) == (info.data["uri"] is None):
            message = "uri is missing" if dataset is None else "uri is given as well"
            raise wrong_here(message, "give either uri or dataset")
        return dataset

    @field_validator("format")
    @classmethod
    def _of_a_uri(cls, format: str | None, info: ValidationInfo) -> str | None:
        if format is not None and info.data.get("dataset") is not None:
            raise wrong_here("only a uri has a format", "leave it out beside dataset")
        return format

    @field_validator("args")
    @classmethod
    def _of_a_dataset(cls, args: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if args and info.data.get("dataset", "wrong itself") is None:
            raise wrong_here("only a dataset takes arguments", "leave it out beside uri")
        return args


class DecodedCache(Model):
    """That images are decoded once a node, written `decoded` or `{short_side: 160}`."""

    short_side: int | None = Field(default=None, ge=8)
    """Keep them with their shorter side reduced to this many pixels; None: as they are."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, values: Any) -> Any:
        return {} if values == "decoded" else values


class DataSpec(Model):
    """The data of a training job. Selection looks at `val` only; `test` is seen once, at the end.

    Images are resized to `image_size` (height, width in pixels) and converted to `channels`,
    where these are given. `on_error` says what happens to an image that cannot be decoded: the
    job fails and names it, or all are decoded once before the first step, and it is left out.
    The transforms in `augment_on_device` are torchvision's, applied to whole batches where the
    model is (MixUp, CutMix): a worker's share of a batch is one, so their pixels depend on the
    number of workers.
    """

    train: Source = Field(examples=["{uri: path/to/images}"])
    val: Source | None = None
    test: Source | None = None
    augment: tuple[Augment, ...] = Field(default=(), strict=False)
    image_size: Size | None = None
    channels: Literal[1, 3] | None = None
    augment_on_device: tuple[BatchTransform, ...] = Field(default=(), strict=False)
    on_error: Literal["fail", "skip"] = "fail"
    decoder: Literal["simplejpeg", "opencv", "pillow"] = "simplejpeg"
    cache: DecodedCache | None = None
    loader_processes: int = Field(default=0, ge=0)
    """Processes that read beside each worker, for slow Python of your own; 0: a thread."""

    @field_validator("augment")
    @classmethod
    def _torchvisions_come_last(cls, augment: tuple[Augment, ...]) -> tuple[Augment, ...]:
        kinds = [isinstance(step, Transform) for step in augment]
        if kinds != sorted(kinds):
            number = kinds.index(True) + kinds[kinds.index(True) :].index(False)
            raise wrong_here("stands after torchvision's", "before them", key=(number,))
        return augment
