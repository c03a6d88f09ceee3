"""A class an image: the same digits or photos in each of the formats that have one."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat

from heliostat.data import open_source
from heliostat.data.decode import decode, header
from heliostat.data.encoded import Encoded
from heliostat.data.formats import open_listing
from heliostat.data.records import Record
from heliostat.spec.sources import Source

Png = Callable[[int], bytes]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def test_class_folders_give_splits_and_names_below_the_source(class_folder: Path) -> None:
    listing = open_listing(class_folder)
    assert (listing.format, listing.kind) == ("image_folder", "labels")
    assert [len(part) for part in listing.splits.values()] == [40, 20]
    assert listing.classes == tuple(f"digit-{n}" for n in range(10))
    for split, part in listing.splits.items():
        for record in part:
            assert record.label is not None
            assert record.name.startswith(f"{split}/{listing.classes[record.label]}/")
            assert record.image == class_folder / record.name


def test_folders_and_what_open_source_reads_agree(class_folder: Path) -> None:
    samples = open_source(Source(uri=str(class_folder), split="train"))
    part = open_listing(class_folder).splits["train"]
    assert [str(record.image) for record in part] == [samples.source(i) for i in range(40)]
    assert samples.labels is not None
    assert [record.label for record in part] == samples.labels.tolist()


def test_class_folders_that_are_not_divided_are_one_split(class_folder: Path) -> None:
    listing = open_listing(class_folder / "train")
    assert {split: len(part) for split, part in listing.splits.items()} == {"all": 40}
    assert [record.label for record in listing.splits["all"][:3]] == [0, 0, 0]


def test_a_csv_gives_the_class_and_the_split_of_each_image(png: Png, tmp_path: Path) -> None:
    for index in range(4):
        (tmp_path / f"{index}.png").write_bytes(png(index))
    rows = ["file;class;split", "0.png;zero;train", "1.png;one;train", "2.png;zero;valid"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    listing = open_listing(tmp_path)
    assert (listing.format, listing.classes) == ("csv", ("one", "zero"))
    assert {s: [(r.name, r.label) for r in part] for s, part in listing.splits.items()} == {
        "train": [("0.png", 1), ("1.png", 0)],
        "val": [("2.png", 1)],
    }


def test_numbers_in_a_csv_are_the_classes_numbers(png: Png, tmp_path: Path) -> None:
    for index in range(2):
        (tmp_path / f"{index}.png").write_bytes(png(index))
    (tmp_path / "a.csv").write_text('path,label\n"0.png",10\n1.png,2\n')
    listing = open_listing(tmp_path / "a.csv")
    assert listing.classes == tuple(map(str, range(11)))
    assert [record.label for record in listing.splits["all"]] == [10, 2]


def test_parquet_gives_bytes_structs_and_paths_row_by_row(png: Png, tmp_path: Path) -> None:
    (tmp_path / "5.png").write_bytes(png(5))
    names = {"info": {"features": {"label": {"names": list("abcdef")}}}}
    structs: list[Any] = [{"bytes": png(i), "path": f"{i}.png"} for i in range(5)]
    structs.append({"bytes": None, "path": "5.png"})
    table = pa.table({"image": structs, "label": [5, 4, 3, 2, 1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    pq.write_table(table, tmp_path / "train-00000-of-00002.parquet", row_group_size=2)
    pq.write_table(table[:1], tmp_path / "train-00001-of-00002.parquet")
    pq.write_table(table[2:3], tmp_path / "validation-00000-of-00001.parquet")
    listing = open_listing(tmp_path)
    assert (listing.format, listing.classes) == ("parquet", tuple("abcdef"))
    train, val = listing.splits["train"], listing.splits["val"]
    assert [record.label for record in train] == [5, 4, 3, 2, 1, 0, 5]
    assert [content(train[i].image) for i in range(7)] == [png(i) for i in (*range(6), 0)]
    assert train[6].name == "train-00001-of-00002.parquet#0"
    assert (content(val[0].image), val[0].label) == (png(2), 3)


def test_names_of_classes_in_parquet_are_those_of_all_splits(png: Png, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, labels in (("train", ["cat", "owl"]), ("test", ["bee"])):
        table = pa.table({"bytes": [png(0)] * len(labels), "label": labels})
        pq.write_table(table, tmp_path / "data" / f"{split}.parquet")
    listing = open_listing(tmp_path)
    assert listing.classes == ("bee", "cat", "owl")
    assert {s: [r.label for r in part] for s, part in listing.splits.items()} == {
        "train": [1, 2],
        "test": [0],
    }


def test_idx_gives_every_image_as_png(shared_data: Path) -> None:
    listing = open_listing(shared_data / "fashion-mnist")
    samples = open_source(Source(uri=str(shared_data / "fashion-mnist"), split="test"))
    part = listing.splits["test"]
    assert (listing.format, len(listing.splits["train"]), len(part)) == ("idx", 60000, 10000)
    assert samples.labels is not None
    for index in (0, 1, 9999):
        assert np.array_equal(pixels(part[index]), samples.read(np.array([index]))[0][0])
        assert part[index].label == samples.labels[index]
        assert part[index].name == f"t10k-images-idx3-ubyte.gz#{index}"


def test_every_kind_of_cifars_batches_gives_the_same_images(
    shared_data: Path, tmp_path: Path, write_cifar: Callable[[Path, Pixels], list[int]]
) -> None:
    images = crops(shared_data / "raccoon" / "images" / "raccoon-1.jpg")
    labels = write_cifar(tmp_path, images)
    listing = open_listing(tmp_path)
    assert listing.format == "cifar"
    assert listing.classes[labels[0]] == f"fine_{labels[0]}"
    found = [*listing.splits["train"], *listing.splits["test"]]
    assert [record.label for record in found] == labels
    assert np.array_equal([pixels(record) for record in found], images)
    assert len({record.name for record in listing.splits["train"]}) == len(listing.splits["train"])
    direct = open_source(Source(uri=str(tmp_path), split="test"))
    assert np.array_equal(direct.read(np.arange(len(direct)))[0], images[-len(direct) :])


@pytest.mark.parametrize("layout", ["folders", "devkit", "kaggle"])
def test_imagenets_validation_has_the_same_labels_in_every_layout(
    shared_data: Path, tmp_path: Path, layout: str
) -> None:
    photos = sorted((shared_data / "raccoon" / "images").iterdir())[:10]
    wordnet = ["n01440764", "n02510455", "n13133613"]
    root = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" if layout == "kaggle" else tmp_path
    for index, photo in enumerate(photos[:6]):
        link(photo, root / "train" / wordnet[index % 3] / f"{index}.JPEG")
    expected = {f"ILSVRC2012_val_0000000{i}": i * 2 % 3 for i in range(4)}
    for (name, label), photo in zip(expected.items(), photos[6:], strict=True):
        folder = root / "val" / wordnet[label] if layout == "folders" else root / "val"
        link(photo, folder / f"{name}.JPEG")
    if layout == "devkit":
        write_devkit(tmp_path / "ILSVRC2012_devkit_t12" / "data", wordnet, list(expected.values()))
    elif layout == "kaggle":
        lines = [f"{name},{wordnet[label]} 1 2 3 4 " for name, label in expected.items()]
        text = "\n".join(["ImageId,PredictionString", *reversed(lines)])
        (tmp_path / "LOC_val_solution.csv").write_text(text)
    listing = open_listing(tmp_path)
    assert (listing.format, listing.classes) == ("imagenet", tuple(wordnet))
    assert [record.label for record in listing.splits["train"]] == [0, 0, 1, 1, 2, 2]
    assert {Path(r.name).stem: r.label for r in listing.splits["val"]} == expected


def python_10(folder: Path, images: Pixels) -> list[int]:
    """Write CIFAR-10's python batches; return the labels."""
    labels = [(7 * i + 3) % 10 for i in range(len(images))]
    flat = images.reshape(len(images), -1)
    for name, rows in ten(images).items():
        batch = {b"data": flat[rows], b"labels": labels[rows], b"filenames": []}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    names = {"label_names": [f"fine_{n}" for n in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol=2))
    return labels


