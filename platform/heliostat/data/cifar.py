"""CIFAR-10 and CIFAR-100's "python" batches (https://www.cs.toronto.edu/~kriz/cifar.html).

They are pickles. A pickle may run any code it names, so these are read by an unpickler that
knows nothing but the functions that rebuild a NumPy array: anything else in the file is refused
before it runs.
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
from heliostat.spec.problems import InputError


def batch_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the folder's batch files of each split; empty where it holds no CIFAR."""
    with reading(folder):
        numbered = sorted(folder.glob("data_batch_[0-9]"))
        whole = (folder / "meta").is_file() and (folder / "train").is_file()
    if not numbered and not whole:
        return {}
    train = tuple(numbered) or (folder / "train",)
    test = folder / ("test_batch" if numbered else "test")
    return {"train": train, "test": (test,)} if test.exists() else {"train": train}


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


def _batch(path: Path) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Any]:
    values = _unpickled(path)
    with reading(path):
        data = np.asarray(values.get("data", ()), np.uint8)
        labels = np.asarray(values.get("labels", values.get("fine_labels", ())), np.int64)
        if data.ndim != 2 or data.shape[1] != 3072 or len(labels) != len(data):
            raise ValueError(f"data of shape {data.shape} and {len(labels)} labels")
        return data.reshape(-1, 3, 32, 32), labels


def _classes(folder: Path, labels: Any) -> tuple[str, ...]:
    for file, field in (("batches.meta", "label_names"), ("meta", "fine_label_names")):
        if (folder / file).exists():
            names = _unpickled(folder / file).get(field, ())
            return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names)
    return tuple(str(label) for label in range(int(labels.max()) + 1))


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
        if path.name not in ("train", "test", "test_batch", f"data_batch_{number}"):
            missing = path.with_name(f"data_batch_{number}")
            raise InputError.of(f"{missing} does not exist", key=("uri",))
