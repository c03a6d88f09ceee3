from __future__ import annotations

import gzip
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from heliostat.data import Samples, open_source
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source


def test_the_digits_are_scikit_learns_scaled_to_255_and_read_without_importing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = load_digits()
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    digits = open_source(Source(uri="sklearn:digits"))
    assert "sklearn" not in sys.modules
    inputs, targets = digits.read(np.arange(1797))
    assert inputs.dtype == torch.uint8
    assert np.array_equal(inputs[:, 0].numpy(), np.round(expected.images * 255 / 16))
    assert np.array_equal(targets.numpy(), expected.target)
    assert digits.classes == tuple("0123456789")


def test_fashion_mnist_is_read_from_its_idx_files(shared_data: Path) -> None:
    folder = shared_data / "fashion-mnist"
    train, val, test = (
        open_source(Source(uri=str(folder), split=split))
        for split in ("train[:55000]", "train[55000:]", "test")
    )
    assert [len(split) for split in (train, val, test)] == [55000, 5000, 10000]
    assert train.shape == test.shape == (1, 28, 28)
    assert test.labels is not None
    assert np.bincount(test.labels).tolist() == [1000] * 10
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        raw = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    assert np.array_equal(test.read(np.arange(10000))[0].numpy(), raw)
    assert test.source(17) == f"{folder}/t10k-images-idx3-ubyte.gz#17"
    both = {samples.source(i) for samples in (train, val) for i in range(len(samples))}
    assert len(both) == 60000
    assert len({train.fingerprint, val.fingerprint, test.fingerprint}) == 3


@pytest.fixture
def cifar(digits: Samples, tmp_path: Path) -> Path:
    """The digits as CIFAR-10's python batches: two of training and one of test."""
    resized = open_source(Source(uri="sklearn:digits"), image_size=(32, 32), channels=3)
    folder = tmp_path / "cifar"
    folder.mkdir()
    for number, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        inputs, targets = resized.read(np.arange(number * 50, number * 50 + 50))
        batch = {b"data": inputs.reshape(50, -1).numpy(), b"labels": targets.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    names = [f"digit {number}".encode() for number in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}, protocol=2))
    return folder


def test_cifars_python_batches_are_read_in_the_order_of_their_files(
    cifar: Path, digits: Samples
) -> None:
    assert digits.labels is not None
    train = open_source(Source(uri=str(cifar), split="train"))
    test = open_source(Source(uri=str(cifar), split="test"))
    assert train.shape == (3, 32, 32)
    assert train.classes[3] == "digit 3"
    assert train.source(60) == f"{cifar}/data_batch_2#10"
    assert train.labels is not None
    assert np.array_equal(train.labels, digits.labels[:100])
    resized = open_source(Source(uri="sklearn:digits"), image_size=(32, 32), channels=3)
    assert torch.equal(test.read(np.arange(50))[0], resized.read(np.arange(100, 150))[0])


def test_cifar_100_gives_its_fine_classes(cifar: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    fine = [99] * 50
    for name in ("train", "test"):
        batch = pickle.loads((cifar / "test_batch").read_bytes())
        del batch[b"labels"]
        batch |= {b"fine_labels": fine, b"coarse_labels": [1] * 50}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    names = {b"fine_label_names": [f"fine {number}".encode() for number in range(100)]}
    (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))
    samples = open_source(Source(uri=str(folder), split="test"))
    assert samples.labels is not None
    assert samples.labels.tolist() == fine
    assert samples.classes[99] == "fine 99"


def test_torchvisions_cifar10_is_read_where_it_lies_and_asked_for_where_not(
    cifar: Path, helio_home: Path
) -> None:
    source = Source(uri="torchvision:CIFAR10", split="train")
    with pytest.raises(InputError, match=r"uri: torchvision:CIFAR10 .*; set download: true"):
        open_source(source)
    shutil.copytree(cifar, helio_home / "data" / "cifar-10-batches-py")
    assert len(open_source(source)) == 100


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run_it(
    cifar: Path, tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    (cifar / "data_batch_1").write_bytes(pickle.dumps({b"data": Bomb()}, protocol=2))
    with pytest.raises(InputError, match="data_batch_1 cannot be read: refused: it names .*mkdir"):
        open_source(Source(uri=str(cifar), split="train"))
    assert not (tmp_path / "exploded").exists()


def test_a_missing_batch_and_broken_idx_files_are_named(cifar: Path, tmp_path: Path) -> None:
    (cifar / "data_batch_1").unlink()
    with pytest.raises(InputError, match="data_batch_1 does not exist"):
        open_source(Source(uri=str(cifar), split="train"))
    broken = tmp_path / "idx" / "train-images-idx3-ubyte.gz"
    broken.parent.mkdir()
    source = Source(uri=str(broken.parent), split="train")
    header = bytes((0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 2))
    for content in (b"no gzip", gzip.compress(header + bytes(32))[:-9], gzip.compress(header)):
        broken.write_bytes(content)
        with pytest.raises(InputError, match=f"uri: {broken} cannot be read"):
            open_source(source)
    broken.write_bytes(gzip.compress(header + bytes(36)))
    with pytest.raises(InputError, match="no file of labels .*; train-labels-idx1-ubyte.gz"):
        open_source(source)
    assert open_source(source, labelled=False).labels is None
