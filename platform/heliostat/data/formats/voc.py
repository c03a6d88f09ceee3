"""Pascal VOC's boxes: an XML file for each image (http://host.robots.ox.ac.uk/pascal/VOC).

With ImageSets/Main, its train, val and test are the splits and images in none of them are left
out; without, every XML file names an image and every image has an XML file.

Coordinates: VOC counts pixels from 1 and both corners belong to the box. The edges of pixel x lie
at x - 1 and x when counted from 0, so 1 is taken from xmin and ymin and nothing from xmax and
ymax; the width is xmax - xmin + 1, as VOC's development kit has it. Where the two corners
coincide nothing is taken: such a box is a slip of the mouse, and is kept with no area, so that it
is found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from heliostat.data.decode import SUFFIXES
from heliostat.data.folders import images_below
from heliostat.data.formats.files import (
    are_pixels,
    class_file,
    holds,
    lines,
    name_below,
    unknown_class,
    wrong,
)
from heliostat.data.paths import entries, reading, subfolders
from heliostat.data.records import Listing, Objects, Record
from heliostat.spec.problems import InputError

NAME = "voc"
LAYOUT = "JPEGImages/, Annotations/*.xml and ImageSets/Main/; or images/ and annotations/*.xml"


def fits(path: Path) -> bool:
    """Say whether there is a folder of XML files beside one of images."""
    folders = _folders(path) if path.is_dir() else None
    return folders is not None and holds(folders[1], {".xml"})


def read(path: Path) -> Listing:
    """Return the images with their boxes; `difficult` objects are crowd.

    Classes are those of `classes.txt`, or all names in the annotations, sorted.
    """
    images, annotations = _folders(path) or (path / "JPEGImages", path / "Annotations")
    sets = image_sets(path / "ImageSets" / "Main")
    splits = {
        split: [_of_set(images, annotations, name) for name in names]
        for split, names in sets.items()
    } or {"all": _without_sets(images, annotations)}
    every = [image for part in splits.values() for image in part]
    if not every:
        raise InputError.of(f"{annotations} holds no annotations", key=("uri",), valid="*.xml")
    classes = _classes(path, every)
    return Listing(
        NAME,
        "objects",
        classes,
        {s: [_record(path, image, classes) for image in part] for s, part in splits.items()},
    )


@dataclass(frozen=True)
class Name:
    """An image's name in a list of ImageSets."""

    file: Path
    line: int
    stem: str


@dataclass(frozen=True)
class Object:
    """An object as the file has it: xmin, ymin, xmax, ymax counted from 1."""

    name: str
    box: tuple[float, ...]
    difficult: bool


def image_sets(folder: Path) -> dict[str, list[Name]]:
    """Return the names of each split's images: train, val and test, or else trainval as train."""
    files = {split: folder / f"{split}.txt" for split in ("train", "val", "test")}
    if not files["train"].exists() and not files["val"].exists():
        files["train"] = folder / "trainval.txt"
    found = {split: _names(file) for split, file in files.items() if file.exists()}
    if folder.is_dir() and not found:
        message = f"{folder} names no images"
        raise InputError.of(message, key=("uri",), valid="train.txt | val.txt | test.txt")
    return found


def image_of(folder: Path, name: Name) -> Path:
    """Return the image of a name; InputError where there is none."""
    path = folder / f"{name.stem}.jpg"
    if path.is_file():
        return path
    suffixes = [*sorted(SUFFIXES), *(suffix.upper() for suffix in sorted(SUFFIXES))]
    others = (folder / f"{name.stem}{suffix}" for suffix in suffixes)
    found = next((other for other in others if other.is_file()), None)
    if found is None:
        raise wrong(name.file, f"the image {path} does not exist", line=name.line)
    return found


