"""Paths in a spec, made absolute: a job's workers run in folders of their own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from heliostat.spec.registration import is_weight_name

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def absolute(path: str, folder: Path) -> str:
    """Return `path` as an absolute path, relative ones being under `folder`.

    `~` is expanded. A URI with a scheme (`s3://…`, `models:/…`, `sklearn:digits`) stays as it is.
    """
    if not path or _SCHEME.match(path):
        return path
    return os.path.abspath(folder / os.path.expanduser(path))


def make_absolute(values: Any, folder: Path) -> None:
    """Make every path in a spec's plain values absolute, in place.

    A source in its short form (a string) is written out, so that `--set` can change parts of it.
    What is of the wrong type is left alone: the models say so.
    """
    if not isinstance(values, dict):
        return
    kind = values.get("kind")
    if kind == "tune":
        _train_paths(_mapping(values, "train"), folder)
        _search_paths(values, folder)
    elif kind == "predict":
        _source(values, "input", folder)
        _path(values, "output", folder)
    elif kind == "evaluate":
        _source(values, "data", folder)
    else:
        _train_paths(values, folder)


def _train_paths(values: dict[str, Any], folder: Path) -> None:
    for split in ("train", "val", "test"):
        _source(_mapping(values, "data"), split, folder)
    model = _mapping(values, "model")
    if not is_weight_name(str(model.get("weights"))):
        _path(model, "weights", folder)


def _search_paths(values: dict[str, Any], folder: Path) -> None:
    """Make the paths among a search's values absolute, by the rules of a train spec's own."""
    for key, space in _mapping(values, "search").items():
        for kind in {"choice", "grid"} & set(space if isinstance(space, dict) else ()):
            space[kind] = _searched(key, space[kind], folder)
        when = _mapping(space, "when") if isinstance(space, dict) else {}
        for parent in when:
            when[parent] = _searched(parent, when[parent], folder)
    points = values.get("points_to_evaluate")
    for point in points if isinstance(points, list) else ():
        for key in point if isinstance(point, dict) else ():
            point[key] = _searched(key, point[key], folder)


def _searched(key: str, value: Any, folder: Path) -> Any:
    """Return the value, or the list of values, that a train spec may get at the dotted `key`."""
    if isinstance(value, list):
        return [_searched(key, item, folder) for item in value]
    *parents, last = key.split(".")
    train: dict[str, Any] = {}
    holder = train
    for parent in parents:
        holder = holder.setdefault(parent, {})
    holder[last] = value
    _train_paths(train, folder)
    return holder[last]


def _mapping(values: dict[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _source(values: dict[str, Any], name: str, folder: Path) -> None:
    if isinstance(values.get(name), str):
        values[name] = {"uri": values[name]}
    _path(_mapping(values, name), "uri", folder)


def _path(values: dict[str, Any], name: str, folder: Path) -> None:
    if isinstance(values.get(name), str):
        values[name] = absolute(values[name], folder)
