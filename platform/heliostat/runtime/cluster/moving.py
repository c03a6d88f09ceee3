"""A spec's command line where its folder has travelled: what its paths mean there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from heliostat import spec as specs
from heliostat.runtime.cluster.packing import Package
from heliostat.spec import Document, InputError, Key, TuneSpec, dotted
from heliostat.spec.document import parse_mapping, parse_yaml
from heliostat.spec.overrides import parse_override
from heliostat.spec.paths import absolute

_SPLITS = ("train", "val", "test")


def folder_of(document: Document) -> Path:
    """Return the spec's folder as the spec's own paths are written: absolute, without `..`."""
    return Path(os.path.abspath(document.folder))


def train_file(document: Document) -> Path | None:
    """Return the train spec's file that a search names and that stands outside its folder.

    It travels too. Raises InputError where the search names it by an absolute path, which would
    lead nowhere there.
    """
    given = parse_mapping(document.text, str(document.path)).values.get("train")
    if not isinstance(document.spec, TuneSpec) or not isinstance(given, str):
        return None
    folder = folder_of(document)
    file = Path(absolute(given, folder))
    if folder in file.parents:
        return None
    if os.path.isabs(given) or given.startswith("~"):
        raise document.locate(
            InputError.of(
                f"{given} would not be there on the cluster",
                key=("train",),
                valid="a relative path: the file travels then",
            )
        )
    return file


def moved(document: Document, package: Package) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the `--set`s that the spec needs where `package` is, and notes for the person.

    What travels is named relative to the working directory there, and what does not by the
    absolute path that it has here: the cluster's machines must have it under the same.
    """
    staying: dict[str, list[str]] = {}

    def there(key: Key, path: str) -> str:
        if not os.path.isabs(path):  # a URI, or a name
            return path
        if key != ("output",) and package.holds(Path(path)):
            return os.path.relpath(path, package.root)
        verb = "is written there" if key == ("output",) else "does not travel: it must be there"
        staying.setdefault(f"{path} {verb}, on the cluster's machines", []).append(dotted(key))
        return path

    values = specs.dump(document.spec)
    keys = [parse_override(override).key for override in document.overrides]
    if ("train",) in keys and isinstance(document.spec, TuneSpec):
        # The file that it names stays here; nothing can be set below it.
        train = json.dumps(_replaced(values["train"], ("train",), there), ensure_ascii=False)
        given = [
            one for one, key in zip(document.overrides, keys, strict=True) if key[0] != "train"
        ]
        sets = [f"train={train}"]
    else:
        given = list(document.overrides)
        found = (_setting(key, values, there, keys) for key in _path_keys(document, values))
        sets = [one for one in found if one is not None]
    sets += _searched(document, values, there)
    notes = (f"{', '.join(dict.fromkeys(where))}: {what}" for what, where in staying.items())
    return (*given, *sets), tuple(notes)


def _path_keys(document: Document, values: dict[str, Any]) -> Iterator[Key]:
    """Yield the keys of a spec's paths that are set."""
    kind = document.spec.kind
    if kind == "predict":
        yield from (("input", "uri"), ("output",))
    elif kind == "evaluate":
        yield ("data", "uri")
    else:
        train: Key = ("train",) if kind == "tune" else ()
        inner = values["train"] if kind == "tune" else values
        data = inner.get("data") or {}
        yield from ((*train, "data", split, "uri") for split in _SPLITS if data.get(split))
        if inner.get("model"):
            yield (*train, "model", "weights")


def _setting(
    key: Key, values: dict[str, Any], there: Callable[[Key, str], str], given: Sequence[Key]
) -> str | None:
    """Return the `--set` for the path at `key`; None where it means the same everywhere.

    `given` are the keys that the person has set.
    """
    holder: Any = values
    for part in key[:-1]:
        holder = holder[part]
    path = holder[key[-1]]
    if not isinstance(path, str) or not os.path.isabs(path):
        return None
    path = there(key, path)
    if any(key[: len(one)] == one and one != key for one in given):
        # A person's `--set data.train=…` is one text, which has no `uri` to set.
        source = {**holder, key[-1]: path}
        filled = {name: value for name, value in source.items() if value not in (None, False, {})}
        return f"{dotted(key[:-1])}={json.dumps(filled, ensure_ascii=False)}"
    return f"{dotted(key)}={_text(path)}"


def _searched(
    document: Document, values: dict[str, Any], there: Callable[[Key, str], str]
) -> Iterator[str]:
    """Yield the `--set`s for paths that a search tries."""
    if not isinstance(document.spec, TuneSpec):
        return
    for key, space in values["search"].items():
        if any(_is_path(one) for one in (key, *space.get("when", ()))) and _holds_path(space):
            changed = _replaced(space, ("search", key), there)
            yield f"search.{key}={json.dumps(changed, ensure_ascii=False)}"
    points = values["points_to_evaluate"]
    if any(_is_path(key) and _holds_path(value) for one in points for key, value in one.items()):
        changed = [
            {k: _replaced(v, ("points_to_evaluate",), there) for k, v in one.items()}
            for one in points
        ]
        yield f"points_to_evaluate={json.dumps(changed, ensure_ascii=False)}"


def _is_path(key: str) -> bool:
    """Whether values at this key of a train spec are, or hold, paths."""
    return key.startswith("data.") or key in ("data", "model", "model.weights")


def _holds_path(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_holds_path, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and os.path.isabs(value)


def _replaced(value: Any, key: Key, there: Callable[[Key, str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(inner, key, there) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, key, there) for inner in value]
    return there(key, value) if isinstance(value, str) else value


def _text(path: str) -> str:
    """Return a path as YAML that is read as just this text."""
    try:
        tree = parse_yaml(path, "")
    except InputError:
        tree = None
    return path if tree and tree.values == path else json.dumps(path, ensure_ascii=False)
