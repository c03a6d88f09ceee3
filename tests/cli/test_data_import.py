"""`helio data import`, over real files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve small images of two classes, eight of them to train on."""
    for number in range(12):
        split, name = ("train" if number < 8 else "val"), ("cats" if number % 2 else "dogs")
        folder = tmp_path / "photos" / split / name
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.full((6, 5, 3), number * 20, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_a_folder_becomes_a_dataset_and_the_answer_sums_it_up(
    helio, photos: Path, tmp_path: Path
) -> None:
    done = helio("data", "import", str(photos), str(tmp_path / "set"), "--json")

    assert done.status == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer.pop("seconds") > 0
    assert answer.pop("bytes") == sum(
        path.stat().st_size for path in (tmp_path / "set").glob("*/*.parquet")
    )
    manifest = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert answer == {
        "dataset": str(tmp_path / "set"),
        "format": manifest["format"],
        "kind": "labels",
        "classes": ["cats", "dogs"],
        "splits": {"train": 8, "val": 4},
        "shards": 2,
        "fingerprint": manifest["fingerprint"],
    }


def test_a_person_reads_lines_and_progress_goes_to_stderr(
    helio, photos: Path, tmp_path: Path
) -> None:
    done = helio("data", "import", str(photos), str(tmp_path / "set"))

    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["split", "samples"],
        ["train", "8"],
        ["val", "4"],
    ]
    assert "2 classes" in lines[3]
    assert lines[-1] == f"{tmp_path / 'set'} is ready"
    assert "importing: " in done.stderr


def test_a_second_import_needs_replace(helio, photos: Path, tmp_path: Path) -> None:
    argv = ("data", "import", str(photos), str(tmp_path / "set"))
    assert helio(*argv).status == 0

    refused = helio(*argv)

    assert (refused.status, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[-1] == (
        f"{tmp_path / 'set'} already holds a data set; --replace, or another"
    )
    assert helio(*argv, "--replace").status == 0


@pytest.mark.parametrize(
    ("source", "options", "complaint"),
    [
        ("nowhere", (), "does not exist"),
        ("photos", ("--format", "no-such-format"), "no-such-format"),
    ],
)
def test_a_wrong_source_is_one_line_and_status_2(
    helio, photos: Path, tmp_path: Path, source: str, options: tuple[str, ...], complaint: str
) -> None:
    done = helio("data", "import", str(tmp_path / source), str(tmp_path / "set"), *options)

    assert (done.status, done.stdout) == (2, "")
    assert complaint in done.stderr.splitlines()[-1]
    assert not (tmp_path / "set").exists()


def test_helio_data_alone_shows_its_commands(helio) -> None:
    assert "import" in helio("data", "--help").stdout
    assert helio("data").stdout.rstrip("\n") == helio("data", "--help").stdout.rstrip("\n")
