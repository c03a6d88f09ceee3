"""What an imported data set says of itself: one JSON file, written when all else is there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from heliostat.data.records import Kind

NAME = "dataset.json"
"""The manifest's name in the data set's folder. Without it a folder is not a data set."""

VERSION = 1


@dataclass(frozen=True)
class Shard:
    """A Parquet file: consecutive rows of a split."""

    path: str
    """`<split>/<number>.parquet`, below the data set's folder."""
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SplitFacts:
    """What a split holds."""

    samples: int
    per_class: tuple[int, ...] | None
    """Samples of each class; of objects, their number. None where that is not known."""
    shards: tuple[Shard, ...]
    """In the order of the split's rows."""


@dataclass(frozen=True)
class Manifest:
    """An imported data set."""

    format: str
    """What it was imported from."""
    kind: Kind
    classes: tuple[str, ...]
    columns: Mapping[str, str]
    """Arrow types by the columns' names."""
    mean: tuple[float, ...]
    """Per channel (1 where all images are grey, else 3), of 0..1; empty where none was readable."""
    std: tuple[float, ...]
    splits: Mapping[str, SplitFacts]
    fingerprint: str
    """SHA-256 of kind, classes and rows, 64 hex digits: the same however rows lie in shards."""
    measured: int = 0
    """How many images `mean` and `std` were measured on."""

    def to_json(self) -> bytes:
        """Return the manifest as the file's content."""
        value = {
            "heliostat_dataset": VERSION,
            "format": self.format,
            "kind": self.kind,
            "classes": self.classes,
            "columns": dict(self.columns),
            "statistics": {"mean": self.mean, "std": self.std, "samples": self.measured},
            "splits": {
                name: {
                    "samples": split.samples,
                    "per_class": split.per_class,
                    "shards": [vars(shard) for shard in split.shards],
                }
                for name, split in self.splits.items()
            },
            "fingerprint": self.fingerprint,
        }
        return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """Return the manifest of a file's content; ValueError where it is none that is read."""
        value = json.loads(content)
        version = value.get("heliostat_dataset") if isinstance(value, dict) else None
        if version != VERSION:
            said = f"version {version}" if version else "no manifest"
            raise ValueError(f"{NAME} is {said}; version {VERSION} is read")
        try:
            return _manifest(value)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{NAME} is broken: {error!r}") from error


def _manifest(value: Mapping[str, Any]) -> Manifest:
    if value["kind"] not in get_args(Kind):
        raise ValueError(f"{NAME} is broken: kind {value['kind']!r}")
    statistics = value["statistics"]
    return Manifest(
        format=str(value["format"]),
        kind=cast(Kind, value["kind"]),
        classes=tuple(map(str, value["classes"])),
        columns={str(name): str(kind) for name, kind in value["columns"].items()},
        mean=tuple(map(float, statistics["mean"])),
        std=tuple(map(float, statistics["std"])),
        splits={str(name): _split(split) for name, split in value["splits"].items()},
        fingerprint=str(value["fingerprint"]),
        measured=int(statistics["samples"]),
    )


def _split(value: Mapping[str, Any]) -> SplitFacts:
    counts = value["per_class"]
    shards = tuple(_shard(shard) for shard in value["shards"])
    samples = int(value["samples"])
    if samples != sum(shard.rows for shard in shards):
        raise ValueError(f"{NAME} is broken: {samples} samples, and the shards hold others")
    return SplitFacts(samples, None if counts is None else tuple(map(int, counts)), shards)


def _shard(value: Mapping[str, Any]) -> Shard:
    path = str(value["path"])
    # A manifest may come from anybody's bucket: its paths must not lead out of a node's cache.
    if not re.fullmatch(SHARD, path):
        raise ValueError(f"{NAME} is broken: a shard at {path!r}")
    return Shard(path, int(value["rows"]), int(value["bytes"]), str(value["sha256"]))


SHARD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*/\d{5,}\.parquet"
"""What a shard's path looks like, as a regular expression."""
