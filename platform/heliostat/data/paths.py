"""Paths of the user's: what cannot be read is said in one line."""

from __future__ import annotations

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


def entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folder's (subfolders, files), sorted by name, without hidden ones."""
    with reading(folder):
        found = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        folders = [path for path in found if path.is_dir()]
        return folders, [path for path in found if not path.is_dir()]
