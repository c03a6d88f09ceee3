"""Folders of images: one folder a class, with or without one folder a split; or just images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heliostat.data import splits
from heliostat.data.decode import SUFFIXES
from heliostat.data.images import EncodedImages, Files, open_images
from heliostat.data.paths import entries, reading, subfolders
from heliostat.data.samples import Labels
from heliostat.spec.problems import InputError


def open_folder(
    uri: str,
    root: Path,
    split: str,
    *,
    labelled: bool,
    channels: int | None,
    size: tuple[int, int] | None,
    tolerant: bool = False,
) -> EncodedImages:
    """Return the images below `root`, sorted by path; files that are not images are passed over.

    Labelled: the classes are the folders' names, sorted. Not labelled: all images at any depth,
    and of all splits where the split is "all".
    """
    root = _split_folder(root, split, labelled)
    listing = by_class(root) if labelled else ImageFiles(images_below(root), (), None)
    if not listing.paths:
        raise no_images(root)
    return open_images(
        uri,
        Files(listing.paths),
        classes=listing.classes,
        labels=listing.labels,
        channels=channels,
        size=size,
        tolerant=tolerant,
    )


def open_file(
    uri: str, path: Path, *, channels: int | None, size: tuple[int, int] | None
) -> EncodedImages:
    """Return a single image as samples without labels."""
    store = Files([path])
    return open_images(uri, store, classes=(), labels=None, channels=channels, size=size)


@dataclass(frozen=True)
class ImageFiles:
    """Image files, sorted by class and path."""

    paths: list[Path]
    classes: tuple[str, ...]
    labels: Labels | None


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each split; empty where `root` is not divided."""
    folders = subfolders(root)
    named = [folder for folder in folders if folder.name in splits.FOLDERS]
    # A folder beside them that is no split may be a class called "test", unless there is train.
    if not named or (len(named) < len(folders) and not (root / "train").is_dir()):
        return {}
    return {splits.FOLDERS[folder.name]: folder for folder in named}


def by_class(root: Path) -> ImageFiles:
    """Return the images in the folders of `root`, each a class of the folder's name.

    Raises InputError where images lie in `root` itself, or some class holds none.
    """
    folders, files = entries(root)
    if not folders and any(file.suffix.lower() in SUFFIXES for file in files):
        raise InputError.of(
            f"the images in {root} have no labels",
            key=("uri",),
            valid="one folder of images for each class",
        )
    of_class = [images_below(folder) for folder in folders]
    for folder, images in zip(folders, of_class, strict=True):
        if not images and any(of_class):
            raise InputError.of(f"the class folder {folder} holds no images", key=("uri",))
    counts = np.array([len(images) for images in of_class], np.int64)
    labels = np.repeat(np.arange(len(folders)), counts)
    paths = [path for images in of_class for path in images]
    return ImageFiles(paths, tuple(folder.name for folder in folders), labels)


def images_below(root: Path) -> list[Path]:
    """Return the image files in a folder at any depth, sorted by path, without hidden ones."""
    with reading(root):
        found: list[str] = []
        for folder, below, names in os.walk(root, onerror=_raise):
            below[:] = [name for name in below if not name.startswith(".")]
            found += [
                os.path.join(folder, name)
                for name in names
                if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
            ]
        return [Path(path) for path in sorted(found)]


def no_images(folder: Path) -> InputError:
    """Return the error of a folder in which no image lies."""
    return InputError.of(
        f"{folder} holds no images", key=("uri",), valid=" ".join(sorted(SUFFIXES))
    )


def _split_folder(root: Path, split: str, labelled: bool) -> Path:
    by_split = split_folders(root)
    if not by_split:
        splits.refuse_named(split)
        return root
    if split == "all" and not labelled:
        return root
    return by_split[splits.choose(split, by_split)]


def _raise(error: OSError) -> None:
    raise error
