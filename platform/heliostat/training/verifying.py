"""Whether a checkpoint's files are what was written, and what is wrong with them where not."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from safetensors import SafetensorError, safe_open

from heliostat.training.storage import read_json, sha256

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
TENSORS = "state.safetensors"
STATE = "state.json"
FORMAT = 1
"""Of the manifest."""


def fault_of(folder: Path) -> str | None:
    """Return why the checkpoint in `folder` cannot be gone on from, or None where it can."""
    try:
        manifest = read_json(folder / MANIFEST)
        if manifest is None:
            return "it has no manifest"
        files = expected_files(manifest)
        return next(filter(None, (_fault_of_file(folder / n, *facts) for n, facts in files)), None)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except ValueError as error:
        return f"its manifest is not one: {error}"


def expected_files(manifest: Any) -> list[tuple[str, tuple[int, str]]]:
    """Return the files that a manifest names, each with its size and SHA-256.

    Raises ValueError where it is none of ours, or names what is not in its folder.
    """
    try:
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}, not {FORMAT}")
        if not isinstance(manifest["step"], int):
            raise ValueError("its step is no number")
        facts = manifest["files"]
        files = [(name, (facts[name]["size"], facts[name]["sha256"])) for name in facts]
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"it lacks {error}") from error
    for name, _ in files:
        if PurePath(name).name != name or name in (MANIFEST, ".", ".."):
            raise ValueError(f"it names {name!r}")
    for name in (WEIGHTS, TENSORS, STATE):
        if name not in facts:
            raise ValueError(f"it does not name {name}")
    return files


def _fault_of_file(path: Path, size: int, digest: str) -> str | None:
    if not path.exists():
        return f"{path.name} is missing"
    if path.stat().st_size != size:
        return f"{path.name} has {path.stat().st_size} bytes of {size}"
    if sha256(path) != digest:
        return f"{path.name} has another content than was written"
    try:
        if path.suffix == ".json":
            read_json(path)
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt"):
                pass
    except (ValueError, SafetensorError) as error:
        return f"{path.name} cannot be understood: {error}"
    return None
