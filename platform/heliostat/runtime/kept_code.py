"""The code of a job that was submitted: Ray has it in a cache, and `resume` may need it later."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_CODE = "code"
"""Where the copy is, in the job's folder."""


def keep(code: Path, job_folder: Path) -> None:
    """Copy the spec's folder `code` into a submitted job's folder; another's stays where it is."""
    if not os.environ.get("HELIO_JOB_ID"):
        return
    around = {parent.resolve() for parent in job_folder.parents}

    def ignored(folder: str, names: list[str]) -> set[str]:
        # HELIO_HOME, where it lies in the spec's folder, would be copied into itself.
        homes = {name for name in names if Path(folder, name).resolve() in around}
        return homes | ({"__pycache__"} & set(names))

    shutil.copytree(code, job_folder / _CODE, ignore=ignored, dirs_exist_ok=True)


def copy_of(job_folder: Path) -> Path | None:
    """Return the copy in a job's folder; None for a job that was not submitted."""
    copy = job_folder / _CODE
    return copy if copy.is_dir() else None


def restore(code: Path, job_folder: Path) -> None:
    """Put the copy where the job's paths lead to, if that folder is no longer there."""
    copy = copy_of(job_folder)
    if copy is not None and not code.exists():
        shutil.copytree(copy, code)
