from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

import s3 as s3_support
from heliostat.data import Samples, open_source, statistics
from heliostat.data.manifest import NAME, Manifest
from heliostat.data.records import Listing, Objects, Record, Rle
from heliostat.data.stores import open_store
from heliostat.data.writing import import_dataset
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source

SMALL = 4096
"""Bytes of a shard: some 20 digits."""


@pytest.fixture
def listing(png: Callable[[int], bytes], digits: Samples) -> Listing:
    """120 digits, 90 to train on."""
    assert digits.labels is not None
    records = [Record(png(i), f"{i}.png", int(digits.labels[i])) for i in range(120)]
    splits = {"train": records[:90], "val": records[90:]}
    return Listing("folders", "labels", tuple("0123456789"), splits)


@pytest.fixture(params=["local", "s3"])
def dest(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "set")
    return f"{request.getfixturevalue('s3')}/set"


class Interrupted(Sequence[Record]):
    """Records, one of which raises."""

    def __init__(self, records: Sequence[Record], at: int, error: BaseException) -> None:
        self._records, self._at, self._error = records, at, error

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        if index == self._at:
            raise self._error
        return self._records[index]


def test_an_import_to_s3_is_the_same_as_to_a_folder(
    listing: Listing, tmp_path: Path, s3: str
) -> None:
    local = import_dataset(listing, str(tmp_path / "set"), shard_bytes=SMALL)
    remote = import_dataset(listing, f"{s3}/set", shard_bytes=SMALL)

    assert local == remote
    shards = [shard.path for split in local.splits.values() for shard in split.shards]
    assert shards[:2] == ["train/00000.parquet", "train/00001.parquet"]
    assert shards[-1].startswith("val/")
    for store in (open_store(str(tmp_path / "set")), open_store(f"{s3}/set")):
        assert store.names() == sorted([NAME, *shards])
        assert Manifest.from_json(store.read(NAME)) == local
        for split in local.splits.values():
            for shard in split.shards:
                content = store.read(shard.path)
                assert len(content) == shard.bytes
                assert hashlib.sha256(content).hexdigest() == shard.sha256


def test_plain_pyarrow_and_pandas_read_the_shards(
    listing: Listing, png: Callable[[int], bytes], tmp_path: Path
) -> None:
    manifest = import_dataset(listing, str(tmp_path / "set"), shard_bytes=SMALL)

    table = pq.read_table(tmp_path / "set" / "train")
    assert table.num_rows == 90
    assert {name: str(table.schema.field(name).type) for name in table.column_names} == dict(
        manifest.columns
    )
    frame = pd.read_parquet(tmp_path / "set" / "val")
    assert list(frame.columns) == ["image", "width", "height", "label"]
    assert frame.image[3] == {"bytes": png(93), "path": "93.png"}
    assert (frame.width[3], frame.height[3]) == (8, 8)
    assert frame.label.tolist() == [record.label for record in listing.splits["val"]]


def test_images_are_stored_as_they_are_and_shards_stream_by_row_groups(
    listing: Listing, tmp_path: Path
) -> None:
    import_dataset(listing, str(tmp_path / "set"))

    columns = pq.ParquetFile(tmp_path / "set/train/00000.parquet").metadata.row_group(0)
    compression = {
        columns.column(i).path_in_schema: columns.column(i).compression
        for i in range(columns.num_columns)
    }
    assert compression.pop("image.bytes") == "UNCOMPRESSED"
    assert set(compression.values()) == {"ZSTD"}
    many = Listing("folders", "images", (), {"all": list(listing.splits["train"]) * 12})
    import_dataset(many, str(tmp_path / "many"))
    assert pq.ParquetFile(tmp_path / "many/all/00000.parquet").num_row_groups == 3


def test_the_dataset_opens_as_hugging_face_style_parquet(listing: Listing, tmp_path: Path) -> None:
    named = replace(listing, classes=tuple(f"digit {i}" for i in range(10)))
    manifest = import_dataset(named, str(tmp_path / "set"), shard_bytes=SMALL)

    samples = open_source(Source(uri=str(tmp_path / "set"), split="train"))
    assert samples.classes == named.classes
    assert samples.labels is not None
    assert manifest.splits["train"].per_class == tuple(np.bincount(samples.labels).tolist())
    found = statistics(samples, 0)
    assert found is not None
    assert manifest.mean == pytest.approx(found.mean)
    assert manifest.std == pytest.approx(found.std)
    assert manifest.measured == 90


def test_the_fingerprint_is_of_the_content_and_not_of_its_shards(
    listing: Listing, tmp_path: Path
) -> None:
    def imported(name: str, source: Listing, shard_bytes: int = SMALL) -> str:
        return import_dataset(source, str(tmp_path / name), shard_bytes=shard_bytes).fingerprint

    whole = imported("a", listing)
    train = list(listing.splits["train"])
    relabelled = [replace(train[0], label=5), *train[1:]]
    others = [
        replace(listing, classes=tuple("abcdefghij")),
        replace(listing, splits={**listing.splits, "train": relabelled}),
        replace(listing, splits={**listing.splits, "train": train[::-1]}),
        replace(listing, splits={"train": train + list(listing.splits["val"])}),
    ]

    assert imported("b", listing, 10**9) == whole
    assert len({imported(f"c{i}", other) for i, other in enumerate(others)} | {whole}) == 5


