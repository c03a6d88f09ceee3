from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heliostat.data.checking import check
from heliostat.data.formats import open_listing
from heliostat.data.listing_of_dataset import dataset_listing, listing_of
from heliostat.data.writing import import_dataset
from heliostat.spec.problems import InputError


@pytest.fixture(params=["local", "s3"])
def dest(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "set")
    return f"{request.getfixturevalue('s3')}/set"


def test_records_come_back_from_any_shard_in_any_order(class_folder: Path, dest: str) -> None:
    source = open_listing(class_folder)
    manifest = import_dataset(source, dest, shard_bytes=4096)
    assert len(manifest.splits["train"].shards) > 1

    listing = listing_of(dest)
    assert (listing.kind, listing.classes) == (source.kind, source.classes)
    records = listing.splits["train"]
    assert len(records) == 40
    for index in (0, 39, 20, 1, 38):
        expected = source.splits["train"][index]
        assert isinstance(expected.image, Path)
        assert records[index].image == expected.image.read_bytes()
        assert (records[index].name, records[index].label) == (expected.name, expected.label)
    with pytest.raises(IndexError):
        records[40]


def test_an_imported_data_set_has_the_findings_of_its_source(
    shared_data: Path, tmp_path: Path
) -> None:
    source = listing_of(str(shared_data / "bccd" / "BCCD"))
    source = replace(source, splits={"val": source.splits["val"]})
    import_dataset(source, str(tmp_path / "set"), shard_bytes=2**20)

    assert check(dataset_listing(str(tmp_path / "set"))) == check(source)
    first = dataset_listing(str(tmp_path / "set")).splits["val"][0].objects
    expected = source.splits["val"][0].objects
    assert first is not None
    assert expected is not None
    np.testing.assert_array_equal(first.boxes, expected.boxes)


def test_a_shard_that_is_gone_or_cut_short_is_named(class_folder: Path, tmp_path: Path) -> None:
    dest = tmp_path / "set"
    import_dataset(open_listing(class_folder), str(dest))
    shard = dest / "val" / "00000.parquet"

    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"set/val/00000\.parquet cannot be read: "):
        check(dataset_listing(str(dest)))
    shard.unlink()
    with pytest.raises(InputError, match=r"set/val/00000\.parquet does not exist"):
        dataset_listing(str(dest)).splits["val"][0]


def test_what_is_no_data_set_and_no_source_is_said(tmp_path: Path, s3: str) -> None:
    with pytest.raises(InputError, match="is an empty folder"):
        listing_of(str(tmp_path))
    with pytest.raises(InputError, match=r"holds no dataset\.json"):
        listing_of(f"{s3}/set")
