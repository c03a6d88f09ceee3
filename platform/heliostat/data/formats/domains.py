"""Two unpaired folders of images, as CycleGAN has them: trainA/ and trainB/, or A/ and B/.

https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heliostat.data.folders import images_below, no_images
from heliostat.data.formats.files import in_order
from heliostat.data.formats.lazy import Lazy, image_records
from heliostat.data.paths import subfolders
from heliostat.data.records import Listing
from heliostat.data.splits import FOLDERS
from heliostat.spec.problems import InputError

NAME = "domains"
LAYOUT = "trainA/ and trainB/, with testA/ and testB/ or without; or A/ and B/ alone"

_DOMAINS = ("A", "B")


def fits(path: Path) -> bool:
    """Say whether there is a folder of domain A or B of some split, or nothing but A/ and B/."""
    return path.is_dir() and bool(_prefixes(path))


def read(path: Path) -> Listing:
    """Return the images of both domains, each labelled with its domain's number."""
    splits = {split: _records(path, prefix) for split, prefix in _prefixes(path).items()}
    return Listing(NAME, "domains", _DOMAINS, in_order(splits))


def _prefixes(path: Path) -> dict[str, str]:
    names = [folder.name for folder in subfolders(path)]
    if names == list(_DOMAINS):
        return {"all": ""}
    named = {name[:-1] for name in names if name[-1] in _DOMAINS}
    return {FOLDERS[name]: name for name in sorted(named) if name in FOLDERS}


def _records(root: Path, prefix: str) -> Lazy[int]:
    images = []
    for folder in (root / f"{prefix}{domain}" for domain in _DOMAINS):
        if not folder.is_dir():
            raise InputError.of(f"{folder} does not exist: a domain is missing", key=("uri",))
        images.append(images_below(folder))
        if not images[-1]:
            raise no_images(folder)
    labels = np.repeat(np.arange(len(_DOMAINS)), [len(paths) for paths in images])
    return image_records(root, [path for paths in images for path in paths], labels)
