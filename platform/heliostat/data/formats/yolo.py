"""YOLO's text files: a line an object, in parts of the image's width and height.

`class cx cy width height`, or `class x1 y1 x2 y2 x3 y3 …` for an outline
(https://docs.ultralytics.com/datasets/detect, …/segment). An image without a file, or with an
empty one, has no objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from heliostat.data.decode import header
from heliostat.data.folders import no_images
from heliostat.data.formats.files import (
    are_pixels,
    by_split,
    by_stem,
    class_file,
    holds,
    lines,
    name_below,
    split_of,
    wrong,
)
from heliostat.data.formats.lazy import Lazy
from heliostat.data.images import unreadable
from heliostat.data.paths import entries, one_line, reading, subfolders
from heliostat.data.records import Listing, Objects, Polygons, Record
from heliostat.spec.problems import InputError

NAME = "yolo"
LAYOUT = (
    "images/<split>/ and labels/<split>/*.txt, or <split>/images/, with data.yaml or classes.txt"
)


def fits(path: Path) -> bool:
    """Say whether `path` is data.yaml, or text files lie beside images in the usual folders."""
    if path.is_file():
        return path.suffix.lower() in (".yaml", ".yml") and fits(path.parent)
    return any(holds(labels, {".txt"}) for _, labels in _folders(path).values())


def read(path: Path) -> Listing:
    """Return the images; a record opens its image's header, since its boxes are parts of it.

    A split without a folder of labels is left out.

    Raises InputError for a line that is none of the two forms, a class that is not named, and a
    file without an image.
    """
    root = path.parent if path.is_file() else path
    folders = _folders(root)
    classes = _classes(path)
    splits = {
        split: Lazy(_images(*both, len(classes)), partial(_record, root))
        for split, both in folders.items()
    }
    return Listing(NAME, "objects", classes, splits)


@dataclass(frozen=True)
class _Object:
    label: int
    values: tuple[float, ...]
    """cx, cy, width, height; or the outline's corners."""


@dataclass(frozen=True)
class _Image:
    path: Path
    objects: tuple[_Object, ...]


def _folders(path: Path) -> dict[str, tuple[Path, Path]]:
    """Return (images, labels) of each split, "all" where there are none."""
    images, labels = path / "images", path / "labels"
    if images.is_dir() and labels.is_dir():
        below = [(split_of(folder.name), folder) for folder in subfolders(images)]
        named = by_split((split, folder) for split, folder in below if split) if below else {}
        found = {s: (f, labels / f.name) for s, f in named.items() if (labels / f.name).is_dir()}
        return found or {"all": (images, labels)}
    inside = [(split_of(f.name), f) for f in subfolders(path) if (f / "labels").is_dir()]
    named = by_split((split, folder) for split, folder in inside if split) if inside else {}
    return {split: (f / "images", f / "labels") for split, f in named.items()}


def _classes(path: Path) -> tuple[str, ...]:
    if path.is_file():
        return _yaml_names(path)
    named = entries(path, ".yaml", ".yml")[1]
    if named:
        return _yaml_names(next((f for f in named if f.stem == "data"), named[0]))
    texts = (path / "classes.txt", path / "obj.names", path / "labels" / "classes.txt")
    text = next((file for file in texts if file.is_file()), None)
    if text is None:
        raise InputError.of(
            f"{path} names no classes", key=("uri",), valid=f"data.yaml | {texts[0].name}"
        )
    return class_file(text)


def _yaml_names(file: Path) -> tuple[str, ...]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    with reading(file):
        text = file.read_text("utf-8-sig")
    try:
        content: Any = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise wrong(file, f"not YAML: {getattr(error, 'problem', error)}", line=line) from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
        raise wrong(file, "no names of classes", valid="names: [cat, dog], or {0: cat, 1: dog}")
    return tuple(map(str, names))


def _images(images: Path, labels: Path, classes: int) -> list[_Image]:
    found = by_stem(images)
    if not found:
        raise no_images(images)
    for file in sorted(labels.rglob("*.txt")):
        stem = file.relative_to(labels).with_suffix("").as_posix()
        if stem not in found and file.name != "classes.txt" and not file.name.startswith("."):
            raise wrong(file, f"the image {images / stem}.jpg does not exist")
    return [_Image(path, _objects(labels / f"{stem}.txt", classes)) for stem, path in found.items()]


def _objects(file: Path, classes: int) -> tuple[_Object, ...]:
    if not file.is_file():
        return ()
    every = enumerate(lines(file), start=1)
    return tuple(_object(file, number, text, classes) for number, text in every if text)


def _object(file: Path, line: int, text: str, classes: int) -> _Object:
    first, *rest = text.split()
    try:
        label = int(first)
        values = tuple(float(value) for value in rest)
    except ValueError as error:
        raise wrong(file, one_line(error), line=line, valid=_FORMS) from error
    if not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
        raise wrong(file, f"{len(values) + 1} numbers", line=line, valid=_FORMS)
    if not are_pixels(values):
        raise wrong(file, "a number that is not finite, or far too high", line=line, valid=_FORMS)
    if not 0 <= label < classes:
        raise wrong(file, f"unknown class {label}", line=line, valid=f"0 to {classes - 1}")
    return _Object(label, values)


_FORMS = "class cx cy width height, or class x1 y1 x2 y2 x3 y3 …"


def _record(root: Path, image: _Image) -> Record:
    size = np.tile(_size(image), 2)
    boxes = [_box(found.values) * size for found in image.objects]
    objects = Objects(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([found.label for found in image.objects], np.int64),
        np.zeros(len(boxes), np.bool_),
        _outlines(image, size),
    )
    return Record(image.path, name_below(root, image.path), objects=objects)


def _size(image: _Image) -> tuple[int, int]:
    """Return (width, height), which nobody needs where there is no object."""
    if not image.objects:
        return 1, 1
    try:
        _, height, width = header(image.path)
    except Exception as error:  # Pillow's plugins raise whatever they meet
        raise unreadable(str(image.path), error) from error
    return width, height


def _box(values: tuple[float, ...]) -> Any:
    if len(values) == 4:
        cx, cy, width, height = values
        return np.array([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2])
    return np.array([min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])])


def _outlines(image: _Image, size: Any) -> tuple[Polygons, ...]:
    if not any(len(found.values) > 4 for found in image.objects):
        return ()
    return tuple(
        (tuple((np.reshape(found.values, (-1, 2)) * size[:2]).ravel().tolist()),)
        if len(found.values) > 4
        else ()
        for found in image.objects
    )
