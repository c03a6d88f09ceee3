"""Images without annotations, in one folder or many."""

from __future__ import annotations

from pathlib import Path

from heliostat.data.folders import images_below, no_images, split_folders
from heliostat.data.formats.files import holds, in_order
from heliostat.data.formats.lazy import image_records
from heliostat.data.records import Listing

NAME = "images"
LAYOUT = "images in a folder, at any depth, with or without train/, val/ and test/ above them"


def fits(path: Path) -> bool:
    """Say whether any image lies in the folder."""
    return path.is_dir() and holds(path)


def read(path: Path) -> Listing:
    """Return all images; where there are folders of splits, those in them."""
    folders = in_order(split_folders(path)) or {"all": path}
    found = {split: images_below(folder) for split, folder in folders.items()}
    for split, paths in found.items():
        if not paths:
            raise no_images(folders[split])
    splits = {split: image_records(path, paths) for split, paths in found.items()}
    return Listing(NAME, "images", (), splits)
