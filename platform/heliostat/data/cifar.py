"""CIFAR-10 and CIFAR-100's "python" and "binary" batches.

https://www.cs.toronto.edu/~kriz/cifar.html

The python ones are pickles. A pickle may run any code it names, so these are read by an
unpickler that knows nothing but the functions that rebuild a NumPy array: anything else in the
file is refused before it runs.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from heliostat.data import splits
from heliostat.data.arrays import Arrays
from heliostat.data.paths import reading
from heliostat.data.rows import Rows
from heliostat.data.samples import Labels, Pixels
from heliostat.spec.problems import InputError


def batch_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the folder's batch files of each split; empty where it holds no CIFAR."""
    with reading(folder):
        return _python_files(folder) or _binary_files(folder)


def open_cifar(uri: str, folder: Path, split: str) -> Arrays:
    """Return a split; CIFAR-100's classes are the 100 fine ones."""
    files_by_split = batch_files(folder)
    files = files_by_split[splits.choose(split, files_by_split)]
    _refuse_gaps(files)
    batches = [_batch(path) for path in files]
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    rows = Rows.of(*((str(path), len(b[1])) for path, b in zip(files, batches, strict=True)))
    return Arrays(uri, _classes(folder, labels), images, labels, rows)


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds arrays, containers, numbers and text, and nothing else."""

    _KNOWN = frozenset(
        (module, name)
        for module, names in {
            "numpy.core.multiarray": ("_reconstruct", "scalar"),
            "numpy._core.multiarray": ("_reconstruct", "scalar"),
            "numpy._core.numeric": ("_frombuffer",),
            "numpy": ("dtype", "ndarray"),
            "_codecs": ("encode",),  # how Python 3 writes bytes in an old protocol
        }.items()
        for name in names
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"refused: it names {module}.{name}, which is no array")
        module = module.replace("numpy.core.", "numpy._core.")
        return super().find_class(module, name)


def _python_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    numbered = tuple(sorted(folder.glob("data_batch_[0-9]")))
    if numbered:
        return _with_test(numbered, folder / "test_batch")
    if (folder / "meta").is_file() and (folder / "train").is_file():
        return _with_test((folder / "train",), folder / "test")
    return {}


def _binary_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    numbered = tuple(sorted(folder.glob("data_batch_[0-9].bin")))
    if numbered:
        return _with_test(numbered, folder / "test_batch.bin")
    # train.bin alone may be anything.
    if (folder / "fine_label_names.txt").is_file() and (folder / "train.bin").is_file():
        return _with_test((folder / "train.bin",), folder / "test.bin")
    return {}


def _with_test(train: tuple[Path, ...], test: Path) -> dict[str, tuple[Path, ...]]:
    return {"train": train, "test": (test,)} if test.exists() else {"train": train}


def _batch(path: Path) -> tuple[Pixels, Labels]:
    data, labels = (_binary if path.suffix == ".bin" else _python)(path)
    with reading(path):
        if data.ndim != 2 or data.shape[1] != _PIXELS or len(labels) != len(data):
            raise ValueError(f"data of shape {data.shape} and {len(labels)} labels")
        return data.reshape(-1, 3, 32, 32), labels


_PIXELS = 3 * 32 * 32


def _python(path: Path) -> tuple[Pixels, Labels]:
    values = _unpickled(path)
    with reading(path):
        labels = values.get("labels", values.get("fine_labels", ()))
        return np.asarray(values.get("data", ()), np.uint8), np.asarray(labels, np.int64)


def _binary(path: Path) -> tuple[Pixels, Labels]:
    # A label before an image's pixels; in CIFAR-100 the coarse and then the fine one.
    numbers = 2 if path.name in ("train.bin", "test.bin") else 1
    with reading(path):
        content = np.frombuffer(path.read_bytes(), np.uint8)
        if not content.size or content.size % (numbers + _PIXELS):
            raise ValueError(f"{content.size} bytes are no multiple of {numbers + _PIXELS}")
        rows = content.reshape(-1, numbers + _PIXELS)
        return rows[:, numbers:], rows[:, numbers - 1].astype(np.int64)


def _classes(folder: Path, labels: Labels) -> tuple[str, ...]:
    highest = int(labels.max(initial=0))
    for file in (folder / name for name in _NAMES):
        if file.exists():
            names = _names(file)
            if highest >= len(names):
                message = f"{file} names {len(names)} classes, but a label is {highest}"
                raise InputError.of(message, key=("uri",))
            return names
    return tuple(str(label) for label in range(highest + 1))


_NAMES = {
    "batches.meta": "label_names",
    "meta": "fine_label_names",
    "batches.meta.txt": "",
    "fine_label_names.txt": "",
}
"""The files that may name the classes, and where in them the names are; "": one a line."""


def _names(file: Path) -> tuple[str, ...]:
    if file.suffix == ".txt":
        with reading(file):
            return tuple(file.read_text().split())
    names = _unpickled(file).get(_NAMES[file.name], ())
    return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names)


def _unpickled(path: Path) -> dict[str, Any]:
    with reading(path):
        content = path.read_bytes()
        try:
            values = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        except Exception as error:  # a broken pickle raises whatever its bytes spell
            raise ValueError(error) from error
        if not isinstance(values, dict):
            raise ValueError("not a CIFAR batch: it holds no dict")
        return {k.decode() if isinstance(k, bytes) else str(k): v for k, v in values.items()}


def _refuse_gaps(files: tuple[Path, ...]) -> None:
    for number, path in enumerate(files, start=1):
        if path.stem not in ("train", "test", "test_batch", f"data_batch_{number}"):
            missing = path.with_name(f"data_batch_{number}{path.suffix}")
            raise InputError.of(f"{missing} does not exist", key=("uri",))
