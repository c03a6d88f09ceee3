"""Folders of images: one folder a class, with or without one folder a split; or just images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heliostat.data import splits
from heliostat.data.decode import SUFFIXES
from heliostat.data.images import EncodedImages, Files, open_images
from heliostat.data.paths import entries, reading
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
) -> EncodedImages:
    """Return the images below `root`, sorted by path; files that are not images are passed over.

    Labelled: the classes are the folders' names, sorted. Not labelled: all images at any depth,
    and of all splits where the split is "all".
    """
    root = _split_folder(root, split, labelled)
    listing = _by_class(root) if labelled else _Listing(_images(root), (), None)
    if not listing.paths:
        raise InputError.of(
            f"{root} holds no images", key=("uri",), valid=" ".join(sorted(SUFFIXES))
        )
    return open_images(
        uri,
        Files(listing.paths),
        classes=listing.classes,
        labels=listing.labels,
        channels=channels,
        size=size,
    )


def open_file(
    uri: str, path: Path, *, channels: int | None, size: tuple[int, int] | None
) -> EncodedImages:
    """Return a single image as samples without labels."""
    store = Files([path])
    return open_images(uri, store, classes=(), labels=None, channels=channels, size=size)


@dataclass(frozen=True)
class _Listing:
    paths: list[Path]
    classes: tuple[str, ...]
    labels: Labels | None


def _split_folder(root: Path, split: str, labelled: bool) -> Path:
    folders, _ = entries(root)
    named = [folder for folder in folders if folder.name in splits.FOLDERS]
    # A folder beside them that is no split may be a class called "test", unless there is train.
    if not named or (len(named) < len(folders) and not (root / "train").is_dir()):
        splits.refuse_named(split)
        return root
    if split == "all" and not labelled:
        return root
    by_split = {splits.FOLDERS[folder.name]: folder for folder in named}
    return by_split[splits.choose(split, by_split)]


def _by_class(root: Path) -> _Listing:
    folders, files = entries(root)
    if not folders and any(file.suffix.lower() in SUFFIXES for file in files):
        raise InputError.of(
            f"the images in {root} have no labels",
            key=("uri",),
            valid="one folder of images for each class",
        )
    by_class = [_images(folder) for folder in folders]
    for folder, images in zip(folders, by_class, strict=True):
        if not images and any(by_class):
            raise InputError.of(f"the class folder {folder} holds no images", key=("uri",))
    counts = np.array([len(images) for images in by_class], np.int64)
    labels = np.repeat(np.arange(len(folders)), counts)
    paths = [path for images in by_class for path in images]
    return _Listing(paths, tuple(folder.name for folder in folders), labels)


def _images(root: Path) -> list[Path]:
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


def _raise(error: OSError) -> None:
    raise error
