from __future__ import annotations

import json
from typing import Any

import pytest

from heliostat.data.manifest import Manifest, Shard, SplitFacts

MANIFEST = Manifest(
    format="folders",
    kind="labels",
    classes=("Würfel", "ball"),
    columns={"image": "struct<bytes: binary, path: string>", "label": "int64"},
    mean=(0.5,),
    std=(0.25,),
    splits={
        "train": SplitFacts(3, (2, 1), (Shard("train/00000.parquet", 3, 900, "ab" * 32),)),
        "test": SplitFacts(0, None, ()),
    },
    fingerprint="cd" * 32,
    measured=3,
)


def test_a_manifest_reads_back_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_the_file_says_what_the_documentation_says() -> None:
    value = json.loads(MANIFEST.to_json())

    assert value["heliostat_dataset"] == 1
    assert value["statistics"] == {"mean": [0.5], "std": [0.25], "samples": 3}
    assert value["splits"]["train"] == {
        "samples": 3,
        "per_class": [2, 1],
        "shards": [{"path": "train/00000.parquet", "rows": 3, "bytes": 900, "sha256": "ab" * 32}],
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "Expecting"),
        (b"[]", "no manifest"),
        (b'{"data": 1}', "no manifest"),
        (b'{"heliostat_dataset": 2}', "version 2; version 1 is read"),
        (b'{"heliostat_dataset": 1}', "broken: KeyError"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Manifest.from_json(content)


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("kind",), "sounds"),
        (("splits", "train", "samples"), 4),
        (("splits", "train", "shards", 0, "path"), "../train/00000.parquet"),
        (("splits", "train", "shards", 0, "path"), "/train/00000.parquet"),
        (("splits", "train", "shards", 0, "rows"), None),
    ],
)
def test_a_manifest_that_contradicts_itself_or_leads_elsewhere_is_refused(
    place: tuple[Any, ...], wrong: Any
) -> None:
    value = json.loads(MANIFEST.to_json())
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = wrong

    with pytest.raises(ValueError, match="is broken"):
        Manifest.from_json(json.dumps(value).encode())
