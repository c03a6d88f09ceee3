"""ImageNet's classification set (ILSVRC 2012-2017): train in folders, validation in any layout.

Classes are the WordNet ids, sorted, as torchvision numbers them; their English names are not
unique (two are "crane"). The test images have no labels and are left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from heliostat.data.folders import by_class, images_below
from heliostat.data.formats.files import lines, unknown_class, wrong
from heliostat.data.formats.image_folder import labelled
from heliostat.data.formats.lazy import Lazy, image_records
from heliostat.data.paths import one_line, reading, subfolders
from heliostat.data.records import Listing
from heliostat.data.samples import Labels
from heliostat.spec.problems import InputError

NAME = "imagenet"
LAYOUT = (
    "train/<WordNet id>/, and val/ with such folders, or flat with LOC_val_solution.csv or "
    "ILSVRC2012_devkit_t12/data"
)


def fits(path: Path) -> bool:
    """Say whether train/ holds folders of WordNet ids and no others."""
    train = _images(path) / "train"
    if not path.is_dir() or not train.is_dir():
        return False
    names = [folder.name for folder in subfolders(train)]
    return bool(names) and all(_WORDNET.fullmatch(name) for name in names)


def read(path: Path) -> Listing:
    """Return train, and val if it is there.

    Raises InputError where val has no labels, or one that train has not.
    """
    images = _images(path)
    train = by_class(images / "train")
    splits = {"train": labelled(path, images / "train", train, train.classes)}
    val = images / "val"
    if val.is_dir():
        if subfolders(val):
            splits["val"] = labelled(path, val, by_class(val), train.classes)
        else:
            splits["val"] = _flat(path, val, train.classes)
    return Listing(NAME, "labels", train.classes, splits)


_WORDNET = re.compile(r"n\d{8}")
_SOLUTION = "LOC_val_solution.csv"
_DEVKIT = Path("ILSVRC2012_devkit_t12", "data")


def _images(path: Path) -> Path:
    kaggle = path / "ILSVRC" / "Data" / "CLS-LOC"
    return kaggle if kaggle.is_dir() else path


def _flat(root: Path, val: Path, classes: tuple[str, ...]) -> Lazy[int]:
    paths = images_below(val)
    if (root / _SOLUTION).exists():
        labels = _by_solution(root / _SOLUTION, paths, classes)
    elif (root / _DEVKIT).is_dir():
        labels = _by_devkit(root / _DEVKIT, paths, classes)
    else:
        raise InputError.of(
            f"the images in {val} have no labels",
            key=("uri",),
            valid=f"folders of WordNet ids, or {_SOLUTION} or {_DEVKIT} in {root}",
        )
    return image_records(root, paths, labels)


def _by_solution(file: Path, paths: list[Path], classes: tuple[str, ...]) -> Labels:
    """Read Kaggle's table: an image's name, and its id with boxes that are not needed."""
    numbers = {name: number for number, name in enumerate(classes)}
    found: dict[str, int] = {}
    for line, text in enumerate(lines(file)[1:], start=2):
        name, _, prediction = text.partition(",")
        wordnet = prediction.partition(" ")[0]
        if wordnet not in numbers:
            raise unknown_class(file, wordnet, classes, line=line)
        found[name] = numbers[wordnet]
    for path in paths:
        if path.stem not in found:
            raise wrong(path, f"no line of {file} names it")
    return np.array([found[path.stem] for path in paths], np.int64)


def _by_devkit(folder: Path, paths: list[Path], classes: tuple[str, ...]) -> Labels:
    """Read the class of each image, in the order of their names, and what the numbers mean."""
    truth = folder / "ILSVRC2012_validation_ground_truth.txt"
    meta = folder / "meta.mat"
    wordnet = _synsets(meta)
    numbers = {name: number for number, name in enumerate(classes)}
    labels: list[int] = []
    for line, text in enumerate(lines(truth), start=1):
        if text not in wordnet:
            message = f"{text!r} is no class of {meta.name}"
            raise wrong(truth, message, line=line, valid="an ILSVRC2012_ID")
        if wordnet[text] not in numbers:
            raise unknown_class(truth, wordnet[text], classes, line=line)
        labels.append(numbers[wordnet[text]])
    if len(labels) != len(paths):
        raise wrong(truth, f"{len(labels)} lines for {len(paths)} images in val")
    return np.array(labels, np.int64)


def _synsets(file: Path) -> dict[str, str]:
    """Return the WordNet id of each number of a class, from MATLAB's struct `synsets`."""
    from scipy.io import loadmat  # 0.3 s, and needed only here

    with reading(file):
        content = file.open("rb")
    with content:
        try:
            synsets: Any = loadmat(content, squeeze_me=True)["synsets"]
            numbers = np.atleast_1d(synsets["ILSVRC2012_ID"])
            names = np.atleast_1d(synsets["WNID"])
            pairs = zip(numbers, names, strict=True)
            return {str(int(number)): str(name) for number, name in pairs}
        except Exception as error:  # a broken file raises whatever its bytes spell
            raise wrong(file, f"no synsets in it: {one_line(error)}") from error
