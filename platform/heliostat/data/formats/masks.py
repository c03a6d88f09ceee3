"""A folder of images and one of masks, paired by the files' names without their suffixes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from heliostat.data.formats.files import by_stem, class_file, holds, in_order, name_below, wrong
from heliostat.data.formats.lazy import Lazy
from heliostat.data.formats.mask_image import values, without_colours
from heliostat.data.paths import subfolders
from heliostat.data.records import IGNORED, Listing, Record
from heliostat.data.samples import Pixels
from heliostat.data.splits import FOLDERS
from heliostat.spec.problems import InputError

NAME = "masks"
LAYOUT = "image(s)/ and mask(s)/, label(s)/ or annotations/, in or above train/, val/ and test/"


def fits(path: Path) -> bool:
    """Say whether a folder of images lies beside one of masks, in some split or in none."""
    return path.is_dir() and any(holds(masks) for _, masks in _folders(path).values())


def read(path: Path) -> Listing:
    """Return the images with their masks; a split that has no folder of masks is left out.

    Classes are those of `classes.txt`; else "0" and "255" where the masks have just these two
    values, which become 0 and 1; else "0", "1", … up to the highest value, 255 being ignored.
    Without `classes.txt` every mask is read to know.
    """
    folders = in_order(_folders(path))
    pairs = {split: _pairs(*both) for split, both in folders.items()}
    classes, renumbered = _classes(path, [mask for part in pairs.values() for _, mask in part])
    make = partial(_record, path, renumbered)
    splits = {split: Lazy(part, make) for split, part in pairs.items()}
    return Listing(NAME, "masks", classes, splits)


_IMAGES = ("image", "images", "img", "imgs")
_MASKS = ("mask", "masks", "label", "labels", "annotation", "annotations")
_SPLITS = {**FOLDERS, "training": "train"}  # as ADE20K names it


def _folders(path: Path) -> dict[str, tuple[Path, Path]]:
    """Return (images, masks) of each split, "all" where there are none."""
    folders = subfolders(path)
    both = _both(folders)
    if both is None:
        named = {_SPLITS[f.name]: _both(subfolders(f)) for f in folders if f.name in _SPLITS}
        return {split: found for split, found in named.items() if found}
    below = ({_SPLITS[f.name]: f for f in subfolders(side) if f.name in _SPLITS} for side in both)
    images, masks = below
    splits = {split: (images[split], masks[split]) for split in images if split in masks}
    return splits or {"all": both}


def _both(folders: list[Path]) -> tuple[Path, Path] | None:
    named = {folder.name.lower(): folder for folder in folders}
    images = next((named[name] for name in _IMAGES if name in named), None)
    masks = next((named[name] for name in _MASKS if name in named), None)
    return (images, masks) if images and masks else None


def _pairs(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    of_image, of_mask = by_stem(images), by_stem(masks)
    for stem, image in of_image.items():
        if stem not in of_mask:
            raise wrong(image, "the image has no mask", valid=str(masks / f"{stem}.png"))
    for stem, mask in of_mask.items():
        if stem not in of_image:
            raise wrong(mask, f"the mask's image is not in {images}")
    if not of_image:
        raise InputError.of(f"{images} holds no images", key=("uri",))
    return [(image, of_mask[stem]) for stem, image in of_image.items()]


def _classes(path: Path, masks: list[Path]) -> tuple[tuple[str, ...], Pixels | None]:
    """Return the classes, and for each value its class, uint8 (256,), where that is another."""
    if (path / "classes.txt").is_file():
        return class_file(path / "classes.txt"), None
    found = values(masks)
    if found == {0, 255}:
        renumbered = np.zeros(256, np.uint8)
        renumbered[255] = 1
        return ("0", "255"), renumbered
    return tuple(map(str, range(max(found - {IGNORED}, default=0) + 1))), None


def _record(root: Path, renumbered: Pixels | None, pair: tuple[Path, Path]) -> Record:
    image, mask = pair
    return Record(image, name_below(root, image), mask=without_colours(mask, renumbered))