def parse(file: Path) -> tuple[str, tuple[Object, ...]]:
    """Return the name of the image that the file gives, and its objects."""
    with reading(file):
        text = file.read_bytes()
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise wrong(file, f"not XML: {error}", line=error.position[0]) from error
    except (LookupError, ValueError) as error:  # an encoding that is unknown
        raise wrong(file, f"not XML: {error}") from error
    if root.tag != "annotation":
        raise wrong(file, f"<{root.tag}> where VOC has <annotation>")
    objects = tuple(_object(file, n, e) for n, e in enumerate(root.findall("object"), start=1))
    return (root.findtext("filename") or "").strip(), objects


@dataclass(frozen=True)
class _Image:
    path: Path
    annotation: Path
    objects: tuple[Object, ...]


def _folders(path: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and of annotations, whatever the case of their letters."""
    named = {folder.name.lower(): folder for folder in subfolders(path)}
    images = named.get("jpegimages") or named.get("images")
    annotations = named.get("annotations")
    return (images, annotations) if images and annotations else None


def _names(file: Path) -> list[Name]:
    # A list of one class has -1, 0 or 1 after the name.
    names = [Name(file, n, text.split()[0]) for n, text in enumerate(lines(file), 1) if text]
    seen: set[str] = set()
    for name in names:
        if name.stem in seen:
            raise wrong(file, f"{name.stem} stands here a second time", line=name.line)
        seen.add(name.stem)
    if not names:
        raise wrong(file, "no image is named")
    return names


def _of_set(images: Path, annotations: Path, name: Name) -> _Image:
    annotation = annotations / f"{name.stem}.xml"
    if not annotation.is_file():
        raise wrong(name.file, f"the annotation {annotation} does not exist", line=name.line)
    return _Image(image_of(images, name), annotation, parse(annotation)[1])


def _without_sets(images: Path, annotations: Path) -> list[_Image]:
    found = {path.name: path for path in images_below(images)}
    of_stem = {path.stem: path for path in found.values()}
    parsed: list[_Image] = []
    for file in entries(annotations, ".xml")[1]:
        named, objects = parse(file)
        path = of_stem.get(file.stem) or found.get(named)
        if path is None:
            raise wrong(file, f"the image {images / (named or file.stem)} does not exist")
        parsed.append(_Image(path, file, objects))
    _refuse_lone(found, parsed, annotations)
    return parsed


def _refuse_lone(found: dict[str, Path], parsed: list[_Image], annotations: Path) -> None:
    """Raise InputError for an image with no annotation, or several."""
    of_image: dict[Path, Path] = {}
    for image in parsed:
        other = of_image.setdefault(image.path, image.annotation)
        if other != image.annotation:
            raise wrong(image.annotation, f"{other.name} beside it is of the same image")
    for path in found.values():
        if path not in of_image:
            valid = str(annotations / f"{path.stem}.xml")
            raise wrong(path, "the image has no annotation", valid=valid)


def _object(file: Path, number: int, element: Element) -> Object:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise wrong(file, f"object {number} has no name")
    texts = [element.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")]
    try:
        box = tuple(float(text or "") for text in texts)
    except ValueError:
        box = (math.nan,)
    if not are_pixels(box):
        message = f"object {number} ({name}) has no box of four numbers"
        raise wrong(file, message, valid="bndbox with xmin, ymin, xmax, ymax")
    difficult = (element.findtext("difficult") or "0").strip()
    return Object(name, box, difficult not in ("0", ""))


def _classes(path: Path, images: list[_Image]) -> tuple[str, ...]:
    if not (path / "classes.txt").is_file():
        return tuple(sorted({found.name for image in images for found in image.objects}))
    classes = class_file(path / "classes.txt")
    for image in images:
        for found in image.objects:
            if found.name not in classes:
                raise unknown_class(image.annotation, found.name, classes)
    return classes


def _record(root: Path, image: _Image, classes: tuple[str, ...]) -> Record:
    boxes = np.array([found.box for found in image.objects], np.float64).reshape(-1, 4)
    boxes[:, :2] -= boxes[:, :2] != boxes[:, 2:]
    objects = Objects(
        boxes.astype(np.float32),
        np.array([classes.index(found.name) for found in image.objects], np.int64),
        np.array([found.difficult for found in image.objects], np.bool_),
    )
    return Record(image.path, name_below(root, image.path), objects=objects)
