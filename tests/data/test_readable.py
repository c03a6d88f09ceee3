from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heliostat.data import Samples, align_classes, open_source
from heliostat.data.formats import open_listing
from heliostat.data.records import Listing, Objects, Record
from heliostat.data.shards import cache_folder
from heliostat.data.writing import import_dataset
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source

Png = Callable[[int], bytes]


@pytest.fixture
def broken(class_folder: Path, helio_home: Path) -> list[Path]:
    """Three of the 40 digits of `class_folder`'s train split: cut short, empty, and no image."""
    files = sorted(class_folder.rglob("train/*/*.png"))
    chosen = [files[3], files[17], files[39]]
    chosen[0].write_bytes(chosen[0].read_bytes()[:70])
    chosen[1].write_bytes(b"")
    chosen[2].write_bytes(b"no image")
    return chosen


def opened(root: Path, split: str = "train", **settings: Any) -> Samples:
    return open_source(Source(uri=str(root), split=split), on_error="skip", **settings)


@pytest.mark.parametrize("way", ["folder", "data set"])
def test_samples_that_cannot_be_decoded_are_left_out_and_listed(
    way: str, broken: list[Path], class_folder: Path, tmp_path: Path
) -> None:
    root = class_folder
    if way == "data set":
        root = tmp_path / "set"
        import_dataset(open_listing(class_folder), str(root), shard_bytes=1500)
    samples = opened(root)
    assert len(samples) == 37
    assert samples.labels is not None
    inputs, targets = samples.read(np.arange(37))
    assert inputs.shape == (37, 1, 8, 8)
    assert targets.tolist() == samples.labels.tolist()
    assert len(samples.skipped) == 3
    for file, (source, reason) in zip(broken, samples.skipped, strict=True):
        assert source == str(file) or way == "data set"
        assert reason
        assert source not in reason
    assert align_classes(samples, samples.classes[::-1]).skipped == samples.skipped
    # Found once: what is remembered is the same, also by another process.
    assert opened(root).skipped == samples.skipped
    assert len(list((cache_folder().parent / "readable").glob("*.json"))) == 1


def test_slices_share_no_sample_and_lose_only_what_is_broken_in_them(
    broken: list[Path], class_folder: Path
) -> None:
    parts = [opened(class_folder, split) for split in ("train[:50%]", "train[50%:]")]
    names = [{part.source(i) for i in range(len(part))} for part in parts]
    skipped = [{source for source, _ in part.skipped} for part in parts]
    assert not names[0] & names[1]
    assert [len(a) + len(b) for a, b in zip(names, skipped, strict=True)] == [20, 20]
    assert skipped[0] | skipped[1] == {str(path) for path in broken}


def test_an_annotation_that_cannot_be_read_is_left_out_with_its_image(
    png: Png, helio_home: Path, tmp_path: Path
) -> None:
    mask = png(0)
    records = [
        Record(png(0), "0.png", mask=mask),
        Record(png(1), "1.png", mask=b"x"),
        Record(b"x", "2.png", mask=mask),
        Record(png(3), "3.png", mask=mask),
    ]
    import_dataset(Listing("made", "masks", ("a",), {"train": records}), str(tmp_path / "set"))
    samples = opened(tmp_path / "set")
    assert [samples.source(i)[-6:] for i in range(len(samples))] == ["#0.png", "#3.png"]
    assert [source[-6:] for source, _ in samples.skipped] == ["#1.png", "#2.png"]
    assert samples.skipped[0][1].startswith("its annotation cannot be read: cannot identify")


def test_a_shard_that_is_not_there_is_no_broken_sample(
    png: Png, helio_home: Path, tmp_path: Path
) -> None:
    nothing = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    records = [Record(png(n), f"{n}.png", objects=nothing) for n in range(3)]
    listing = Listing("made", "objects", ("a",), {"train": records})
    import_dataset(listing, str(tmp_path / "set"))
    (tmp_path / "set" / "train" / "00000.parquet").unlink()
    for labelled in (True, False):
        with pytest.raises(InputError, match=r"^uri: .*00000.parquet does not exist$"):
            opened(tmp_path / "set", labelled=labelled, image_size=(8, 8))


def test_a_set_of_which_nothing_can_be_read_is_refused(
    class_folder: Path, helio_home: Path
) -> None:
    for file in class_folder.rglob("train/*/*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^uri: none of 40 samples can be read; .*\.png: "):
        opened(class_folder, image_size=(8, 8), channels=1)


def test_a_dataset_of_the_users_own_decides_itself_what_to_do() -> None:
    with pytest.raises(InputError, match=r"^dataset: data.on_error does not apply to a dataset of"):
        open_source(Source(dataset="some.module:Class"), on_error="skip")
