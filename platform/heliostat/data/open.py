"""A source of the job spec becomes samples; its format is found out from what is there."""

from __future__ import annotations

from pathlib import Path

from heliostat.data import splits
from heliostat.data.arrays import Arrays
from heliostat.data.cifar import batch_files, open_cifar
from heliostat.data.decode import SUFFIXES
from heliostat.data.digits import URI as DIGITS
from heliostat.data.digits import open_digits
from heliostat.data.folders import open_file, open_folder
from heliostat.data.idx import image_files, open_idx
from heliostat.data.images import EncodedImages
from heliostat.data.parquet import open_parquet, parquet_files
from heliostat.data.paths import reading
from heliostat.data.samples import Samples
from heliostat.data.torchvision_sets import SCHEME as TORCHVISION
from heliostat.data.torchvision_sets import open_torchvision
from heliostat.data.user_dataset import UserDataset, open_dataset
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source
from heliostat.spec.splits import Split, parse_split


def open_source(
    source: Source,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    labelled: bool = True,
) -> Samples:
    """Return the samples of a source's split.

    Images are resized to `image_size` (height, width) and converted to `channels` (1 or 3); where
    these are None they keep their own, which must be one for all. Not labelled: labels are not
    needed, and left out where they would have to be looked for.

    Raises InputError, its keys relative to the source, for whatever is wrong with the source; and
    whatever a dataset of the user's own raises, as it is.
    """
    split = Split("all") if source.split is None else parse_split(source.split)
    samples = _whole(source, split.name, image_size, channels, labelled)
    rows = splits.rows(split, len(samples))
    return samples if rows is None else samples.take(rows)


def _whole(
    source: Source,
    split: str,
    size: tuple[int, int] | None,
    channels: int | None,
    labelled: bool,
) -> Arrays | EncodedImages | UserDataset:
    if source.dataset is not None:
        _refuse_settings(size, channels)
        splits.refuse_named(split)
        return open_dataset(source.dataset, source.args, labelled=labelled)
    uri = source.uri or ""
    if uri == DIGITS:
        return open_digits(split).fitted(channels, size)
    if uri.startswith(TORCHVISION):
        return open_torchvision(uri, split, download=source.download).fitted(channels, size)
    path = _path(uri)
    if path.is_dir():
        if image_files(path):
            return open_idx(uri, path, split, labelled=labelled).fitted(channels, size)
        if batch_files(path):
            return open_cifar(uri, path, split).fitted(channels, size)
    if parquet_files(path):
        return open_parquet(uri, path, split, labelled=labelled, channels=channels, size=size)
    if path.is_dir():
        return open_folder(uri, path, split, labelled=labelled, channels=channels, size=size)
    if not labelled and path.suffix.lower() in SUFFIXES:
        splits.refuse_named(split)
        return open_file(uri, path, channels=channels, size=size)
    raise InputError.of(f"{path} is in no format that is read", key=("uri",), valid=_FORMATS)


_FORMATS = (
    "a folder of images for each class, IDX files, CIFAR's python batches, Parquet, "
    f"{DIGITS} or {TORCHVISION}NAME"
)


def _refuse_settings(size: tuple[int, int] | None, channels: int | None) -> None:
    if size is not None or channels is not None:
        setting = "image_size" if size is not None else "channels"
        raise InputError.of(
            f"data.{setting} does not apply to a dataset of your own",
            key=("dataset",),
            valid="let the dataset give inputs as the model takes them",
        )


def _path(uri: str) -> Path:
    scheme, colon, _ = uri.partition(":")
    if uri.startswith("file://"):
        return _existing(Path(uri.removeprefix("file://")))
    if colon and scheme.isalnum() and not Path(uri).exists():
        raise InputError.of(f"{uri!r} is not a source that is read", key=("uri",), valid=_FORMATS)
    return _existing(Path(uri))


def _existing(path: Path) -> Path:
    with reading(path):
        path.stat()
    return path