def test_boxes_and_outlines_are_rows_of_a_nested_column(
    png: Callable[[int], bytes], tmp_path: Path
) -> None:
    objects = Objects(
        boxes=np.array([[0, 1, 4, 5], [2, 2, 8, 8]], np.float32),
        classes=np.array([1, 0]),
        crowd=np.array([False, True]),
        outlines=(((0.0, 1.0, 4.0, 1.0, 4.0, 5.0),), Rle((8, 8), b"abc")),
    )
    boxes = replace(objects, outlines=())
    none = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    records = [
        Record(png(i), f"{i}.png", objects=found) for i, found in enumerate((objects, none, boxes))
    ]
    listing = Listing("coco", "objects", ("cat", "dog"), {"train": records})

    manifest = import_dataset(listing, str(tmp_path / "set"))

    assert manifest.splits["train"].per_class == (2, 2)
    rows = pq.read_table(tmp_path / "set/train/00000.parquet")["objects"].to_pylist()
    outlined, crowd = rows[0]
    assert outlined == {
        "box": [0, 1, 4, 5],
        "class": 1,
        "crowd": False,
        "polygons": [[0, 1, 4, 1, 4, 5]],
        "rle_height": None,
        "rle_width": None,
        "rle_counts": None,
    }
    assert (crowd["rle_height"], crowd["rle_width"], crowd["rle_counts"]) == (8, 8, b"abc")
    assert (crowd["crowd"], crowd["polygons"]) == (True, None)
    assert rows[1] == []
    assert [one["polygons"] for one in rows[2]] == [None, None]


