"""COCO's instances: boxes, polygons and run-length encodings in JSON (https://cocodataset.org).

Classes are the categories in the order of their ids, numbered from 0 without gaps; categories of
one name are one class.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heliostat.data.formats.files import are_pixels, by_split, name_below, require, split_of, wrong
from heliostat.data.formats.rle import outline
from heliostat.data.paths import entries, reading
from heliostat.data.records import Listing, Objects, Polygons, Record, Rle

NAME = "coco"
LAYOUT = (
    "annotations/instances_train2017.json and the images in train2017/, or COCO's JSON beside "
    "its images"
)


def fits(path: Path) -> bool:
    """Say whether `path` is JSON, or a folder with COCO's JSON in one of the usual places."""
    return path.suffix.lower() == ".json" if path.is_file() else bool(_files(path))


def read(path: Path) -> Listing:
    """Return all images that the JSON lists, with no objects where it has none for them.

    Boxes become left, top, right, bottom; nothing is clipped or dropped.
    """
    files = {"all": path} if path.is_file() else by_split(_files(path))
    contents = {split: _content(file) for split, file in files.items()}
    found = {split: _categories(files[split], content) for split, content in contents.items()}
    # Files of one set name the same categories, or one of them only those that it holds.
    classes = tuple(dict.fromkeys(name for names in found.values() for name in names.values()))
    numbers = {name: number for number, name in enumerate(classes)}
    splits = {}
    for split, file in files.items():
        labels = {number: numbers[name] for number, name in found[split].items()}
        splits[split] = _records(path, file, contents.pop(split), labels)
    return Listing(NAME, "objects", classes, splits)


_OTHER = ("captions", "person_keypoints", "image_info", "panoptic", "stuff")


def _files(path: Path) -> list[tuple[str | None, Path]]:
    """Return the JSON files of instances with their splits, from the first place that has any."""
    folders, files = entries(path, ".json")
    below = [folder for folder in folders if folder.name == "annotations"]
    named = [file for folder in below for file in entries(folder, ".json")[1]]
    instances = [file for file in named if file.name.startswith("instances")]
    found = instances or [file for file in named if not file.name.startswith(_OTHER)]
    found = found or files
    found = [file for file in found if _is_coco(file)]
    if found:
        return [(split_of(file.stem), file) for file in found]
    inside = [(f, file) for f in folders if split_of(f.name) for file in entries(f, ".json")[1]]
    return [(split_of(f.name), file) for f, file in inside if _is_coco(file)]


def _is_coco(file: Path) -> bool:
    """Say whether a part of the beginning looks so: the whole may be of half a gigabyte."""
    if "coco" in file.name or file.name.startswith("instances"):
        return True
    with reading(file), file.open("rb") as opened:
        start = opened.read(2**16)
    return any(key in start for key in (b'"images"', b'"annotations"', b'"categories"'))


def _content(file: Path) -> dict[str, list[Any]]:
    with reading(file):
        text = file.read_bytes()
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise wrong(file, f"not JSON: {error.msg}", line=error.lineno) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise wrong(file, f"not JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise wrong(file, f"no list {key!r}", valid="COCO's instances")
        for number, value in enumerate(content[key]):
            if not isinstance(value, dict):
                raise wrong(file, f"{key}[{number}] is no object")
    return content  # type: ignore[no-any-return]


def _categories(file: Path, content: dict[str, list[Any]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for number, category in enumerate(content["categories"]):
        key, name = category.get("id"), category.get("name")
        if not isinstance(key, int) or not isinstance(name, str):
            raise wrong(file, f"categories[{number}] has no number as id and text as name")
        if key in found:
            raise wrong(file, f"categories[{number}]: id {key} a second time")
        found[key] = name
    if not found:
        raise wrong(file, "no categories")
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class _Annotation:
    box: tuple[float, ...]
    label: int
    crowd: bool
    outline: Polygons | Rle


def _records(
    root: Path, file: Path, content: dict[str, list[Any]], labels: dict[int, int]
) -> list[Record]:
    of_image: dict[Any, list[_Annotation]] = {}
    names: set[str] = set()
    for number, image in enumerate(content["images"]):
        key = image.get("id")
        name = image.get("file_name")
        if not isinstance(key, int | str) or not isinstance(name, str):
            raise wrong(file, f"images[{number}] has no id and file_name")
        if key in of_image or name in names:
            raise wrong(file, f"images[{number}]: id {key} or {name} a second time")
        of_image[key] = []
        names.add(name)
    if not of_image:
        raise wrong(file, "no images")
    for number, annotation in enumerate(content["annotations"]):
        key, place = annotation.get("image_id"), f"annotations[{number}]"
        if not isinstance(key, int | str) or key not in of_image:
            raise wrong(file, f"{place}: no image has the id {key}")
        try:
            of_image[key].append(_annotation(annotation, labels))
        except (TypeError, ValueError) as error:
            raise wrong(file, f"{place} of image {key}: {error}") from error
    folder = _image_folder(file, content["images"][0]["file_name"])
    root = root if root.is_dir() else folder
    return [
        _record(root, folder, file, image["file_name"], of_image[image["id"]])
        for image in content["images"]
    ]


def _annotation(annotation: dict[str, Any], labels: dict[int, int]) -> _Annotation:
    category = annotation.get("category_id")
    if category not in labels:
        some = ", ".join(map(str, list(labels)[:8])) + (", …" if len(labels) > 8 else "")
        raise ValueError(f"unknown category_id {category}; one of {some}")
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not are_pixels(box):
        raise ValueError("no bbox of four numbers")
    x, y, width, height = box
    return _Annotation(
        (x, y, x + width, y + height),
        labels[category],
        bool(annotation.get("iscrowd", 0)),
        outline(annotation.get("segmentation")),
    )


def _image_folder(file: Path, name: str) -> Path:
    """Return the folder in which the first image lies, of those that are usual."""
    split, beside = file.stem.split("_")[-1], file.parent
    top = beside.parent if beside.name == "annotations" else beside
    usual = [beside, beside / "images", top / split, top / "images" / split]
    usual += [top / (split_of(split) or "images"), top / "images", top]
    return next((folder for folder in usual if (folder / name).is_file()), top / split)


def _record(
    root: Path, folder: Path, file: Path, name: str, annotations: list[_Annotation]
) -> Record:
    path = folder / name
    require(path, file)
    outlined = any(found.outline for found in annotations)
    objects = Objects(
        np.array([found.box for found in annotations], np.float32).reshape(-1, 4),
        np.array([found.label for found in annotations], np.int64),
        np.array([found.crowd for found in annotations], np.bool_),
        tuple(found.outline for found in annotations) if outlined else (),
    )
    return Record(path, name_below(root, path), objects=objects)
