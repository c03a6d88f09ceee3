"""A job's own files in its storage: what another machine needs to go on with it.

`driver.json` there says who drives the job, and when that was last true.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime.home import models_folder, storage
from heliostat.runtime.living import still_lives
from heliostat.spec import InputError
from heliostat.training.storage import read_json, write_json
from heliostat.training.storage_away import AWAY, patiently

if TYPE_CHECKING:
    from heliostat.data.stores import Store
    from heliostat.runtime.job import Job

KINDS = ("train", "tune")
"""Of jobs whose workers write files."""
OWN = ("spec.yaml", "resolved.json", "job.json")
"""What says what the job is; the last of them says that there is one."""
DRIVER = "driver.json"
ENDED = "ended.json"
STOP_SIGN = "stop"
"""Is there once the legs of a search are to end."""
SILENT_SECONDS = 60.0
"""A driver on another machine is believed dead after so long without a word."""
MODELS = "models"
"""Beside the jobs in HELIO_STORAGE: registered models that jobs begin with."""


def open_storage(job: Job) -> Store | None:
    """Return the job's place in its storage; None for a job whose machines share its folder.

    Raises InputError where what is named cannot be one.
    """
    root = _root(job)
    with _named_in_mistakes():
        return _open(f"{root}/{job.id}") if root else None


def probe() -> None:
    """Raise InputError, in less than 10 s, where HELIO_STORAGE names an S3 that can't be used."""
    root = storage()
    if root is not None:
        with _named_in_mistakes():
            from heliostat.data.stores import probe

            probe(root)


def has_storage(job: Job) -> bool:
    """Whether the job's workers write into storage."""
    return _root(job) is not None


def publish(job: Job, store: Store) -> None:
    """Write what the job is, and that this process drives it; its former end is no longer true.

    A job that began without storage brings along what it goes on from. Raises InputError.
    """
    with _named_in_mistakes():
        if not store.entries("journal/"):
            for name in _what_it_goes_on_from(job.folder):  # and the code that was submitted
                store.put(job.folder / name, name)
        for name in OWN:
            store.put(job.folder / name, name)
        beat(store)
        store.delete([ENDED, STOP_SIGN])


def withdraw(job: Job) -> None:
    """Remove what there is of a job that was never begun."""
    with suppress(*AWAY):
        store = open_storage(job)
        if store is not None:
            store.delete(store.entries())


def beat(store: Store) -> None:
    """Say that this process drives the job now."""
    driver = {"host": platform.node(), "pid": os.getpid(), "time": time.time()}
    store.write(DRIVER, json.dumps(driver).encode())


def tell_end(job: Job) -> None:
    """Write how the job ended. Where that cannot be, its silence says as much in a minute."""
    with suppress(*AWAY):
        store = open_storage(job)
        if store is not None:
            store.put(job.folder / ENDED, ENDED)


def fetch(job: Job) -> bool:
    """Make the folder of a job that another machine ran; False where the storage has none.

    Raises InputError where it cannot be looked at.
    """
    root = storage()
    if root is None:
        return False
    with _named_in_mistakes():
        store = _open(f"{root}/{job.id}")
        facts = _read(store, "job.json")
        if facts is None or facts["kind"] != "train":  # a search goes on where its ledger is
            return False
        job.folder.mkdir(parents=True, exist_ok=True)
        _take_over(job.folder, store)
    write_json(job.folder / "job.json", {**facts, "storage": root})
    return True


def catch_up(job: Job) -> None:
    """Take over what another machine made of the job since it was here.

    Raises InputError where a driver elsewhere has it, or the storage cannot be looked at.
    """
    store = open_storage(job)
    if store is None:
        return
    with _named_in_mistakes():
        driver, ended = _read(store, DRIVER), _read(store, ENDED)
    if driver is not None and ended is None and _lives(driver):
        raise InputError.of(
            f"job {job.id} is running on {driver['host']}", valid="wait for its end, or stop it"
        )
    if job.facts["kind"] == "train":
        with _named_in_mistakes():
            _take_over(job.folder, store)


def for_workers(job: Job, attempt: int) -> dict[str, Any]:
    """Return what an attempt's workers are told of where to write: `place_of`'s config.

    Raises StorageAway.
    """
    store = open_storage(job)
    if store is None:
        return mark_of(job)
    mark_attempt(job.folder, store, "", attempt)
    facts = job.facts
    return {
        "storage": {"uri": store.uri, "job": job.id, "created": facts["created"]},
        "models": {"uri": f"{facts['storage']}/{MODELS}", "here": str(models_folder())},
    }


def mark_attempt(folder: Path, store: Store, prefix: str, attempt: int) -> None:
    """Have an attempt's journal begin, in the folder and below the prefix of the store.

    An attempt that dies before it can say a word has had its number all the same. Raises
    StorageAway.
    """
    first = f"journal/{attempt:04d}-0000-000000.jsonl"
    (folder / first).parent.mkdir(parents=True, exist_ok=True)
    (folder / first).touch()
    patiently(partial(store.write, prefix + first, b""))


def mark_of(job: Job) -> dict[str, Any]:
    """Return, for `place_of`'s config, what tells whether a worker sees the job's own folder."""
    file = job.folder / DRIVER
    return {"driver": {"file": str(file), "says": read_json(file)}}


def _root(job: Job) -> str | None:
    root: str | None = (read_json(job.folder / "job.json") or {}).get("storage")
    return root


def _take_over(folder: Path, store: Store) -> None:
    from heliostat.runtime.collecting import Collector

    Collector(store, folder).collect()
    for name in (*OWN[:-1], DRIVER, ENDED):
        with suppress(FileNotFoundError):
            (folder / name).write_bytes(store.read(name))


def _lives(driver: dict[str, Any]) -> bool:
    if driver["host"] == platform.node():
        return driver["pid"] != os.getpid() and still_lives(driver["pid"], driver["time"])
    return bool(time.time() - driver["time"] < SILENT_SECONDS)


def _what_it_goes_on_from(folder: Path) -> Iterator[str]:
    """Yield the journal's and the checkpoints' files by name, each manifest after its files."""
    for place in ("code", "journal", "checkpoints"):
        files = [path for path in (folder / place).rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: (path.name == "manifest.json", path)):
            yield path.relative_to(folder).as_posix()


def _read(store: Store, name: str) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(store.read(name))
        return value
    except FileNotFoundError:
        return None


@contextmanager
def _named_in_mistakes() -> Iterator[None]:
    """Say of what cannot be used that it is what HELIO_STORAGE names."""
    try:
        yield
    except InputError as error:
        raise InputError(replace(p, key=("HELIO_STORAGE",)) for p in error.problems) from error


def _open(uri: str) -> Store:
    from heliostat.data.stores import open_store

    return open_store(uri)
