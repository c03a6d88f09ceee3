from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from heliostat.runtime.cluster.packing import LIMIT, Package, pack, uri_of
from heliostat.spec import InputError


@pytest.fixture
def folder(tmp_path: Path, helio_home: Path) -> Path:
    """A spec's folder, with what a person has beside a spec."""
    folder = tmp_path / "job"
    write(folder / "train.yaml", "kind: train\n")
    write(folder / "model.py", "x = 1\n")
    write(folder / "sub" / "more.py", "y = 2\n")
    return folder


def write(path: Path, text: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(package: Package) -> set[str]:
    return {str(file.relative_to(package.root)) for file in package.files}


def packed(folder: Path) -> Package:
    return pack(folder, folder / "train.yaml")


def test_what_travels_is_what_ray_itself_would_pack(folder: Path, tmp_path: Path) -> None:
    write(folder / ".gitignore", "*.log\n/data/\n!keep.log\n")
    write(folder / "sub" / ".rayignore", "big*\n")
    for name in ("a.log", "keep.log", "data/x.png", "sub/data/y.png", "sub/big.bin", "sub/z"):
        write(folder / name)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(folder / "model.py")
    (folder / "linked").symlink_to(folder / "sub")

    create_package(str(folder), tmp_path / "rays.zip", include_gitignore=True)

    with zipfile.ZipFile(tmp_path / "rays.zip") as archive:
        theirs = {name.rstrip("/") for name in archive.namelist()}
    assert names(packed(folder)) == theirs
    assert {"keep.log", "sub/data/y.png", "link", "linked/more.py", "empty"} <= theirs


def test_environments_caches_checkouts_and_helio_home_stay_and_are_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / ".venv" / "lib" / "torch.so", "x" * 5000)
    write(folder / "env" / "pyvenv.cfg")
    write(folder / "__pycache__" / "model.pyc")
    write(folder / ".git" / "HEAD")
    monkeypatch.setenv("HELIO_HOME", str(folder / "state"))
    write(folder / "state" / "ray-token", "secret")

    package = packed(folder)

    assert names(package) == {"train.yaml", "model.py", "sub/more.py"}
    assert package.left_out[0] == (".venv", 1, 5000)
    assert package.left_out_said.startswith("5 files stay here: .venv 4 KiB, ")
    assert package.left_out_said.endswith(", …")


def test_a_link_to_a_folder_that_it_is_in_and_a_socket_stay(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "missing")
    os.mkfifo(folder / "pipe")

    assert names(packed(folder)) == {"train.yaml", "model.py", "sub/more.py"}


def test_the_same_files_are_the_same_archive_whenever_they_were_written(folder: Path) -> None:
    before = uri_of(packed(folder).archive())
    os.utime(folder / "model.py", (1, 1))
    assert uri_of(packed(folder).archive()) == before
    write(folder / "model.py", "x = 2\n")
    assert uri_of(packed(folder).archive()) != before


def test_the_archive_holds_what_the_files_hold(folder: Path) -> None:
    os.chmod(folder / "model.py", 0o755)
    with zipfile.ZipFile(io.BytesIO(packed(folder).archive())) as archive:
        assert archive.read("sub/more.py") == b"y = 2\n"
        assert archive.getinfo("model.py").external_attr >> 16 & 0o777 == 0o755


def test_a_folder_that_is_too_large_is_refused_with_what_is_large_in_it(folder: Path) -> None:
    with (folder / "images.bin").open("wb") as file:
        file.truncate(LIMIT)
    with pytest.raises(InputError, match=r"100 MiB.*\(images\.bin 100 MiB, .*rayignore"):
        packed(folder)


def test_a_spec_that_an_ignore_file_names_is_refused(folder: Path) -> None:
    write(folder / ".gitignore", "*.yaml\n")
    with pytest.raises(InputError, match=r"train\.yaml would not travel: an ignore file"):
        packed(folder)


def test_a_spec_in_helio_home_is_refused_since_secrets_would_travel(helio_home: Path) -> None:
    write(helio_home / "train.yaml")
    with pytest.raises(InputError, match="is HELIO_HOME"):
        packed(helio_home)


def test_a_file_from_elsewhere_travels_below_the_folder_that_both_are_in(
    folder: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other" / "base.yaml")
    write(tmp_path / "other" / "unrelated.bin")

    package = pack(folder, folder / "train.yaml", [other])

    assert package.root == tmp_path
    assert names(package) == {
        *("job/train.yaml", "job/model.py", "job/sub/more.py", "other/base.yaml")
    }
