"""Registered models' files on the machines of the workers.

The driver has them in its cache. A worker on another machine takes them into that machine's own:
a training worker from the job's storage, where the driver puts each model once for all jobs; a
worker of a prediction or an evaluation, which needs no storage otherwise, from Ray's object store.
"""

from __future__ import annotations

import fcntl
import io
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime.home import models_folder
from heliostat.training.storage_away import StorageAway, patiently

if TYPE_CHECKING:
    from heliostat.runtime.registered_model import LocalModel

# ---- through the storage --------------------------------------------------------------------


def put_models(spec: Mapping[str, Any], models: Mapping[str, str]) -> None:
    """Put the models whose files the dumped spec names into the storage, where they are not.

    `models` holds the storage's `uri` for them, and where they are `here`. Raises StorageAway.
    """
    for model in sorted(_named(spec, models["here"])):
        patiently(partial(_put, Path(models["here"], model), f"{models['uri']}/{model}"))


def with_models_here(spec: Any, models: Mapping[str, str]) -> Any:
    """Return the dumped spec with the paths of this machine's copies, which are there then.

    Raises StorageAway where they cannot be had.
    """
    named = _named(spec, models["here"])
    for model in sorted(named):
        download = partial(_download, f"{models['uri']}/{model}")
        patiently(partial(_once, models_folder() / model, download))
    return _moved(spec, models["here"], str(models_folder()))


def _put(folder: Path, uri: str) -> None:
    from heliostat.data.stores import open_store

    store = open_store(uri)
    there = store.entries()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and (name not in there or there[name].size != path.stat().st_size):
            store.put(path, name)


def _download(uri: str, folder: Path) -> None:
    from heliostat.data.stores import open_store

    store = open_store(uri)
    names = list(store.entries())
    if not names:
        raise StorageAway(f"{uri} is not there")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        store.download(name, folder / name)


# ---- through Ray's object store -------------------------------------------------------------


@dataclass(frozen=True)
class Packed:
    """The files that a model needs, on their way to other machines."""

    here: str
    """The driver's folder of models."""
    files: dict[str, Any]
    """By the model's folder there: the reference to a tar of it."""


def pack_for_others(model: LocalModel) -> Packed | None:
    """Give Ray the model's files; None on one machine, where every worker sees the driver's."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return pack(model, ray.put) if sum(node["Alive"] for node in nodes) > 1 else None


def pack(model: LocalModel, put: Callable[[bytes], Any]) -> Packed:
    """Give `put` the files of a model, and of those that its task measures by."""
    here = str(models_folder())
    named = sorted(_named(asdict(model), here))
    return Packed(here, {name: put(_tar(Path(here, name))) for name in named})


def unpacked(model: LocalModel, packed: Packed, get: Callable[[Any], bytes]) -> LocalModel:
    """Return the model with its files on this machine; `get` gives what was put."""
    for name, reference in packed.files.items():
        _once(models_folder() / name, partial(_untar, get, reference))
    return replace(model, **_moved(asdict(model), packed.here, str(models_folder())))


def _tar(folder: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(folder, arcname=".")
    return content.getvalue()


def _untar(get: Callable[[Any], bytes], reference: Any, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(get(reference))) as archive:
        archive.extractall(folder, filter="data")


# ---- either way -----------------------------------------------------------------------------


def _named(value: Any, cache: str) -> set[str]:
    """Return the models in the folder `cache` of which the plain value names a file."""
    if isinstance(value, dict):
        return {model for each in value.values() for model in _named(each, cache)}
    if isinstance(value, list | tuple):
        return {model for each in value for model in _named(each, cache)}
    if isinstance(value, str) and value.startswith(f"{cache}/"):
        return {Path(value).relative_to(cache).parts[0]}
    return set()


def _moved(value: Any, there: str, here: str) -> Any:
    """Return the plain value with `here` in place of the folder `there`."""
    if isinstance(value, dict):
        return {key: _moved(each, there, here) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(each, there, here) for each in value)
    if isinstance(value, str) and value.startswith(f"{there}/"):
        return here + value.removeprefix(there)
    return value


def _once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Have a folder filled, whole or not at all, by one process of this machine."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        fill(part)
        part.replace(folder)
