from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Twelve pictures of two classes, nothing wrong with them."""
    for number in range(12):
        folder = tmp_path / "pets" / ("train", "val")[number // 8] / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    return tmp_path / "pets"


def test_what_breaks_training_is_listed_and_exits_1(helio, shared_data: Path) -> None:
    said = helio("data", "check", str(shared_data / "bccd" / "BCCD"), "--split", "val")

    assert said.status == 1
    lines = [line.split() for line in said.stdout.splitlines()]
    assert lines[0] == ["kind", "split", "sample", "message"]
    assert lines[1][:3] == ["empty_box", "val", "JPEGImages/BloodImage_00338.jpg"]
    assert lines[2][:2] == ["imbalance", "val"]
    assert lines[4:8] == [["class", "val"], ["Platelets", "83"], ["RBC", "968"], ["WBC", "87"]]
    assert said.stdout.endswith("\nval 87 samples: 1 empty_box, 1 imbalance\n")


def test_where_nothing_is_wrong_it_says_so_and_exits_0(helio, pets: Path) -> None:
    said = helio("data", "check", str(pets))

    assert said.status == 0
    assert said.stdout.splitlines() == [
        "class  train  val",
        "cat    4      2",
        "dog    4      2",
        "",
        "train 8, val 4 samples: nothing is wrong",
    ]


def test_json_is_one_document_with_a_row_a_finding(helio, pets: Path) -> None:
    copy = pets / "val" / "dog" / "copy.png"
    copy.write_bytes((pets / "train" / "cat" / "0.png").read_bytes())
    said = helio("data", "check", str(pets), "--json")

    assert said.status == 1
    assert json.loads(said.stdout) == {
        "uri": str(pets),
        "format": "image_folder",
        "kind": "labels",
        "samples": {"train": 8, "val": 5},
        "classes": {"train": {"cat": 4, "dog": 4}, "val": {"cat": 2, "dog": 3}},
        "findings": [
            {
                "kind": "leakage",
                "split": "val",
                "sample": "val/dog/copy.png",
                "message": "the same pixels as train train/cat/0.png",
            }
        ],
        "counts": {"leakage": 1},
    }


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["check", "nowhere"], "nowhere does not exist"),
        (["check", "pets", "--format", "coko"], "unknown format 'coko'; did you mean coco?"),
        (["check", "pets", "--split", "test"], "no split 'test' here; train | val"),
        (["show", "pets", "--split", "test"], "no split 'test' here; train | val"),
        (["show", "pets", "--out", "pets"], "pets cannot be written: Is a directory"),
    ],
)
def test_bad_input_is_one_line_and_exits_2(
    helio, pets: Path, argv: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pets.parent)
    said = helio("data", *argv)

    assert said.status == 2
    assert said.stdout == ""
    assert said.stderr.startswith(complaint)
    assert said.stderr.count("\n") == 1
    assert not list(Path.cwd().glob("*.png"))


def test_show_writes_a_picture_of_the_first_split_and_says_where(
    helio, pets: Path, tmp_path: Path
) -> None:
    out = tmp_path / "look.png"
    said = helio("data", "show", str(pets), "--count", "6", "--out", str(out))

    assert (said.status, said.stdout) == (0, f"{out}: 6 of 8 samples of train\n")
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"

    said = helio("data", "show", str(pets), "--split", "val", "--out", str(out), "--json")
    assert json.loads(said.stdout) == {
        "uri": str(pets),
        "format": "image_folder",
        "kind": "labels",
        "split": "val",
        "samples": 4,
        "shown": 4,
        "path": str(out),
    }
