"""Files that a format's annotations lie in or point to, and what is said where they are wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from heliostat.data import splits
from heliostat.data.decode import SUFFIXES
from heliostat.data.folders import images_below
from heliostat.data.paths import reading
from heliostat.spec.nearest import nearest
from heliostat.spec.problems import InputError

Part = TypeVar("Part")


def wrong(file: Path, message: str, *, line: int | None = None, valid: str = "") -> InputError:
    """Return the error of one mistake in a file of the source."""
    place = f"{file}:{line}" if line else str(file)
    return InputError.of(f"{place}: {message}", key=("uri",), valid=valid)


def unknown_class(
    file: Path, name: str, classes: Collection[str], *, line: int | None = None
) -> InputError:
    """Return the error of a class that is not among the source's."""
    near = nearest(name, classes)
    some = ", ".join(list(classes)[:8]) + (", …" if len(classes) > 8 else "")
    valid = f"did you mean {near}? one of {some}" if near else f"one of {some}"
    return wrong(file, f"unknown class {name!r}", line=line, valid=valid)


def lines(file: Path) -> list[str]:
    """Return a text file's lines, each without the white space around it."""
    with reading(file):
        return [line.strip() for line in file.read_text("utf-8-sig").splitlines()]


def class_file(file: Path) -> tuple[str, ...]:
    """Return the class names that a text file lists, one a line."""
    numbered = [(number, name) for number, name in enumerate(lines(file), start=1) if name]
    names: list[str] = []
    for number, name in numbered:
        if name in names:
            raise wrong(file, f"class {name!r} stands here a second time", line=number)
        names.append(name)
    if not names:
        raise wrong(file, "no class is named", valid="one name a line")
    return tuple(names)


def split_of(name: str) -> str | None:
    """Return the split that a file or folder is named after: train2017, instances_val, test-0."""
    match = _SPLIT.search(name.lower())
    return splits.FOLDERS.get(match[1].replace("training", "train")) if match else None


def by_split(files: Iterable[tuple[str | None, Path]]) -> dict[str, Path]:
    """Return the file or folder of each split, given (split, path); a single one may be "all".

    Raises InputError where two are of the same split, or one of several is of none.
    """
    found = list(files)
    if len(found) == 1:
        return {found[0][0] or "all": found[0][1]}
    chosen: dict[str, Path] = {}
    for split, path in found:
        if split is None or split in chosen:
            names = ", ".join(str(path) for _, path in found[:5])
            raise InputError.of(
                f"which of these are the splits is not clear: {names}",
                key=("uri",),
                valid="one for each of train, val and test; or name one of them as the source",
            )
        chosen[split] = path
    return in_order(chosen)


def in_order(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Return the parts with train first, then val, then test."""
    return {name: parts[name] for name in ("train", "val", "test", "all") if name in parts}


def holds(folder: Path, suffixes: Collection[str] = SUFFIXES) -> bool:
    """Say whether a file with one of the suffixes lies in the folder, at any depth."""
    return next(_names(folder, suffixes), None) is not None


def by_stem(folder: Path) -> dict[str, Path]:
    """Return the images in a folder, at any depth, by their path below it without the suffix.

    Raises InputError where two differ in their suffix only.
    """
    found: dict[str, Path] = {}
    for path in images_below(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise wrong(path, f"{found[stem].name} beside it has the same name but for the suffix")
        found[stem] = path
    return found


def require(file: Path, named_in: Path, *, line: int | None = None) -> None:
    """Raise InputError if an image that an annotation names is not there."""
    if not os.path.isfile(file):
        raise wrong(named_in, f"the image {file} does not exist", line=line)


def are_pixels(numbers: Iterable[float]) -> bool:
    """Say whether all can be coordinates: not NaN, not infinite, and within a float32's reach."""
    return all(abs(number) < 2**31 for number in numbers)


def name_below(root: Path, path: Path) -> str:
    """Return the path below `root`, or the whole one where it is elsewhere."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


_SPLIT = re.compile(r"(?<![a-z])(train(?:ing)?|val(?:id(?:ation)?)?|test)(?![a-z])")


def _names(folder: Path, suffixes: Collection[str]) -> Iterator[str]:
    for _, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                yield name
