from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from heliostat.data import Samples, align_classes, open_source
from heliostat.data.dataset import is_dataset
from heliostat.data.formats import open_listing
from heliostat.data.records import Listing, Record
from heliostat.data.shards import cache_folder
from heliostat.data.writing import import_dataset
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source
from s3 import s3_server, use

Imported = Callable[..., Path]


@pytest.fixture
def imported(class_folder: Path, helio_home: Path, tmp_path: Path) -> Path:
    """The folder's 60 digits as a data set of shards of some eight images."""
    import_dataset(open_listing(class_folder), str(tmp_path / "set"), shard_bytes=1500)
    return tmp_path / "set"


def opened(root: Path, split: str | None, **settings: object) -> Samples:
    return open_source(Source(uri=str(root), split=split), **settings)  # type: ignore[arg-type]


def test_an_imported_set_gives_what_its_source_gives(imported: Path, class_folder: Path) -> None:
    assert is_dataset(str(imported))
    assert is_dataset(f"file://{imported}")
    assert not is_dataset(str(class_folder))
    for split in ("train", "val"):
        ours, theirs = opened(imported, split), opened(class_folder, split)
        # In a folder, a split knows of its own classes only.
        theirs = align_classes(theirs, ours.classes)
        assert (len(ours), ours.shape) == (len(theirs), theirs.shape)
        assert ours.labels is not None
        assert theirs.labels is not None
        assert ours.labels.tolist() == theirs.labels.tolist()
        for ours_part, theirs_part in zip(
            ours.read(np.arange(len(ours))), theirs.read(np.arange(len(ours))), strict=True
        ):
            assert torch.equal(ours_part, theirs_part)
    assert ours.source(0).startswith(f"{imported}#val/digit-0/")


def test_a_shard_is_fetched_when_it_is_first_read(imported: Path) -> None:
    samples = opened(imported, "train", image_size=(8, 8), channels=1)
    assert not cache_folder().exists()
    samples.read(np.array([1, 0]))
    assert len(list(cache_folder().glob("*.arrow"))) == 1
    samples.read(np.array([39]))
    assert len(list(cache_folder().glob("*.arrow"))) == 2


def test_the_targets_are_the_labels_whether_these_were_asked_for_or_not(imported: Path) -> None:
    indices = np.array([31, 0, 7, 39])
    before = opened(imported, "train").read(indices)[1]
    samples = opened(imported, "train").take(np.arange(40)[::-1])  # type: ignore[attr-defined]
    assert samples.labels is not None
    after = samples.read(39 - indices)[1]
    assert before.tolist() == after.tolist() == samples.labels[39 - indices].tolist()


def test_the_fingerprint_is_of_the_content_and_the_slice(
    imported: Path, class_folder: Path, tmp_path: Path
) -> None:
    import_dataset(open_listing(class_folder), str(tmp_path / "again"), shard_bytes=4000)
    again = tmp_path / "again"
    prints = [
        opened(root, split).fingerprint
        for split in ("train", "val", "train[:50%]", "train[50%:]")
        for root in (imported, again)
    ]
    assert prints[::2] == prints[1::2]
    assert len(set(prints)) == 4


def test_without_labels_any_kind_gives_images(imported: Path) -> None:
    samples = open_source(Source(uri=str(imported), split="val"), labelled=False)
    assert samples.labels is None
    assert samples.read(np.arange(3))[1] is None
    assert all(isinstance(each, torch.Tensor) for each in samples.read_each(np.arange(20)))


