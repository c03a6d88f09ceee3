"""What of a folder travels to a cluster: by Ray's own rules, and said before it is sent."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from heliostat.runtime.home import home
from heliostat.spec import InputError

LIMIT = 100 * 2**20
"""Bytes. Ray's dashboard takes no larger request."""

NEVER = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"}
)
"""Ray's own list and more like it: what a machine makes for itself, by its name."""

NAMED = 3

_IGNORE_FILES = (".gitignore", ".rayignore")

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive, so that the same files are the same archive."""

_Rule = Callable[[Path], bool]

_SILENT = logging.Logger("heliostat.packing", logging.CRITICAL)


@dataclass(frozen=True)
class Package:
    """The files that travel."""

    root: Path
    """What becomes the job's working directory."""
    files: tuple[Path, ...]
    """Absolute, below `root`: files, and folders that are empty."""
    size: int
    """Bytes of all files."""
    left_out: tuple[tuple[str, int, int], ...] = ()
    """(name, files, bytes) of what stays here, by its top-level name, the largest first."""

    @property
    def left_out_said(self) -> str:
        """What stays here, as a person reads it; empty where all travels."""
        if not self.left_out:
            return ""
        count = sum(files for _, files, _ in self.left_out)
        named = ", ".join(f"{name} {_size(size)}" for name, _, size in self.left_out[:NAMED])
        more = ", …" if len(self.left_out) > NAMED else ""
        return f"{count:,} {'file stays' if count == 1 else 'files stay'} here: {named}{more}"

    def holds(self, path: Path) -> bool:
        """Whether the file, or something of the folder, travels."""
        return any(file == path or path in file.parents for file in self.files)

    def archive(self) -> bytes:
        """Return the ZIP archive of it, which is the same for the same files."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for file in self.files:
                name = file.relative_to(self.root).as_posix()
                if file.is_dir():
                    archive.writestr(zipfile.ZipInfo(f"{name}/", _EPOCH), b"")
                    continue
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (file.stat().st_mode & 0xFFFF) << 16
                archive.writestr(entry, file.read_bytes())
        return content.getvalue()


def pack(folder: Path, spec: Path, also: Sequence[Path] = ()) -> Package:
    """Return what travels of `folder`, which holds the file `spec`, and the files `also`.

    `.gitignore` and `.rayignore` count as they do for Ray, links are followed, and environments,
    caches, checkouts and HELIO_HOME never travel. Raises InputError for more than 100 MiB, for
    what cannot be read, and where the spec itself would stay here.
    """
    walk = _Walk(folder)
    if folder.resolve() == walk.home:
        raise InputError.of(
            f"{folder} is HELIO_HOME, whose secrets would travel", valid="the spec in another"
        )
    try:
        walk.into(folder, [], ())
        size = sum(file.stat().st_size for file in {*walk.files, *also} if file.is_file())
    except OSError as error:
        raise InputError.of(
            f"{error.filename} can't be read, and travels with the spec: {error.strerror}",
            valid="name it in .rayignore",
        ) from error
    files = sorted({*walk.files, *also})
    for needed in (spec, *also):
        if needed not in files or needed in walk.left_out:
            raise InputError.of(
                f"{needed} would not travel: an ignore file of {folder} names it",
                valid="take it out of .gitignore or .rayignore",
            )
    if size > LIMIT:
        raise _too_large(folder, walk.files, size)
    root = Path(os.path.commonpath([folder, *(file.parent for file in also)]))
    return Package(root, tuple(files), size, _by_name(folder, walk.left_out))


def uri_of(archive: bytes) -> str:
    """Return the name under which Ray keeps an archive: its content's."""
    return f"gcs://_ray_pkg_{hashlib.sha1(archive, usedforsecurity=False).hexdigest()}.zip"


class _Walk:
    """Goes through a folder as Ray does when it packs one, and keeps what it left out."""

    def __init__(self, folder: Path) -> None:
        self.files: list[Path] = []
        self.left_out: list[Path] = []
        self._folder = folder
        self.home = home().resolve()

    def into(self, path: Path, rules: Sequence[_Rule], above: tuple[Path, ...]) -> None:
        """Take in `path`, by the rules of the ignore files above it and its own."""
        is_folder = path.is_dir()
        if is_folder and any((path / name).is_file() for name in _IGNORE_FILES):
            rules = [*rules, *_rays_rules(path)]
        if path != self._folder and (self._never(path, above) or any(rule(path) for rule in rules)):
            self.left_out.append(path)
        elif is_folder:
            inside = sorted(path.iterdir())
            for one in inside:
                self.into(one, rules, (*above, path.resolve()))
            if not inside:
                self.files.append(path)
        else:
            self.files.append(path)

    def _never(self, path: Path, above: tuple[Path, ...]) -> bool:
        if path.name in NEVER or not (path.is_dir() or path.is_file()):  # a socket, a dead link
            return True
        if not path.is_dir():
            return False
        real = path.resolve()
        # A link to a folder that it is in has no end; a virtual environment has any name.
        return real in above or real == self.home or (path / "pyvenv.cfg").exists()


def _rays_rules(folder: Path) -> list[_Rule]:
    # Importing Ray takes longer than all else that a submission does.
    from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

    return list(get_excludes_from_ignore_files(folder, include_gitignore=True, logger=_SILENT))


def _by_name(folder: Path, left_out: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path in left_out:
        name = path.relative_to(folder).parts[0]
        count, size = _weigh(path)
        files[name] += count
        sizes[name] += size
    found = [(name, files[name], sizes[name]) for name in files if files[name]]
    return tuple(sorted(found, key=lambda one: (-one[2], one[0])))


def _weigh(path: Path) -> tuple[int, int]:
    """Return how many files there are at `path`, and their bytes; links count for nothing."""
    if not path.is_dir() or path.is_symlink():
        return 1, path.lstat().st_size
    sizes = [
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(path)
        for name in names
    ]
    return len(sizes), sum(sizes)


def _too_large(folder: Path, files: Sequence[Path], size: int) -> InputError:
    sizes: Counter[str] = Counter()
    for file in files:
        sizes[file.relative_to(folder).parts[0]] += file.stat().st_size
    largest = ", ".join(f"{name} {_size(each)}" for name, each in sizes.most_common(NAMED))
    return InputError.of(
        f"{folder} has {_size(size)}, which travel with the spec ({largest});"
        f" a cluster takes {_size(LIMIT)}",
        valid="move data out of the spec's folder, or name it in .rayignore",
    )


def _size(count: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count //= 1024
    return f"{count} GiB"
