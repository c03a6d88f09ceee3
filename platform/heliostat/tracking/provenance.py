"""Where a run's code came from: git and the installed packages. Imports no mlflow."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

DIFF_BYTES = 1 << 20  # a larger diff is cut: it is there to explain, not to restore
_SECONDS = 20.0
_TOLD = ("torch", "torchvision", "ray", "mlflow", "heliostat")


@dataclass(frozen=True)
class Git:
    """The state of a checkout."""

    commit: str
    branch: str | None
    """None when the head is detached."""
    dirty: bool
    diff: str
    """The changes since the commit, with a line for each untracked file; at most 1 MiB."""


def git(folder: Path) -> Git | None:
    """Return the state of the checkout that holds `folder`; None outside one, or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    branch = _git(folder, "symbolic-ref", "--short", "-q", "HEAD")
    changed = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff") or ""
    untracked = (
        _git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", ":/") or ""
    )
    notes = "".join(f"# untracked: {name}\n" for name in untracked.splitlines())
    diff = _cut(f"{notes}{changed}\n" if changed else notes)
    return Git(commit.strip(), (branch or "").strip() or None, bool(diff), diff)


def packages() -> tuple[str, ...]:
    """Return what is installed, as `name==version`, sorted."""
    found = {
        dist.name: dist.version for dist in metadata.distributions() if dist.name and dist.version
    }
    return tuple(f"{name}=={version}" for name, version in sorted(found.items(), key=_lowered))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on most."""
    found = {"python": platform.python_version()}
    for name in _TOLD:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(folder: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *args],
            capture_output=True,
            check=False,
            timeout=_SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _cut(diff: str) -> str:
    data = diff.encode()
    if len(data) <= DIFF_BYTES:
        return diff
    kept = data[:DIFF_BYTES].decode(errors="ignore")
    return f"{kept}\n# … cut: the diff has {len(data)} bytes\n"


def _lowered(item: tuple[str, str]) -> str:
    return item[0].lower()
