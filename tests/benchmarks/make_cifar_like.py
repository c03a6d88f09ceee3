"""Fashion-MNIST as a folder of CIFAR-10 python batches: real images in CIFAR's own file format.

    python make_cifar_like.py FASHION_MNIST_FOLDER DESTINATION

CIFAR-10 itself is not to be had without a download. The images are padded from 28×28 to 32×32 and
the grey channel is repeated. The files are pickles as Python 2 wrote CIFAR's (protocol 2, byte
strings, `numpy.core.multiarray`), opcode by opcode, so that a reader of these reads the originals.
"""

from __future__ import annotations

import gzip
import pickle
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES = (
    "tshirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "boot",
)  # fmt: skip
BATCH = 10_000

Pixels = NDArray[np.uint8]


def main() -> None:
    """Write DESTINATION/cifar-10-batches-py and print where it is."""
    source, destination = Path(sys.argv[1]), Path(sys.argv[2])
    print(write_cifar_like(source, destination))


def write_cifar_like(fashion_mnist: Path, destination: Path, *, batch: int = BATCH) -> Path:
    """Write five training batches and the test batch of `batch` images each; return their folder.

    `batch` below 10,000 makes a small copy for tests.
    """
    folder = destination / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images, labels = read_idx(fashion_mnist, "train")
    for number in range(5):
        part = slice(number * batch, (number + 1) * batch)
        label = f"training batch {number + 1} of 5"
        write_batch(folder / f"data_batch_{number + 1}", images[part], labels[part], label)
    images, labels = read_idx(fashion_mnist, "t10k")
    write_batch(folder / "test_batch", images[:batch], labels[:batch], "testing batch 1 of 1")
    meta = _dictionary(
        label_names=_list(map(_string, CLASSES)),
        num_cases_per_batch=_integer(batch),
        num_vis=_integer(3072),
    )
    (folder / "batches.meta").write_bytes(_document(meta))
    return folder


def read_idx(folder: Path, split: str) -> tuple[Pixels, list[int]]:
    """Return a split's images as CIFAR rows, uint8 (n, 3072), and its labels."""
    with gzip.open(folder / f"{split}-images-idx3-ubyte.gz") as file:
        grey = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{split}-labels-idx1-ubyte.gz") as file:
        labels = list(file.read()[8:])
    padded = np.pad(grey, ((0, 0), (2, 2), (2, 2))).reshape(-1, 1, 1024)
    return np.repeat(padded, 3, axis=1).reshape(-1, 3072), labels


def write_batch(path: Path, rows: Pixels, labels: list[int], label: str) -> None:
    """Write one batch: `rows` uint8 (n, 3072) with their labels and made-up file names."""
    content = _dictionary(
        batch_label=_string(label),
        labels=_list(map(_integer, labels)),
        data=_array(rows),
        filenames=_list(_string(f"image_{number:05d}.png") for number in range(len(rows))),
    )
    path.write_bytes(_document(content))


def _document(content: bytes) -> bytes:
    return pickle.PROTO + b"\x02" + content + pickle.STOP


def _dictionary(**values: bytes) -> bytes:
    items = b"".join(_string(key) + value for key, value in values.items())
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS


def _list(items: Iterable[bytes]) -> bytes:
    return pickle.EMPTY_LIST + pickle.MARK + b"".join(items) + pickle.APPENDS


def _array(rows: Pixels) -> bytes:
    """Return an array of uint8 as numpy 1 pickled it under Python 2."""
    empty = (
        _name("numpy.core.multiarray", "_reconstruct")
        + _name("numpy", "ndarray") + _integer(0) + pickle.TUPLE1 + _string("b")
        + pickle.TUPLE3 + pickle.REDUCE
    )  # fmt: skip
    shape = _integer(rows.shape[0]) + _integer(rows.shape[1]) + pickle.TUPLE2
    dtype = (
        _name("numpy", "dtype") + _string("u1") + _integer(0) + _integer(1) + pickle.TUPLE3
        + pickle.REDUCE + pickle.MARK + _integer(3) + _string("|") + pickle.NONE * 3
        + _integer(-1) * 2 + _integer(0) + pickle.TUPLE + pickle.BUILD
    )  # fmt: skip
    state = _integer(1) + shape + dtype + pickle.NEWFALSE + _string(rows.tobytes())
    return empty + pickle.MARK + state + pickle.TUPLE + pickle.BUILD


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return pickle.BINSTRING + struct.pack("<i", len(raw)) + raw


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


if __name__ == "__main__":
    main()
