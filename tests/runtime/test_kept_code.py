"""The copy of a submitted job's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliostat.runtime.kept_code import copy_of, keep, restore


def test_a_home_in_the_specs_folder_is_not_copied_into_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIO_JOB_ID", "job-1")
    code = tmp_path / "code"
    job_folder = code / "home" / "jobs" / "job-1"
    job_folder.mkdir(parents=True)
    (code / "model.py").write_text("width = 3\n")
    keep(code, job_folder)
    copy = copy_of(job_folder)
    assert copy is not None
    assert [path.name for path in copy.iterdir()] == ["model.py"]


def test_a_folder_that_has_gone_comes_back_from_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIO_JOB_ID", "job-1")
    code, job_folder = tmp_path / "code", tmp_path / "home" / "jobs" / "job-1"
    (code / "package").mkdir(parents=True)
    job_folder.mkdir(parents=True)
    (code / "package" / "model.py").write_text("width = 3\n")
    keep(code, job_folder)
    code.rename(tmp_path / "elsewhere")
    restore(code, job_folder)
    assert (code / "package" / "model.py").read_text() == "width = 3\n"
