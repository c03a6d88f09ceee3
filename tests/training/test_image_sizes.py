"""Real membranes of differing sizes, given to a task whose batches need one size."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from heliostat.spec import Document, InputError

Train = Callable[..., dict[str, float]]

SPEC = """\
kind: train
name: membranes
task: segmentation
model: {name: unet, args: {base: 4, depth: 2}}
data:
  train: {uri: set, split: train}
  val: {uri: set, split: val}
batch_size: 4
optimizer: {name: sgd, lr: 0.01}
max_steps: 1
"""

Membranes = Callable[..., Document]
Sizes = Sequence[tuple[int, int]]


@pytest.fixture
def membranes(shared_data: Path, tmp_path: Path, load: Callable[..., Document]) -> Membranes:
    """Write real images and masks cut to sizes (height, width), and a job that learns them."""

    def written(*overrides: str, train: Sizes, val: Sizes) -> Document:
        source = shared_data / "isbi-em-membrane" / "data" / "membrane" / "train"
        for split, sizes in (("train", train), ("val", val)):
            for number, (height, width) in enumerate(sizes):
                for kind, folder in (("image", "images"), ("label", "masks")):
                    path = tmp_path / "set" / folder / split / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with Image.open(source / kind / f"{number}.png") as image:
                        image.crop((0, 0, width, height)).save(path)
        (tmp_path / "train.yaml").write_text(SPEC)
        return load(tmp_path / "train.yaml", *overrides)

    return written


ALIKE = [(48, 48)] * 4


@pytest.mark.parametrize(
    ("train", "val", "line"),
    [
        ([(48, 48), (48, 40), (48, 48)], ALIKE, "train/1.png is 48x40, .*train/0.png is 48x48 "),
        ([*ALIKE[:3], (32, 48)], ALIKE, r"train/\d.png is \d\dx48, .*train/\d.png is \d\dx48 "),
        (ALIKE, [*ALIKE[:3], (32, 48)], r"val/3.png is 32x48, .*val/0.png is 48x48 "),
    ],
    ids=["the first two", "a later one", "one of val"],
)
def test_images_that_differ_in_size_are_named_in_a_line_that_says_what_to_set(
    train: Sizes,
    val: Sizes,
    line: str,
    membranes: Membranes,
    train_here: Train,
    tmp_path: Path,
) -> None:
    document = membranes(train=train, val=val)
    with pytest.raises(InputError) as refusal:
        train_here(document, tmp_path / "job")
    (said,) = map(str, document.locate(refusal.value).problems)
    assert "\n" not in said
    pattern = rf"train\.yaml:\d+: data\.image_size: \S+/{line}.*; set data\.image_size: \[height"
    assert re.search(pattern, said), said


def test_images_that_differ_in_size_are_learnt_with_an_image_size(
    membranes: Membranes, train_here: Train, tmp_path: Path
) -> None:
    sizes = [(48, 48), (40, 48), (48, 32), (36, 36)]
    metrics = train_here(membranes("data.image_size=32", train=sizes, val=sizes), tmp_path / "job")
    assert metrics["val/seen"] == 4
