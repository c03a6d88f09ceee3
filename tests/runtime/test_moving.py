from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from heliostat import spec as specs
from heliostat.runtime.cluster.moving import moved, train_file
from heliostat.runtime.cluster.packing import pack
from heliostat.spec import Document, InputError, Spec
from small_specs import TRAIN

OUTSIDE = TRAIN.replace(
    'data: {train: "sklearn:digits", val: "sklearn:digits"}',
    "data: {train: ../images, val: inside/val}",
)


@pytest.fixture
def folder(tmp_path: Path, helio_home: Path) -> Path:
    (tmp_path / "here" / "job" / "inside" / "val").mkdir(parents=True)
    (tmp_path / "here" / "job" / "inside" / "val" / "1.png").touch()
    return tmp_path / "here" / "job"


def document(folder: Path, text: str, *sets: str, name: str = "spec.yaml") -> Document:
    (folder / name).write_text(text)
    return specs.load(folder / name, sets)


def there(document: Document, monkeypatch: pytest.MonkeyPatch) -> tuple[Spec, Path, str]:
    """Return the spec as it is read where its folder has travelled, that place, and the notes."""
    also = train_file(document)
    package = pack(document.folder, document.path, [also] if also else [])
    sets, notes = moved(document, package)
    away = package.root.parent / "far" / "away"
    for file in package.files:
        target = away / file.relative_to(package.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    monkeypatch.chdir(away)
    path = document.path.relative_to(package.root)
    return specs.load(path, sets).spec, away, "\n".join(notes)


def test_what_travels_is_read_there_and_what_does_not_where_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, away, notes = there(document(folder, OUTSIDE), monkeypatch)

    assert spec.data.val.uri == str(away / "inside" / "val")
    assert spec.data.train.uri == str(folder.parent / "images")
    assert notes == (
        f"data.train.uri: {folder.parent / 'images'} does not travel: it must be there, on the"
        " cluster's machines"
    )


def test_uris_and_names_need_nothing(folder: Path) -> None:
    plain = document(folder, TRAIN, "model.weights=models:/digits/3", "epochs=2")
    package = pack(folder, plain.path)
    assert moved(plain, package) == (("model.weights=models:/digits/3", "epochs=2"), ())


def test_data_that_an_ignore_file_keeps_here_is_read_where_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".gitignore").write_text("inside/\n")
    spec, _, notes = there(document(folder, OUTSIDE), monkeypatch)
    assert spec.data.val.uri == str(folder / "inside" / "val")
    assert "data.val.uri" in notes


def test_a_path_that_was_set_relative_to_the_working_directory_means_the_same_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    given = document(folder, TRAIN, "data.train=job/inside/val", "data.val={uri: pictures x}")
    spec, away, _ = there(given, monkeypatch)
    assert spec.data.train.uri == str(away / "inside" / "val")
    assert spec.data.val.uri == str(folder.parent / "pictures x")


def test_what_a_prediction_writes_has_the_path_that_it_would_have_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "kind: predict\nname: p\nmodel: models:/d/1\ninput: inside/val\noutput: out.parquet\n"
    spec, away, notes = there(document(folder, text), monkeypatch)
    assert spec.output == str(folder / "out.parquet")
    assert spec.input.uri == str(away / "inside" / "val")
    assert "output:" in notes


TUNE = """\
kind: tune
name: s
train: ../other/base.yaml
search:
  data.train.uri: {choice: [../a, inside/val]}
trials: 2
"""


def test_a_train_spec_outside_the_folder_travels_with_the_search(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "other").mkdir()
    base = TRAIN.replace('train: "sklearn:digits"', "train: images")
    (folder.parent / "other" / "base.yaml").write_text(base)

    spec, away, _ = there(document(folder, TUNE), monkeypatch)

    assert spec.train.data.train.uri == str(folder.parent / "other" / "images")
    values = spec.search["data.train.uri"].values
    assert values == (str(folder.parent / "a"), str(away / "job" / "inside" / "val"))


def test_a_train_spec_that_is_set_travels_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "base.yaml").write_text(TRAIN.replace("epochs: 9", "epochs: 3"))
    (folder / "small.yaml").write_text(TRAIN)
    monkeypatch.chdir(folder.parent)
    text = TUNE.replace("../other/base.yaml", "small.yaml")
    text = text.replace("data.train.uri: {choice: [../a, inside/val]}", "seed: {choice: [1, 2]}")

    spec, _, _ = there(document(folder, text, "train=base.yaml"), monkeypatch)

    assert spec.train.epochs == 3


def test_an_absolute_train_spec_outside_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "base.yaml").write_text(TRAIN)
    text = TUNE.replace("../other/base.yaml", str(folder.parent / "base.yaml"))
    text = text.replace("data.train.uri: {choice: [../a, inside/val]}", "seed: {choice: [1, 2]}")
    with pytest.raises(InputError, match="a relative path: the file travels then"):
        train_file(document(folder, text))


@pytest.mark.parametrize("name", ["a b", "12", "1e3", "it's: #1", "é.png", "true"])
def test_a_path_of_any_name_is_text_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / name).mkdir()
    (folder / name / "1.png").touch()
    monkeypatch.chdir(folder)
    spec, away, _ = there(
        document(folder, TRAIN, f"data.train.uri={os.path.abspath(name)!r}")
        if "'" not in name
        else document(folder, TRAIN, f'data.train.uri="{os.path.abspath(name)}"'),
        monkeypatch,
    )
    assert spec.data.train.uri == str(away / name)