def test_masks_are_a_column_of_png_files(png: Callable[[int], bytes], tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(png(1))
    records = [Record(png(0), "0", mask=tmp_path / "mask.png"), Record(png(2), "2", mask=png(3))]

    manifest = import_dataset(
        Listing("masks", "masks", ("road", "sky"), {"train": records}), str(tmp_path / "set")
    )

    assert manifest.splits["train"].per_class is None
    table = pq.read_table(tmp_path / "set/train/00000.parquet")
    assert table["mask"].to_pylist() == [png(1), png(3)]


def test_an_image_without_a_header_is_kept_for_the_check_to_find(
    png: Callable[[int], bytes], tmp_path: Path
) -> None:
    colour = io.BytesIO()
    Image.new("RGB", (6, 4), (255, 0, 0)).save(colour, "JPEG")
    truncated = png(0)[:40]
    contents = [b"no image", truncated, colour.getvalue()]
    records = [Record(content, str(i)) for i, content in enumerate(contents)]

    manifest = import_dataset(
        Listing("folders", "images", (), {"all": records}), str(tmp_path / "set")
    )

    table = pq.read_table(tmp_path / "set/all/00000.parquet")
    assert table["width"].to_pylist() == [0, 8, 6]
    assert table["height"].to_pylist() == [0, 8, 4]
    assert manifest.measured == 1
    assert manifest.mean == pytest.approx((1, 0, 0), abs=0.01)


@pytest.mark.parametrize(
    "error", [InputError.of("row 70 is broken"), KeyboardInterrupt(), RuntimeError("a bug")]
)
def test_an_interrupted_import_leaves_nothing_and_can_be_run_again(
    listing: Listing, dest: str, error: BaseException
) -> None:
    broken = {"train": Interrupted(listing.splits["train"], 70, error), "val": []}

    with pytest.raises(type(error)):
        import_dataset(replace(listing, splits=broken), dest, shard_bytes=SMALL)

    assert open_store(dest).names() == []
    assert import_dataset(listing, dest, shard_bytes=SMALL).splits["train"].samples == 90


KILLED = """
import os, signal, sys
from heliostat.data.records import Listing, Record
from heliostat.data.writing import import_dataset

def show(done, total):
    if done >= 300:
        os.kill(os.getpid(), signal.SIGKILL)

records = [Record(b"x" * 100, str(i), 0) for i in range(400)]
import_dataset(
    Listing("folders", "labels", ("a",), {"train": records}),
    sys.argv[1], shard_bytes=4096, show=show,
)
"""


def test_what_a_killed_import_left_is_no_dataset_and_is_removed_by_the_next(
    listing: Listing, dest: str
) -> None:
    killed = run([sys.executable, "-c", KILLED, dest])
    assert killed.returncode == -signal.SIGKILL
    store = open_store(dest)
    left = store.names()
    assert "train/00005.parquet" in left
    assert NAME not in left
    store.write("notes/00000.txt", b"somebody's own")

    manifest = import_dataset(listing, dest, shard_bytes=10**9)

    shards = [shard.path for split in manifest.splits.values() for shard in split.shards]
    assert store.names() == sorted([NAME, "notes/00000.txt", *shards])


def test_a_finished_dataset_is_replaced_only_where_that_is_asked_for(
    listing: Listing, dest: str
) -> None:
    import_dataset(listing, dest, shard_bytes=SMALL)
    smaller = replace(listing, splits={"test": listing.splits["val"]})

    assert "already holds a data set; --replace" in refusal(lambda: import_dataset(smaller, dest))
    manifest = import_dataset(smaller, dest, replace=True)

    assert open_store(dest).names() == [NAME, "test/00000.parquet"]
    assert Manifest.from_json(open_store(dest).read(NAME)) == manifest


def test_a_folder_that_holds_other_things_is_refused_and_left_alone(
    listing: Listing, dest: str
) -> None:
    store = open_store(dest)
    store.write("train/00000.parquet", b"somebody's own")

    for replaces in (False, True):
        said = refusal(lambda: import_dataset(listing, dest, replace=replaces))  # noqa: B023
        assert "holds other files: train/00000.parquet" in said
    assert store.names() == ["train/00000.parquet"]
    assert store.read("train/00000.parquet") == b"somebody's own"


def test_a_bucket_that_is_not_there_is_refused_before_anything_is_read(
    listing: Listing, s3: str
) -> None:
    unread = {"train": Interrupted(listing.splits["train"], 0, AssertionError("was read"))}

    said = refusal(lambda: import_dataset(replace(listing, splits=unread), "s3://nobodys/set"))

    assert "there is no bucket 'nobodys'" in said


def test_an_endpoint_that_goes_away_half_way_is_said_in_one_line(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_support.s3_server() as endpoint:
        s3_support.use(monkeypatch, endpoint)
        s3_support.make_bucket("bucket")
    with pytest.raises(InputError, match="the S3 endpoint does not answer"):
        import_dataset(listing, "s3://bucket/set")


FAILING = """
import os, resource, sys
from heliostat.data.records import Listing, Record
from heliostat.data.writing import import_dataset
from heliostat.spec.problems import InputError

limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
records = [Record(os.urandom(1000), str(i), 0) for i in range(400)]
try:
    import_dataset(
        Listing("folders", "labels", ("a",), {"train": records}), sys.argv[1], shard_bytes=150_000
    )
except InputError as error:
    print(error)
print(os.listdir(os.path.dirname(sys.argv[1])))
"""


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    # The disk, of 256 kB, is mounted in a name space that ends with the process.
    script = f"""
        mount -t tmpfs -o size=256k tmpfs {tmp_path} || exit 77
        exec {sys.executable} -c "$FAILING" {tmp_path}/set 0
    """
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    try:
        done = run(command, FAILING=FAILING)
    except FileNotFoundError:
        pytest.skip("a small disk needs Linux's unshare")
    if done.returncode in (1, 77):
        pytest.skip(f"a small disk needs the right to mount one: {done.stderr}")

    problem = f"uri: {tmp_path / 'set'}: the disk is full; free some space, or choose another"
    assert done.stdout.splitlines() == [problem, "[]"], done.stderr


def test_a_write_that_fails_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", FAILING, str(tmp_path / "set"), "100000"])

    problem = f"uri: {tmp_path / 'set'} cannot be used: File too large"
    assert done.stdout.splitlines() == [problem, "[]"], done.stderr


@pytest.mark.parametrize("label", [None, 10, -1])
def test_a_label_that_no_class_has_is_refused_with_the_samples_name(
    listing: Listing, tmp_path: Path, label: int | None
) -> None:
    records = [*listing.splits["train"][:5], Record(b"", "a/bad.png", label)]

    said = refusal(
        lambda: import_dataset(replace(listing, splits={"train": records}), str(tmp_path / "set"))
    )

    assert f"a/bad.png is of class {label}; a number under 10" in said


def test_an_image_that_went_away_is_named(listing: Listing, tmp_path: Path) -> None:
    gone = replace(listing, splits={"train": [Record(tmp_path / "gone.png", "gone.png", 0)]})

    assert "gone.png does not exist" in refusal(lambda: import_dataset(gone, str(tmp_path / "set")))
    assert not (tmp_path / "set").exists()


def test_a_source_without_samples_is_refused(listing: Listing, tmp_path: Path) -> None:
    empty = replace(listing, splits={"train": []})

    assert "no samples" in refusal(lambda: import_dataset(empty, str(tmp_path / "set")))


def test_progress_ends_with_all_samples(listing: Listing, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    import_dataset(listing, str(tmp_path / "set"), show=lambda *place: seen.append(place))

    assert seen[-1] == (120, 120)
    assert seen == sorted(seen)


def test_the_manifest_is_plain_json(listing: Listing, tmp_path: Path) -> None:
    import_dataset(listing, str(tmp_path / "set"))

    value = json.loads((tmp_path / "set" / NAME).read_text())

    assert value["splits"]["val"]["samples"] == 30


def run(command: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=around)


def refusal(use: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        use()
    assert "\n" not in str(caught.value)
    return str(caught.value)
