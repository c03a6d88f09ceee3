from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from heliostat.data import Samples, open_source
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source

Png = Callable[[int], bytes]


def write(file: Path, metadata: dict[str, Any] | None = None, **columns: list[Any]) -> Source:
    table = pa.table(columns)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    pq.write_table(table, file)
    return Source(uri=str(file))


def test_bytes_structs_and_paths_all_give_the_same_images(
    png: Png, digits: Samples, tmp_path: Path
) -> None:
    encoded = [png(index) for index in range(9)]
    for index, content in enumerate(encoded):
        (tmp_path / f"{index}.png").write_bytes(content)
    names = [f"{index}.png" for index in range(9)]
    label = list("abcabcabc")
    structs: list[Any] = [{"bytes": e, "path": None} for e in encoded[:5]]
    structs += [{"bytes": None, "path": name} for name in names[5:]]
    for columns in ({"image": structs}, {"image": encoded}, {"bytes": encoded}, {"path": names}):
        samples = open_source(write(tmp_path / "set.parquet", label=label, **columns))
        inputs, targets = samples.read(np.arange(9))
        assert torch.equal(inputs, digits.read(np.arange(9))[0])
        assert [samples.classes[t] for t in targets.tolist()] == label
    assert samples.source(3) == f"{tmp_path}/set.parquet#3"


def test_a_hugging_face_folder_gives_its_splits_and_its_names_of_classes(
    png: Png, tmp_path: Path
) -> None:
    names = {"info": {"features": {"label": {"names": ["zero", "one", "two"]}}}}
    for name, rows in (
        ("train-00000-of-00002", (0, 1)),
        ("train-00001-of-00002", (2,)),
        ("validation-00000-of-00001", (1,)),
    ):
        structs = [{"bytes": png(row), "path": f"{row}.png"} for row in rows]
        write(tmp_path / f"{name}.parquet", names, image=structs, label=list(rows))
    train = open_source(Source(uri=str(tmp_path), split="train"))
    val = open_source(Source(uri=str(tmp_path), split="val"))
    assert (len(train), len(val)) == (3, 1)
    assert train.classes == val.classes == ("zero", "one", "two")
    assert train.source(2) == f"{tmp_path}/train-00001-of-00002.parquet#0"
    assert torch.equal(train.read(np.array([1]))[0], val.read(np.array([0]))[0])


def test_a_mistake_about_parquet_is_one_line(png: Png, tmp_path: Path) -> None:
    image = [png(0)]
    file = tmp_path / "set.parquet"
    for columns, message in (
        ({"x": [1]}, "has no column of images, only x; image | bytes | path"),
        ({"image": image}, "has no labels, only image; label"),
        ({"image": image, "label": [None]}, "set.parquet#0: no label"),
        ({"image": image, "label": [0.5]}, "labels of type double; names, or numbers from 0"),
        ({"image": [b"x"], "label": [0]}, "set.parquet#0 cannot be read as an image"),
        ({"image": [], "label": []}, "holds no rows"),
    ):
        with pytest.raises(InputError) as caught:
            open_source(write(file, **columns))
        assert message in str(caught.value)
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"set.parquet cannot be read"):
        open_source(Source(uri=str(file)))


def test_a_row_without_an_image_is_unreadable_and_not_dropped(png: Png, tmp_path: Path) -> None:
    source = write(tmp_path / "set.parquet", image=[png(0), None, png(2)])
    results = open_source(source, labelled=False).read_each(np.arange(3))
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
