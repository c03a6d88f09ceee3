"""What an imported data set holds: its manifest, and rows of its shards as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heliostat.data.manifest import NAME, Manifest
from heliostat.data.records import Objects, Polygons, Record, Rle
from heliostat.data.stores import Store, open_store
from heliostat.spec.problems import InputError


def read_manifest(uri: str) -> tuple[Store, Manifest]:
    """Return where a data set lies, and its manifest; InputError where there is none to read."""
    store = open_store(uri)
    try:
        return store, Manifest.from_json(store.read(NAME))
    except FileNotFoundError:
        raise InputError.of(
            f"{uri} holds no {NAME}: it is no data set, or its import did not end", key=("uri",)
        ) from None
    except ValueError as error:
        raise InputError.of(f"{uri}: {error}", key=("uri",)) from error


def record(row: Mapping[str, Any]) -> Record:
    """Return the record of a row, its columns by name."""
    image = row["image"]
    return Record(
        image["bytes"],
        image["path"],
        label=row.get("label"),
        objects=_objects(row["objects"]) if row.get("objects") is not None else None,
        mask=row.get("mask"),
    )


def _objects(found: Sequence[Mapping[str, Any]]) -> Objects:
    outlines = [_outline(one) for one in found]
    return Objects(
        np.array([one["box"] for one in found], np.float32).reshape(-1, 4),
        np.array([one["class"] for one in found], np.int64),
        np.array([one["crowd"] for one in found], np.bool_),
        tuple(outline or () for outline in outlines) if any(outlines) else (),
    )


def _outline(one: Mapping[str, Any]) -> Polygons | Rle | None:
    if one["rle_counts"] is not None:
        return Rle((one["rle_height"], one["rle_width"]), one["rle_counts"])
    polygons = one["polygons"]
    return None if polygons is None else tuple(map(tuple, polygons))
