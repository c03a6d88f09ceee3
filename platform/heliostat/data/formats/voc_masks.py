"""Pascal VOC's segmentation: ImageSets/Segmentation names images that have a mask.

A mask's pixels are numbers of a palette: 0 the background, then the classes, 255 the border.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from heliostat.data.formats.files import class_file, name_below, wrong
from heliostat.data.formats.lazy import Lazy
from heliostat.data.formats.mask_image import values, without_colours
from heliostat.data.formats.voc import Name, image_of, image_sets, parse
from heliostat.data.records import IGNORED, Listing, Record

NAME = "voc_masks"
LAYOUT = "JPEGImages/, SegmentationClass/*.png and ImageSets/Segmentation/"


def fits(path: Path) -> bool:
    """Say whether there are masks and a list of them."""
    return (path / "ImageSets" / "Segmentation").is_dir() and (path / "SegmentationClass").is_dir()


def read(path: Path) -> Listing:
    """Return the images with masks whose values are the palette's numbers.

    Classes are those of `classes.txt`, the background first; else VOC's own if the images'
    annotations name no others, or "0", "1", … up to the highest value in the masks.
    """
    sets = image_sets(path / "ImageSets" / "Segmentation")
    pairs = {split: [_pair(path, name) for name in names] for split, names in sets.items()}
    masks = [mask for part in pairs.values() for _, mask in part]
    make = partial(_record, path)
    splits = {split: Lazy(part, make) for split, part in pairs.items()}
    return Listing(NAME, "masks", _classes(path, masks), splits)


def _pair(path: Path, name: Name) -> tuple[Path, Path]:
    mask = path / "SegmentationClass" / f"{name.stem}.png"
    if not mask.is_file():
        raise wrong(name.file, f"the mask {mask} does not exist", line=name.line)
    return image_of(path / "JPEGImages", name), mask


def _classes(path: Path, masks: list[Path]) -> tuple[str, ...]:
    if (path / "classes.txt").is_file():
        return class_file(path / "classes.txt")
    annotations = (path / "Annotations" / f"{mask.stem}.xml" for mask in masks)
    named = {found.name for file in annotations if file.is_file() for found in parse(file)[1]}
    if named and named <= set(_VOC):
        return ("background", *_VOC)
    return tuple(map(str, range(max(values(masks) - {IGNORED}, default=0) + 1)))


_VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""In the order of their numbers in the masks, from 1."""


def _record(root: Path, pair: tuple[Path, Path]) -> Record:
    image, mask = pair
    return Record(image, name_below(root, image), mask=without_colours(mask))
