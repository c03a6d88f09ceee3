"""Paths of the user's: what cannot be read is said in one line."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heliostat.spec.problems import InputError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError or a broken content (ValueError, EOFError) met inside into InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError.of(f"{error.filename or path} does not exist", key=("uri",)) from error
    except PermissionError as error:
        missing = f"no permission to read {error.filename or path}"
        raise InputError.of(missing, key=("uri",)) from error
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError.of(f"{path} cannot be read: {one_line(error)}", key=("uri",)) from error


def one_line(error: Exception) -> str:
    """Return an exception's text without its line breaks."""
    return " ".join(str(error).split())


def entries(folder: Path, *endings: str) -> tuple[list[Path], list[Path]]:
    """Return the folder's (subfolders, files), sorted by name, without hidden ones.

    With endings, in small letters, only those files whose names end in one of them.
    """
    folders, files = _names(folder)
    if endings:
        files = [name for name in files if name.lower().endswith(endings)]
    return [folder / name for name in folders], [folder / name for name in files]


def subfolders(folder: Path) -> list[Path]:
    """Return the folder's subfolders, sorted by name, without hidden ones."""
    return [folder / name for name in _names(folder)[0]]


def _names(folder: Path) -> tuple[list[str], list[str]]:
    # scandir knows what is a folder without a call for each, and names sort faster than paths.
    with reading(folder), os.scandir(folder) as every:
        seen = [(entry.name, entry.is_dir()) for entry in every if entry.name[0] != "."]
    seen.sort()
    return [name for name, is_dir in seen if is_dir], [name for name, is_dir in seen if not is_dir]