def binary_10(folder: Path, images: Pixels) -> list[int]:
    """Write CIFAR-10's binary batches; return the labels."""
    labels = [(7 * i + 3) % 10 for i in range(len(images))]
    rows_of = np.column_stack([np.array(labels, np.uint8), images.reshape(len(images), -1)])
    for name, rows in ten(images).items():
        (folder / f"{name}.bin").write_bytes(rows_of[rows].tobytes())
    names = "\n".join(f"fine_{n}" for n in range(10))
    (folder / "batches.meta.txt").write_text(names + "\n\n")
    return labels


def python_100(folder: Path, images: Pixels) -> list[int]:
    """Write CIFAR-100's python files; return the fine labels."""
    labels = [(37 * i + 41) % 100 for i in range(len(images))]
    flat = images.reshape(len(images), -1)
    for name, rows in (("train", slice(0, -3)), ("test", slice(-3, None))):
        coarse = [label // 5 for label in labels[rows]]
        batch = {"data": flat[rows], "fine_labels": labels[rows], "coarse_labels": coarse}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    names = {"fine_label_names": [f"fine_{n}" for n in range(100)], "coarse_label_names": []}
    (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))
    return labels


def binary_100(folder: Path, images: Pixels) -> list[int]:
    """Write CIFAR-100's binary files; return the fine labels."""
    labels = [(37 * i + 41) % 100 for i in range(len(images))]
    both = np.array([[label // 5, label] for label in labels], np.uint8)
    rows_of = np.column_stack([both, images.reshape(len(images), -1)])
    for name, rows in (("train", slice(0, -3)), ("test", slice(-3, None))):
        (folder / f"{name}.bin").write_bytes(rows_of[rows].tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(f"fine_{n}" for n in range(100)))
    (folder / "coarse_label_names.txt").write_text("\n".join(f"coarse_{n}" for n in range(20)))
    return labels


@pytest.fixture(
    params=[python_10, binary_10, python_100, binary_100], ids=lambda write: write.__name__
)
def write_cifar(request: pytest.FixtureRequest) -> Callable[[Path, Pixels], list[int]]:
    """Write images (n, 3, 32, 32), the last three as the test split; return their labels."""
    writer: Callable[[Path, Pixels], list[int]] = request.param
    return writer


def ten(images: Pixels) -> dict[str, slice]:
    return {
        "data_batch_1": slice(0, 4),
        "data_batch_2": slice(4, len(images) - 3),
        "test_batch": slice(len(images) - 3, None),
    }


def crops(photo: Path) -> Pixels:
    """Return 12 parts of a photo, uint8 (12, 3, 32, 32)."""
    with Image.open(photo) as image:
        planes = np.asarray(image).transpose(2, 0, 1)
    return np.stack([planes[:, 32 * i : 32 * i + 32, 40:72] for i in range(12)])


def write_devkit(folder: Path, wordnet: list[str], labels: list[int]) -> None:
    """Write the devkit's files, its numbers in another order than the WordNet ids."""
    folder.mkdir(parents=True)
    numbers = [3, 1, 2]
    every = [*zip(numbers, wordnet, [0, 0, 0], strict=True), (1001, "n00001740", 3)]
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    synsets = np.array([(n, name, "a, b", below) for n, name, below in every], kinds)
    savemat(folder / "meta.mat", {"synsets": synsets[:, None]})
    text = "".join(f"{numbers[label]}\n" for label in labels)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(text)


def link(photo: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.symlink_to(photo)


def content(image: Encoded) -> bytes:
    return image.read_bytes() if isinstance(image, Path) else bytes(image)


def pixels(record: Record) -> Pixels:
    channels, height, width = header(record.image)
    return decode(record.image, (channels, height, width))
