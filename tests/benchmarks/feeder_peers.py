"""The feeders that people would pick instead, each as its documentation writes it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from feeder_data import Part, converted, fashion, files, threads
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batches = Callable[[int], Iterable[Any]]
"""The batches (inputs, targets) of an epoch, by its number."""


def transforms(part: Part) -> Any:
    """Return torchvision's transforms.v2 from an image (PIL, or a uint8 tensor) to floats."""
    from torchvision.transforms import v2

    crop = (
        v2.RandomCrop(part.size, padding=part.padding)
        if part.padding
        else v2.RandomResizedCrop(part.size, antialias=True)
    )
    steps = [v2.ToImage(), crop, v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)]
    return v2.Compose([*steps, v2.Normalize(part.mean, part.std)])


def torchvision(part: Part, folder: Path) -> Batches:
    """ImageFolder, or a Dataset over arrays, in a DataLoader with worker processes."""
    from torchvision.datasets import ImageFolder

    if part.name == "arrays":
        return _loader(part, _Arrays(folder, transforms(part)))
    if part.name == "user_transform":
        from feeder_user_dataset import Photos

        return _loader(part, Photos(str(folder), part.size))
    return _loader(part, ImageFolder(str(folder), transforms(part)))


def torchcodec(part: Part, folder: Path) -> Batches:
    """The same, images decoded by TorchCodec."""
    from torchcodec.decoders import decode_image
    from torchvision.datasets import ImageFolder

    return _loader(part, ImageFolder(str(folder), transforms(part), loader=decode_image))


def webdataset(part: Part, folder: Path) -> Batches:
    """Tar shards, shuffled through a buffer of 1,000."""
    import webdataset as wds

    arrays = part.name == "arrays"

    def write(target: Path) -> None:
        samples = _npy(folder) if arrays else files(folder)
        with wds.ShardWriter(f"{target}/%06d.tar", maxsize=2e7, verbose=0) as sink:
            for number, (content, label) in enumerate(samples):
                name = "npy" if arrays else "jpg"
                sink.write({"__key__": f"{number:06}", name: content, "cls": label})

    shards = sorted(map(str, converted(_near(folder), "webdataset", write).glob("*.tar")))
    transform = transforms(part)
    image = _image if arrays else _same
    dataset = (
        wds.WebDataset(shards, shardshuffle=len(shards))
        .shuffle(1000)
        .decode("pil")
        .to_tuple("npy" if arrays else "jpg", "cls")
        .map_tuple(image, _same)
        .map_tuple(transform, _same)
        .batched(part.batch)
    )
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=min(threads(), len(shards)))
    return lambda epoch: loader


def litdata(part: Part, folder: Path) -> Batches:
    """Chunks that `litdata.optimize` wrote."""
    near = _near(folder)
    # optimize() deletes <temporary folder>/data and /chunks where it is not told otherwise.
    os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = str(near.parent / "litdata-cache")
    os.environ["DATA_OPTIMIZER_DATA_CACHE_FOLDER"] = str(near.parent / "litdata-data")
    import litdata as ld

    def write(target: Path) -> None:
        samples = list(_npy_bytes(folder) if part.name == "arrays" else files(folder))
        ld.optimize(
            fn=_as_item, inputs=samples, output_dir=str(target), chunk_bytes="64MB", num_workers=1
        )

    item = partial(_item, transforms(part), part.name == "arrays")
    dataset = ld.StreamingDataset(
        str(converted(near, "litdata", write)), shuffle=True, transform=item
    )
    loader = ld.StreamingDataLoader(dataset, batch_size=part.batch, num_workers=threads())
    return lambda epoch: loader


def mosaicml(part: Part, folder: Path) -> Batches:
    """MDS shards, read where they lie."""
    from streaming import MDSWriter, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    arrays = part.name == "arrays"

    def write(target: Path) -> None:
        columns = {"content": "bytes", "label": "int"}
        with MDSWriter(out=str(target / "mds"), columns=columns) as out:
            for content, label in _npy_bytes(folder) if arrays else files(folder):
                out.write({"content": content, "label": int(label)})

    transform = transforms(part)
    decode = _decode_npy if arrays else _decode

    class Streamed(StreamingDataset):  # type: ignore[misc,unused-ignore]
        def __getitem__(self, index: Any) -> Any:
            item = super().__getitem__(index)
            return transform(decode(item["content"])), item["label"]

    local = converted(_near(folder), "mosaicml", write) / "mds"
    dataset = Streamed(local=str(local), shuffle=True, batch_size=part.batch)
    loader = DataLoader(dataset, batch_size=part.batch, num_workers=threads())
    return lambda epoch: loader


def raydata(part: Part, folder: Path) -> Batches:
    """`ray.data` with `iter_torch_batches`."""
    import logging

    import numpy as np
    import ray

    if not ray.is_initialized():
        ray.init(num_cpus=threads(), include_dashboard=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    transform = transforms(part)

    def row(row: dict[str, Any]) -> dict[str, Any]:
        image = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(row["image"])))
        return {"image": transform(image.permute(2, 0, 1)).numpy(), "label": row.get("label", 0)}

    if part.name == "arrays":
        images, labels = fashion(folder)
        columns = {"image": images, "label": labels}
        blocks = [{k: v[i : i + 5000] for k, v in columns.items()} for i in range(0, 60_000, 5000)]
        dataset = ray.data.from_numpy([block["image"] for block in blocks])
        dataset = dataset.rename_columns({"data": "image"})
    else:
        dataset = ray.data.read_images(str(folder), mode="RGB", shuffle="files")
    mapped = dataset.map(row)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in mapped.iter_torch_batches(batch_size=part.batch):
            yield batch["image"], batch["label"]

    return batches


PEERS: dict[str, Callable[[Part, Path], Batches]] = {
    "torchvision": torchvision,
    "torchcodec": torchcodec,
    "webdataset": webdataset,
    "litdata": litdata,
    "mosaicml-streaming": mosaicml,
    "ray-data": raydata,
}
"""By the name of the package that must be installed."""


class _Arrays(Dataset[tuple[Any, int]]):
    def __init__(self, folder: Path, transform: Any) -> None:
        self._images, self._labels = fashion(folder)
        self._transform = transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self._transform(Image.fromarray(self._images[index])), int(self._labels[index])


def _loader(part: Part, dataset: Any) -> Batches:
    loader: Iterable[Any] = DataLoader(
        dataset,
        batch_size=part.batch,
        shuffle=True,
        num_workers=threads(),
        persistent_workers=True,
    )
    return lambda epoch: loader


def _near(folder: Path) -> Path:
    """Return where the copies of `folder` go: the real data's own folder is not written to."""
    return Path(os.environ["FEEDERS_WORK"]) / folder.name


def _npy(folder: Path) -> Iterator[tuple[Any, int]]:
    yield from ((image, int(label)) for image, label in zip(*fashion(folder), strict=True))


def _npy_bytes(folder: Path) -> Iterator[tuple[bytes, int]]:
    yield from ((image.tobytes(), label) for image, label in _npy(folder))


def _as_item(sample: tuple[bytes, int]) -> dict[str, Any]:
    return {"content": sample[0], "label": sample[1]}


def _item(transform: Any, arrays: bool, item: dict[str, Any]) -> tuple[Any, int]:
    decode = _decode_npy if arrays else _decode
    return transform(decode(item["content"])), item["label"]


def _decode(content: bytes) -> Any:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _decode_npy(content: bytes) -> Any:
    return Image.frombytes("L", (28, 28), content)


def _image(array: Any) -> Any:
    return Image.fromarray(array)


def _same(value: Any) -> Any:
    return value
