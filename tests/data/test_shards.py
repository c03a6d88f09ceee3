from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heliostat.data.imported import read_manifest
from heliostat.data.manifest import Shard
from heliostat.data.records import Listing, Record
from heliostat.data.shards import cache_bytes, cache_folder, cached, facts, held
from heliostat.data.writing import import_dataset
from heliostat.spec.problems import InputError


@dataclass
class Bucket:
    """A folder that is reached as a bucket is: by downloads, which are counted."""

    root: Path
    downloads: list[str] = field(default_factory=list)
    uri = "s3://bucket/set"

    def download(self, name: str, to: Path) -> None:
        self.downloads.append(name)
        shutil.copyfile(self.root / name, to)


@dataclass
class FlakyBucket(Bucket):
    """The first download of each file is cut short."""

    def download(self, name: str, to: Path) -> None:
        first = name not in self.downloads
        super().download(name, to)
        if first:
            os.truncate(to, 100)


@pytest.fixture
def folder(helio_home: Path) -> Path:
    return cache_folder()


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    """Six shards of some 100 KB, each of two rows that hold noise."""
    records = [Record(os.urandom(50_000), f"{number}.png", number % 3) for number in range(12)]
    listing = Listing("made", "labels", ("a", "b", "c"), {"train": records})
    import_dataset(listing, str(tmp_path / "set"), shard_bytes=100_000)
    return Bucket(tmp_path / "set")


@pytest.fixture
def shards(bucket: Bucket) -> tuple[Shard, ...]:
    shards = read_manifest(str(bucket.root))[1].splits["train"].shards
    assert len(shards) == 6
    return shards


def test_a_shard_in_the_cache_holds_the_rows_that_were_imported(
    bucket: Bucket, shards: tuple[Shard, ...], folder: Path
) -> None:
    path = cached(bucket, shards[1], folder)
    with pa.memory_map(str(path)) as file:
        found = pa.ipc.open_file(file).read_all()
    assert found.equals(pq.read_table(bucket.root / shards[1].path))
    assert facts(bucket, shards[1], folder)["label"].to_pylist() == [2, 0]
    assert sorted(p.suffix for p in folder.iterdir()) == [".arrow", ".facts", ".lock", ".lock"]


def test_a_shard_is_downloaded_once_whatever_the_number_of_threads_and_processes(
    bucket: Bucket, shards: tuple[Shard, ...], folder: Path, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    counts = context.SimpleQueue()

    def ask() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda shard: cached(bucket, shard, folder), shards * 4))
        counts.put(len(bucket.downloads))

    processes = [context.Process(target=ask) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sum(counts.get() for _ in processes) == len(shards)


def test_a_broken_download_is_tried_a_second_time(
    bucket: Bucket, shards: tuple[Shard, ...], folder: Path
) -> None:
    flaky = FlakyBucket(bucket.root)
    cached(flaky, shards[0], folder)
    assert flaky.downloads == [shards[0].path] * 2


def test_a_shard_that_is_not_the_manifests_is_named_and_not_kept(
    bucket: Bucket, shards: tuple[Shard, ...], folder: Path
) -> None:
    content = bytearray((bucket.root / shards[0].path).read_bytes())
    content[1000] ^= 1
    (bucket.root / shards[0].path).write_bytes(content)
    (bucket.root / shards[1].path).unlink()
    wrong = r"^uri: s3://bucket/set/train/00000.parquet is not what .*: SHA-256 \w+… instead of"
    with pytest.raises(InputError, match=wrong):
        cached(bucket, shards[0], folder)
    with pytest.raises(InputError, match=r"^uri: .*/train/00001.parquet does not exist$"):
        cached(bucket, shards[1], folder)
    with pytest.raises(InputError, match=r"has no SHA-256 in the manifest"):
        cached(bucket, replace(shards[2], sha256="../../x"), folder)
    assert {p.suffix for p in folder.iterdir()} == {".lock"}


def test_shards_used_longest_ago_make_room_but_for_those_that_are_open(
    bucket: Bucket,
    shards: tuple[Shard, ...],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HELIO_CACHE_BYTES", str(int(3.5 * shards[0].bytes)))
    path, descriptor = held(bucket, shards[0], folder)
    os.utime(path, (0, 0))
    for moment, shard in enumerate((*shards[1:3], shards[1], *shards[3:5]), start=1):
        path = cached(bucket, shard, folder)
        os.utime(path, (moment, moment))  # what it sets, further apart than the clock's steps
    kept = {path.stem for path in folder.glob("*.arrow")}
    assert kept == {shards[0].sha256, shards[3].sha256, shards[4].sha256}
    os.close(descriptor)
    cached(bucket, shards[5], folder)
    assert not (folder / f"{shards[0].sha256}.arrow").exists()
    # What is needed of every row is still there, and asks for no download.
    before = len(bucket.downloads)
    assert facts(bucket, shards[0], folder).num_rows == 2
    assert len(bucket.downloads) == before


def test_what_a_killed_process_left_half_written_makes_room_first(
    bucket: Bucket, shards: tuple[Shard, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIO_CACHE_BYTES", str(int(2.5 * shards[0].bytes)))
    cached(bucket, shards[0], folder)
    left = folder / f"{shards[1].sha256}.part"
    left.write_bytes(bytes(shards[1].bytes))
    (folder / f"{shards[1].sha256}.lock").touch()
    os.utime(left, (0, 0))
    cached(bucket, shards[2], folder)
    assert not left.exists()
    assert (folder / f"{shards[0].sha256}.arrow").exists()


def test_a_disk_without_room_is_one_line(
    bucket: Bucket, shards: tuple[Shard, ...], folder: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(InputError, match=r"cache/shards cannot be used: File too large$"):
            cached(bucket, shards[0], folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(folder.glob("*.parquet"))
    cached(bucket, shards[0], folder)


@pytest.mark.parametrize("text", ["ten", "-1", "0", "1e9"])
def test_a_limit_that_is_no_number_of_bytes_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIO_CACHE_BYTES", text)
    with pytest.raises(InputError, match=rf"^HELIO_CACHE_BYTES is '{text}'; a number of bytes"):
        cache_bytes()