def test_a_set_in_a_bucket_is_read_like_a_local_one(
    imported: Path, class_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    with s3_server() as endpoint:
        use(monkeypatch, endpoint)
        boto3.client("s3").create_bucket(Bucket="sets")
        import_dataset(open_listing(class_folder), "s3://sets/digits", shard_bytes=1500)
        there = open_source(Source(uri="s3://sets/digits", split="train"))
        here = opened(imported, "train")
        for a, b in zip(there.read(np.arange(40)), here.read(np.arange(40)), strict=True):
            assert torch.equal(a, b)
        assert there.fingerprint == here.fingerprint
        assert there.source(0).startswith("s3://sets/digits#train/digit-0/")
        with pytest.raises(InputError, match=r"^uri: s3://sets/other holds no dataset.json: .*$"):
            open_source(Source(uri="s3://sets/other"))
    # The cache holds all: the bucket is not needed for what was opened.
    assert torch.equal(there.read(np.arange(40))[0], here.read(np.arange(40))[0])


def test_a_mistake_about_a_data_set_is_one_line(imported: Path, png: Callable[..., bytes]) -> None:
    for split, message in (
        (None, "split: several splits, and none is named; train | val"),
        ("test", "split: no split 'test' here; train | val"),
    ):
        with pytest.raises(InputError) as caught:
            opened(imported, split)
        assert str(caught.value) == message
    with pytest.raises(InputError, match=r"^format: an imported data set has its own format$"):
        open_source(Source(uri=str(imported), split="val", format="coco"))
    records = [Record(png(0), "0.png", 0), Record(b"nothing", "1.png", 0)]
    listing = Listing("made", "labels", ("a",), {"all": records})
    root = imported.parent / "broken"
    import_dataset(listing, str(root))
    with pytest.raises(InputError, match=r"broken#1.png cannot be read as an image"):
        opened(root, "train")
    samples = opened(root, "all", image_size=(8, 8))
    with pytest.raises(InputError, match=r"broken#1.png cannot be read as an image"):
        samples.read(np.array([0, 1]))
    manifest = imported / "dataset.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"kind": "sounds"}))
    with pytest.raises(InputError, match=rf"^uri: {imported}: dataset.json is broken: kind 'sound"):
        opened(imported, "train")


def test_images_of_different_sizes_need_a_size(helio_home: Path, tmp_path: Path) -> None:
    records = [Record(_bitmap(8 + n, n), f"{n}.bmp", 0) for n in range(2)]
    listing = Listing("made", "labels", ("a",), {"all": records})
    import_dataset(listing, str(tmp_path / "set"))
    with pytest.raises(InputError, match=r"differ in size \(8x8, 9x9\); set data.image_size"):
        opened(tmp_path / "set", None)
    assert opened(tmp_path / "set", None, image_size=(4, 6)).shape == (3, 4, 6)


def test_memory_stays_flat_in_a_process_whose_memory_is_smaller_than_the_set(
    helio_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [Record(_bitmap(256, n), f"{n}.bmp", n % 2) for n in range(60)]
    repeated = {"train": [records[n % 60] for n in range(600)]}
    named = {"train": [Record(r.image, f"{n}", r.label) for n, r in enumerate(repeated["train"])]}
    listing = Listing("made", "labels", ("a", "b"), named)
    import_dataset(listing, str(tmp_path / "set"), shard_bytes=8 * 2**20)
    # Larger than the cache as well, so that shards come, go, and are read block after block.
    monkeypatch.setenv("HELIO_CACHE_BYTES", str(60 * 2**20))
    command = [sys.executable, "-c", _FLAT, str(tmp_path / "set")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["set"] > 2 * figures["allowed"]
    assert figures["read"] == 2 * 600
    assert figures["cache"] <= 60 * 2**20
    # Epochs after the first add nothing.
    assert figures["second"] - figures["first"] < 8 * 2**20


_FLAT = """
import json, re, resource, sys
from pathlib import Path
import numpy as np, torch
import pyarrow.parquet
from heliostat.data import TrainBatches, open_source
from heliostat.data.imported import read_manifest
from heliostat.data.shards import cache_folder
from heliostat.spec.sources import Source

def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

uri, allowed = sys.argv[1], 48 * 2**20
samples = open_source(Source(uri=uri, split="train"), image_size=(16, 16), channels=3)
batches = TrainBatches(samples, batch_size=32, seed=0, rank=0, world_size=1)
next(batches.epoch(0))  # threads, with their stacks
assert batches.shuffling.startswith("in "), batches.shuffling
# Anonymous memory; mapped files do not count.
resource.setrlimit(resource.RLIMIT_DATA, (memory("VmData") + allowed,) * 2)
read, used = 0, []
for epoch in range(2):
    for batch in batches.epoch(epoch):
        read += len(batch.index)
    used.append(memory("RssAnon"))
shards = read_manifest(uri)[1].splits["train"].shards
print(json.dumps({
    "set": sum(shard.bytes for shard in shards), "allowed": allowed, "read": read,
    "first": used[0], "second": used[1],
    "cache": sum(f.stat().st_size for f in cache_folder().glob("*.arrow")),
}))
"""


def _bitmap(side: int, number: int) -> bytes:
    """Return a BMP of noise: stored as it is, so that a file is as large as its pixels."""
    noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "BMP")
    return file.getvalue()
