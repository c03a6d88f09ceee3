from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliostat.data import Samples, align_classes, check_shapes, open_source, statistics
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source


def test_a_split_that_lacks_classes_is_numbered_as_training_is(class_folder: Path) -> None:
    for file in (class_folder / "val" / "digit-0").iterdir():
        file.unlink()
    (class_folder / "val" / "digit-0").rmdir()
    train = open_source(Source(uri=str(class_folder), split="train"))
    val = align_classes(open_source(Source(uri=str(class_folder), split="val")), train.classes)
    assert val.classes == train.classes
    assert val.labels is not None
    _, targets = val.read(np.arange(len(val)))
    for index, target in enumerate(targets.tolist()):
        assert train.classes[target] == Path(val.source(index)).parent.name
        assert target == val.labels[index]


def test_a_class_unknown_in_training_is_named(class_folder: Path) -> None:
    (class_folder / "val" / "digit-1").rename(class_folder / "val" / "digit-one")
    train, val = (
        open_source(Source(uri=str(class_folder), split=split)) for split in ("train", "val")
    )
    with pytest.raises(InputError, match=r"^data.val: class digit-one unknown in training; digit"):
        align_classes(val, train.classes, key=("data", "val"))


def test_splits_of_different_shapes_are_refused(class_folder: Path, digits: Samples) -> None:
    source = Source(uri=str(class_folder), split="val")
    check_shapes(digits, open_source(source))
    with pytest.raises(InputError, match=r"images of 8x8 with 3 channels, .*; set data.channels"):
        check_shapes(digits, open_source(source, channels=3))
    with pytest.raises(InputError, match=r"images of 9x9 with 1 channel, .*; set data.image_size"):
        check_shapes(digits, open_source(source, image_size=(9, 9)))


def test_statistics_are_those_of_the_pixels_on_a_scale_of_one(digits: Samples) -> None:
    pixels = digits.read(np.arange(len(digits)))[0].double().numpy() / 255
    found = statistics(digits, seed=0)
    assert found is not None
    assert found.mean == pytest.approx([pixels.mean()])
    assert found.std == pytest.approx([pixels.std()])


def test_slices_that_do_not_overlap_share_no_sample_and_are_mixed() -> None:
    parts = [
        open_source(Source(uri="sklearn:digits", split=split))
        for split in ("all[:70%]", "all[70%:85%]", "train[85%:]")
    ]
    rows = [part.source(i) for part in parts for i in range(len(part))]
    assert len(rows) == len(set(rows)) == 1797
    assert rows[:2] == ["sklearn:digits#1121", "sklearn:digits#420"]  # and so for ever
