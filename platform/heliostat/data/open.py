"""A source of the job spec becomes samples; its format is found out from what is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from heliostat.data import splits
from heliostat.data.annotated import Annotated
from heliostat.data.arrays import Arrays
from heliostat.data.cifar import batch_files, open_cifar
from heliostat.data.dataset import is_dataset, open_imported
from heliostat.data.decode import SUFFIXES, Decoder
from heliostat.data.decoded_cache import CacheSettings
from heliostat.data.digits import URI as DIGITS
from heliostat.data.digits import open_digits
from heliostat.data.folders import open_file, open_folder
from heliostat.data.formats import NAMES, detect, open_listing
from heliostat.data.idx import image_files, open_idx
from heliostat.data.images import EncodedImages
from heliostat.data.listed import open_listed
from heliostat.data.parquet import open_parquet, parquet_files
from heliostat.data.paths import reading
from heliostat.data.readable import readable
from heliostat.data.samples import Samples
from heliostat.data.seeds import PREFIX, Seeds, open_seeds
from heliostat.data.torchvision_sets import SCHEME as TORCHVISION
from heliostat.data.torchvision_sets import open_torchvision
from heliostat.data.user_dataset import UserDataset, open_dataset
from heliostat.spec.problems import InputError
from heliostat.spec.sources import DecodedCache, Source
from heliostat.spec.splits import Split, parse_split


def open_source(
    source: Source,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    labelled: bool = True,
    on_error: Literal["fail", "skip"] = "fail",
    decoder: Decoder = "simplejpeg",
    cache: DecodedCache | None = None,
    each_own_size: bool = False,
) -> Samples:
    """Return the samples of a source's split.

    Images are resized to `image_size` (height, width) and converted to `channels` (1 or 3); where
    these are None they keep their own, which must be one for all (annotated images may differ in
    size, and have 3 channels). Not labelled: labels are not needed, and left out where they would
    have to be looked for. `on_error: skip` decodes all images once and leaves out those that
    cannot be, which the samples' `skipped` lists. `decoder` and `cache` say how encoded images
    of classes become pixels, and whether those are kept. With `each_own_size`, images of any
    kind may differ in size, as annotated ones do.

    Raises InputError, its keys relative to the source, for whatever is wrong with the source; and
    whatever a dataset of the user's own raises, as it is.
    """
    split = Split("all") if source.split is None else parse_split(source.split)
    tolerant = on_error == "skip"
    wanted = _Wanted(labelled, channels, image_size, tolerant, each_own_size)
    samples = _whole(source, split.name, wanted)
    rows = splits.rows(split, len(samples))
    if rows is not None:
        # In a block-wise order, samples of a shard must stay beside one another.
        samples = samples.take(rows if samples.blocks is None else np.sort(rows))
    if on_error == "skip" and isinstance(samples, EncodedImages | Annotated):
        samples = readable(samples)
    if isinstance(samples, EncodedImages):
        settings = None if cache is None else CacheSettings(cache.short_side)
        return samples.decoded_by(decoder, settings)
    return samples


@dataclass(frozen=True)
class _Wanted:
    """What is asked of any source that holds encoded images."""

    labelled: bool
    channels: int | None
    size: tuple[int, int] | None
    tolerant: bool
    """Whether images that cannot be decoded are left out later."""
    each_own_size: bool

    def of_one_size(self) -> dict[str, Any]:
        """Return the settings of what gives images of one size only."""
        return {name: value for name, value in vars(self).items() if name != "each_own_size"}


def _whole(
    source: Source, split: str, wanted: _Wanted
) -> Arrays | EncodedImages | UserDataset | Annotated | Seeds:
    if source.dataset is not None:
        _refuse_settings(wanted)
        splits.refuse_named(split)
        return open_dataset(source.dataset, source.args, labelled=wanted.labelled)
    uri = source.uri or ""
    if uri.startswith(PREFIX):
        splits.refuse_named(split)
        return open_seeds(uri)
    if uri == DIGITS:
        return open_digits(split).fitted(wanted.channels, wanted.size)
    if uri.startswith(TORCHVISION):
        arrays = open_torchvision(uri, split, download=source.download)
        return arrays.fitted(wanted.channels, wanted.size)
    if is_dataset(uri):
        if source.format is not None:
            raise InputError.of("an imported data set has its own format", key=("format",))
        return open_imported(uri, split, **vars(wanted))
    path = _path(uri)
    if source.format is not None:
        return open_listed(uri, open_listing(path, source.format), split, **vars(wanted))
    return _found(uri, path, split, wanted)


def _found(uri: str, path: Path, split: str, wanted: _Wanted) -> Arrays | EncodedImages | Annotated:
    """Open what lies at a path, in the format that it is found to be in."""
    if path.is_dir():
        if image_files(path):
            arrays = open_idx(uri, path, split, labelled=wanted.labelled)
            return arrays.fitted(wanted.channels, wanted.size)
        if batch_files(path):
            return open_cifar(uri, path, split).fitted(wanted.channels, wanted.size)
    if parquet_files(path) and not wanted.each_own_size:
        return open_parquet(uri, path, split, **wanted.of_one_size())
    format, at = detect(path) or (None, path)
    if at != path:
        return _found(uri, at, split, wanted)
    if format is not None and (wanted.each_own_size or format.NAME not in _OPENED_HERE):
        return open_listed(uri, format.read(path), split, **vars(wanted))
    if path.is_dir():
        return open_folder(uri, path, split, **wanted.of_one_size())
    if not wanted.labelled and path.suffix.lower() in SUFFIXES:
        splits.refuse_named(split)
        return open_file(uri, path, channels=wanted.channels, size=wanted.size)
    raise InputError.of(f"{path} is in no format that is read", key=("uri",), valid=_FORMATS)


_OPENED_HERE = ("idx", "cifar", "parquet", "image_folder", "images")
_FORMATS = (
    f"a data set that `helio data import` wrote, {', '.join(NAMES)}, {DIGITS} or {TORCHVISION}NAME"
)


def _refuse_settings(wanted: _Wanted) -> None:
    given = {
        "image_size": wanted.size is not None,
        "channels": wanted.channels is not None,
        "on_error": wanted.tolerant,
    }
    setting = next((name for name, is_given in given.items() if is_given), None)
    if setting is not None:
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
