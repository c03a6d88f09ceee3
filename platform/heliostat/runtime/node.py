"""Where a rank writes: the job's own folder, or one of its machine that is mirrored to storage."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from heliostat.runtime.home import scratch_folder
from heliostat.runtime.job_storage import STOP_SIGN
from heliostat.training.storage import read_json, write_json
from heliostat.training.storage_away import patiently

if TYPE_CHECKING:
    from heliostat.data.stores import Store
    from heliostat.training.mirror import Mirror
    from heliostat.training.reporter import Reporter


class OtherMachine(RuntimeError):
    """A worker runs on another machine than the driver, and they share no storage."""


@dataclass(frozen=True)
class Place:
    """One rank's place to write."""

    folder: Path
    log: Path
    """The file of the process's output."""
    mirror: Mirror | None
    trial: Path | None = None
    """Where a trial's files are that is to be finished."""
    stop: Callable[[], bool] | None = None
    """What says that a leg of a search is to end, where the file for it is elsewhere."""

    def reporter(self, *, attempt: int, rank: int) -> Reporter:
        """Open the rank's journal; from here on what is written is mirrored."""
        from heliostat.training.mirror import SEGMENT_BYTES
        from heliostat.training.reporter import Reporter

        if self.mirror is None:
            return Reporter(self.folder, attempt=attempt, rank=rank)
        reporter = Reporter(self.folder, attempt=attempt, rank=rank, segment_bytes=SEGMENT_BYTES)
        self.mirror.start(reporter.event, unsaved=reporter.unsaved, fence=reporter.fence)
        return reporter

    def close(self) -> None:
        """Return when all that was written is where it is to be. Raises StorageAway."""
        if self.mirror is not None:
            self.mirror.close()


@contextmanager
def place_of(config: Mapping[str, Any], *, rank: int) -> Iterator[Place]:
    """Give a rank its place; `config` is as for `work_as`.

    Without `storage` in it that is the job's folder. With `storage` it is a folder of this machine,
    which holds what rank 0 must know of earlier attempts; all that was written is in the storage
    afterwards, whatever the body raised. Raises OtherMachine where this machine sees neither the
    driver's folder nor its storage, StorageAway where the storage cannot be used.
    """
    storage = config.get("storage")
    if storage is None:
        _check_same(config.get("driver"))
        folder = Path(config["folder"])
        yield Place(folder, folder / "logs" / f"rank-{rank}.log", None)
        return
    from heliostat.data.stores import open_store
    from heliostat.training.mirror import Mirror

    attempt = config["attempt"]
    store = open_store(storage["uri"])
    _check_shared(store, attempt)
    folder, lock = _own_folder(storage["job"], attempt)
    if "created" in storage:
        write_json(folder / "job.json", {"created": storage["created"]})
    mirror = Mirror(folder, store, attempt=attempt, rank=rank)
    if rank == 0:
        mirror.fetch()
    # An attempt's log begins anew here, and must not replace the one before in the storage.
    again = f"-a{attempt:04d}" if attempt > 1 else ""
    place = Place(
        folder,
        folder / "logs" / f"rank-{rank}{again}.log",
        mirror,
        trial=mirror.fetch_trial(open_store(storage["trial"])) if "trial" in storage else None,
        stop=mirror.look_for(open_store(storage["stop"]), STOP_SIGN) if "stop" in config else None,
    )
    failed = True
    try:
        yield place
        failed = False
    finally:
        mirror.close(failed=failed)
        _remove_unused(folder, lock)


def _check_same(driver: Mapping[str, Any] | None) -> None:
    if driver is not None and read_json(Path(driver["file"])) != driver["says"]:
        raise OtherMachine(
            "workers run on another machine than the driver, and do not see its HELIO_HOME;"
            " set HELIO_STORAGE to a folder that all share or s3://bucket/prefix"
        )


def _check_shared(store: Store, attempt: int) -> None:
    """Refuse a folder that only has the name of the one where the driver began the attempt."""
    there: list[str] = []
    patiently(lambda: there.extend(store.entries(f"journal/{attempt:04d}-")))
    if not there:
        raise OtherMachine(
            f"{store.uri} on a worker's machine is not what the driver wrote to;"
            " HELIO_STORAGE is a folder that all machines mount, or s3://bucket/prefix"
        )


def _own_folder(job: str, attempt: int) -> tuple[Path, IO[str]]:
    """Return the folder that an attempt's ranks on this machine share, and their lock on it.

    What earlier attempts left here is removed.
    """
    above = scratch_folder() / job
    folder = above / f"{attempt:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock_of(folder)
    fcntl.flock(lock, fcntl.LOCK_SH)
    for earlier in above.iterdir():
        if earlier.is_dir() and earlier != folder:
            _remove_unused(earlier, _lock_of(earlier))
    return folder, lock


def _lock_of(folder: Path) -> IO[str]:
    return folder.with_suffix(".lock").open("w")


def _remove_unused(folder: Path, lock: IO[str]) -> None:
    """Remove the folder unless another rank has it still; the last of them does."""
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(folder, ignore_errors=True)
        Path(lock.name).unlink(missing_ok=True)
    with suppress(OSError):  # not empty: another attempt is here
        folder.parent.rmdir()
