"""Data sets that torchvision can download: `torchvision:CIFAR10` and others of its names.

They are read by our own readers: torchvision, which takes 4 s to import, is needed only to
download them. They lie under HELIO_HOME/data, in the folders that torchvision gives them.
"""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from tempfile import mkdtemp

from heliostat.data.arrays import Arrays
from heliostat.data.cifar import open_cifar
from heliostat.data.idx import open_idx
from heliostat.data.node import node_folder
from heliostat.data.paths import one_line, reading
from heliostat.spec.problems import InputError

SCHEME = "torchvision:"


def open_torchvision(uri: str, split: str, *, download: bool) -> Arrays:
    """Return a split of `torchvision:NAME`.

    Raises InputError for an unknown name, and where the data is absent and may not be, or cannot
    be, downloaded.
    """
    name = uri.removeprefix(SCHEME)
    if name not in _FOLDERS:
        valid = " | ".join(SCHEME + known for known in _FOLDERS)
        raise InputError.of(f"unknown data set {uri!r}", key=("uri",), valid=valid)
    folder = _root() / _FOLDERS[name]
    if not folder.is_dir():
        if not download:
            raise InputError.of(
                f"{uri} is not in {folder}", key=("uri",), valid="set download: true"
            )
        _download(name)
    if name.startswith("CIFAR"):
        return open_cifar(uri, folder, split)
    return open_idx(uri, folder, split, labelled=True)


_FOLDERS = {
    "CIFAR10": "cifar-10-batches-py",
    "CIFAR100": "cifar-100-python",
    "MNIST": "MNIST/raw",
    "FashionMNIST": "FashionMNIST/raw",
    "KMNIST": "KMNIST/raw",
}


def _root() -> Path:
    return node_folder("data")


def _download(name: str) -> None:
    root = _root()
    with reading(root):
        root.mkdir(parents=True, exist_ok=True)
        # One worker of a node downloads, the others wait; what is under its name is whole.
        with open(root / f".{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (root / _FOLDERS[name]).is_dir():
                _download_into(root, name)


def _download_into(root: Path, name: str) -> None:
    # 4 s to import, and needed only here
    from torchvision import datasets

    temporary = Path(mkdtemp(prefix=f".{name}-", dir=root))
    try:
        getattr(datasets, name)(temporary, download=True)
        top = Path(_FOLDERS[name]).parts[0]
        (temporary / top).rename(root / top)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a bad checksum Runtime
        raise InputError.of(
            f"{SCHEME}{name} could not be downloaded: {one_line(error)}",
            key=("uri",),
            valid=f"a network, or the data in {root / _FOLDERS[name]}",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
