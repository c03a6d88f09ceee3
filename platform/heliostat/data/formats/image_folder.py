"""One folder of images for each class, as torchvision's ImageFolder reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heliostat.data.folders import ImageFiles, by_class, no_images, split_folders
from heliostat.data.formats.files import holds, in_order, unknown_class
from heliostat.data.formats.lazy import Lazy, image_records
from heliostat.data.paths import subfolders
from heliostat.data.records import Listing

NAME = "image_folder"
LAYOUT = "one folder of images for each class, or such folders in train/, val/ and test/"


def fits(path: Path) -> bool:
    """Say whether folders with images lie at `path`, or in the splits' folders there."""
    if not path.is_dir():
        return False
    roots = list(split_folders(path).values()) or [path]
    return any(holds(folder) for root in roots for folder in subfolders(root))


def read(path: Path) -> Listing:
    """Return the images; the classes are the names of train's folders, sorted.

    Raises InputError where another split has a class that train has not.
    """
    folders = in_order(split_folders(path)) or {"all": path}
    found = {split: by_class(folder) for split, folder in folders.items()}
    classes = class_names(found)
    return Listing(
        NAME,
        "labels",
        classes,
        {s: labelled(path, folders[s], files, classes) for s, files in found.items()},
    )


def class_names(found: dict[str, ImageFiles]) -> tuple[str, ...]:
    """Return the classes of train, or of all where there is no train, sorted."""
    if "train" in found:
        return found["train"].classes
    return tuple(sorted({name for files in found.values() for name in files.classes}))


def labelled(root: Path, folder: Path, files: ImageFiles, classes: tuple[str, ...]) -> Lazy[int]:
    """Return the records of a split's folder, their labels numbered by `classes`."""
    if not files.paths or files.labels is None:
        raise no_images(folder)
    unknown = [name for name in files.classes if name not in classes]
    if unknown:
        raise unknown_class(folder / unknown[0], unknown[0], classes)
    numbers = np.array([classes.index(name) for name in files.classes], np.int64)
    return image_records(root, files.paths, numbers[files.labels])
