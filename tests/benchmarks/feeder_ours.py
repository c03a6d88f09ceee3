"""heliostat's own feeder, as a training job uses it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from feeder_data import BUCKET, Part, converted, threads
from torch import Tensor

from heliostat.data import TrainBatches, open_source
from heliostat.data.formats import open_listing
from heliostat.data.pool import decoders
from heliostat.data.stores import open_store
from heliostat.data.writing import import_dataset
from heliostat.spec.augmentations import HorizontalFlip, RandomCrop, RandomResizedCrop
from heliostat.spec.sources import DecodedCache, Source
from heliostat.training.host_memory import keep_freed_memory
from heliostat.vision.normalize import Normalize

CACHES = {"heliostat, cache": DecodedCache(), "heliostat, cache 160": DecodedCache(short_side=160)}


def uri(feeder: str, folder: Path) -> str:
    """Return where this feeder's images are: in the folder, or a data set imported from it."""
    if feeder == "heliostat, imported":
        return str(converted(folder, "helio", partial(_import, folder)))
    if feeder == "heliostat, S3":
        s3 = f"s3://{BUCKET}/{folder.name}"
        if not open_store(s3).names():
            _import(folder, s3)
        return s3
    return str(folder)


class Ours:
    """The part's batches, normalised."""

    def __init__(self, part: Part, feeder: str, uri: str, home: Path) -> None:
        keep_freed_memory(torch.device("cpu"))  # as a training process on the CPU does
        os.environ["HELIO_HOME"] = str(home)
        # Where an image takes microseconds, more threads would only wait for one another.
        torch.set_num_threads(1 if part.padding else threads())
        size = (part.size, part.size)
        if part.name == "user_transform":
            dataset = {"root": uri, "size": part.size}
            source = Source(dataset="feeder_user_dataset:Photos", args=dataset)
            samples, steps = open_source(source), ()
        else:
            padding = part.padding
            crop = RandomCrop(padding=padding) if padding else RandomResizedCrop(size=size)
            source = Source(uri=uri, split="train" if part.name == "arrays" else None)
            samples = open_source(source, image_size=size, cache=CACHES.get(feeder))
            steps = (crop, HorizontalFlip())
        self._batches = TrainBatches(
            samples,
            batch_size=part.batch,
            seed=0,
            rank=0,
            world_size=1,
            augment=steps,
            processes=threads() if feeder == "heliostat, processes" else 0,
        )
        decoders()  # as many threads as torch has now
        # Normalising in two threads takes a core from the decoders: OpenMP's spin between batches.
        torch.set_num_threads(1)
        self._normalize: Any = Normalize(part.mean, part.std)
        if part.name == "user_transform":
            self._normalize = lambda inputs: inputs

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs float32, targets)."""
        with closing(self._batches.epoch(number)) as batches, torch.inference_mode():
            for batch in batches:
                yield self._normalize(batch.inputs), batch.targets


def _import(folder: Path, dest: Path | str) -> None:
    import_dataset(open_listing(folder, "image_folder"), str(dest))
