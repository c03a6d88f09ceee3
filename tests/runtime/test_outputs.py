"""A model's outputs as rows: in the source's pixels, and by the names of its classes."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from heliostat.runtime.outputs import Given, kind_of
from heliostat.runtime.predictions import schema
from heliostat.runtime.registered_model import LocalModel


def model(task: str, **changes: Any) -> LocalModel:
    facts: dict[str, Any] = {
        "uri": "models:/m/1",
        "name": "m",
        "version": 1,
        "run_id": "0af3",
        "folder": "",
        "classes": ("cat", "dog"),
        "shape": (3, 8, 8),
        "dtype": "uint8",
        "task": task,
        "task_args": {},
    }
    return LocalModel(**{**facts, **changes})


IMAGE = Given(torch.zeros(3, 8, 8, dtype=torch.uint8), (16, 32))


def row(task: str, output: Any, given: Given = IMAGE, **changes: Any) -> dict[str, Any]:
    """Return one row as it is read back from the file's columns."""
    asked = model(task, **changes)
    kind = kind_of(asked)
    made = kind.row(output, given, asked)
    assert list(made) == [field.name for field in kind.fields]
    columns = {name: [value] for name, value in made.items()}
    table = pa.Table.from_pydict(columns, schema=pa.schema(kind.fields))
    read: dict[str, Any] = table.to_pylist()[0]
    return read


def png(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_boxes_found_in_a_resized_image_are_in_the_sources_pixels() -> None:
    found = {
        "boxes": np.array([[1, 2, 4, 8]], np.float32),
        "scores": np.array([0.5], np.float32),
        "labels": np.array([1]),
    }
    made = row("detection", found)
    assert (made["width"], made["height"]) == (32, 16)
    assert made["objects"] == [{"box": [4, 4, 16, 16], "score": 0.5, "label": "dog"}]


def test_an_image_in_which_nothing_is_found_has_an_empty_list() -> None:
    nothing = {"boxes": np.zeros((0, 4)), "scores": np.zeros(0), "labels": np.zeros(0, np.int64)}
    assert row("detection", nothing)["objects"] == []


def test_a_mask_is_as_large_as_its_source() -> None:
    output = torch.arange(64, dtype=torch.uint8).reshape(8, 8)
    mask = png(row("segmentation", output)["mask"])
    assert mask.shape == (16, 32)
    assert np.array_equal(mask[::2, ::4], output.numpy())


def test_a_generated_image_comes_with_its_seed_and_the_class_that_was_asked_for() -> None:
    output = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    made = row("generation", output, Given(torch.tensor([7, 1]), None))
    assert (made["seed"], made["label"]) == (7, "dog")
    assert np.array_equal(png(made["image"]), output.permute(1, 2, 0).numpy())
    assert row("generation", output, Given(torch.tensor([7]), None))["label"] is None


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_translated_image_keeps_its_channels(channels: int, mode: str) -> None:
    output = torch.zeros(channels, 8, 8, dtype=torch.uint8)
    assert Image.open(io.BytesIO(row("translation", output)["image"])).mode == mode


def test_the_values_of_masks_with_a_background_are_named_with_it() -> None:
    named = schema(model("segmentation", task_args={"background": True}), "job").metadata
    assert json.loads(named[b"heliostat.classes"]) == ["background", "cat", "dog"]
    named = schema(model("segmentation"), "job").metadata
    assert json.loads(named[b"heliostat.classes"]) == ["cat", "dog"]
