"""The driver's side of a job's storage: what its workers write comes into the job's folder.

There everyone reads it as if the workers had written it there. Checkpoints stay where they are;
their manifests come, for the record.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from heliostat.runtime import job_storage
from heliostat.runtime.events import Event, Note
from heliostat.runtime.job import Job
from heliostat.training.priorities import come_after_training
from heliostat.training.storage_away import AWAY, StorageAway, patiently, reason

if TYPE_CHECKING:
    from heliostat.data.stores import Entry, Store

SECONDS = 1.0
"""Between two looks at what is new."""
BEAT_SECONDS = 15.0
LEAVING_SECONDS = 10.0
"""How long a driver that is leaving tries to have all of it."""

_SMALL = 4 * 1024 * 1024
_LONGEST_PAUSE = 30.0
_MANIFEST = "manifest.json"
_SEGMENT = ".jsonl"
_ONLY_GROW = (_SEGMENT, ".log", ".png", ".py")


class Collector:
    """Brings a job's files from its storage, each when it is new."""

    def __init__(self, store: Store, folder: Path, *, beat: Callable[[], None] | None = None):
        """Collect into `folder`; `beat` is called several times a minute."""
        self.store = store
        self._folder = folder
        self._beat = beat
        self._known: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collect", daemon=True)
        self._away: str | None = None
        self._told: str | None = None

    def start(self) -> None:
        """Collect from now on, in a thread."""
        self._thread.start()

    def tell(self, show: Callable[[Event], None]) -> None:
        """Say, once, that the storage can't be used now, or that it can again."""
        away = self._away
        if (away is None) != (self._told is None):
            self._told = away
            again = "the job's storage answers again"
            show(Note(f"{away}; it is tried again" if away is not None else again))

    def complete(self, prefix: str = "") -> None:
        """Return when all that is there below `prefix` is here. Raises StorageAway."""
        patiently(partial(self.collect, prefix))

    def stop(self) -> None:
        """End, with all that can still be had in a few seconds."""
        self._stop.set()
        self._thread.join(LEAVING_SECONDS)
        if not self._thread.is_alive():  # else it waits for a storage that does not answer
            with suppress(StorageAway):
                patiently(self.collect, LEAVING_SECONDS)

    def collect(self, prefix: str = "") -> None:
        """Bring what is new. Raises InputError or OSError where the store cannot be used."""
        with self._lock:
            # What a record names must be here before the record is.
            there = self.store.entries(prefix)
            news = self._new(there)
            records = {name: self.store.read(name) for name in news if _is_journal(name)}
            if records:
                there = self.store.entries(prefix)
            for name, entry in self._new(there).items():
                if not _is_journal(name):
                    self._bring(name, entry)
            for name, content in records.items():
                self._grow(name, content)
                self._known[name] = news[name]
            self._forget_pruned(there, prefix)

    def _new(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        return {
            name: entry
            for name, entry in entries.items()
            if entry != self._known.get(name)
            and _is_wanted(PurePosixPath(name))
            and not self._was_here(name, entry)
        }

    def _was_here(self, name: str, entry: Entry) -> bool:
        """Whether it came before this Collector did: where it is as long, it is the same."""
        path = self._folder / name
        same = name not in self._known and path.suffix in _ONLY_GROW and path.exists()
        return same and path.stat().st_size == entry.size

    def _bring(self, name: str, entry: Entry) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            if entry.size < _SMALL:
                part.write_bytes(self.store.read(name))
            else:
                self.store.download(name, part)
            part.replace(path)
        except FileNotFoundError:
            return  # removed meanwhile
        finally:
            part.unlink(missing_ok=True)
        self._known[name] = entry

    def _grow(self, name: str, content: bytes) -> None:
        """Replace a segment of the journal, which only ever grows, by a longer one."""
        path = self._folder / name
        if path.exists() and path.stat().st_size >= len(content):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(content)
        part.replace(path)

    def _forget_pruned(self, there: Mapping[str, Entry], prefix: str) -> None:
        known = [name for name in self._known if name.startswith(prefix)]
        for name in [name for name in known if name.endswith(_MANIFEST) and name not in there]:
            del self._known[name]
            (self._folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # there is more in it: it was written here
                (self._folder / name).parent.rmdir()

    def _run(self) -> None:
        pause, beat_due = SECONDS, time.monotonic()
        while not self._stop.wait(pause):
            began = time.monotonic()
            try:
                self.collect()
                if self._beat is not None and began >= beat_due:
                    self._beat()
                    beat_due = began + BEAT_SECONDS
            except AWAY as error:
                self._away = reason(error)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._away = None
                pause = max(SECONDS, min(time.monotonic() - began, _LONGEST_PAUSE))


def publishing(job: Job) -> Future[Store | None]:
    """Begin to put the job into its storage, in a thread; the result is the storage.

    It takes some seconds of imports. None for a job without storage. Its exception is InputError
    where the storage cannot be used.
    """
    published: Future[Store | None] = Future()
    if not job_storage.has_storage(job):
        published.set_result(None)
        return published

    def publish() -> None:
        come_after_training(19)  # and after Ray's start
        try:
            store = job_storage.open_storage(job)
            if store is not None:
                job_storage.publish(job, store)
            published.set_result(store)
        except BaseException as error:
            published.set_exception(error)

    threading.Thread(target=publish, name="publish", daemon=True).start()
    return published


@contextmanager
def collecting(job: Job, published: Future[Store | None]) -> Iterator[Collector | None]:
    """Keep the job's folder up with its storage, and the storage with this driver.

    None, and nothing is done, for a job without storage. Raises what `publishing` could not do.
    """
    store = published.result()
    if store is None:
        yield None
        return
    collector = Collector(store, job.folder, beat=lambda: job_storage.beat(store))
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()


def _is_wanted(name: PurePosixPath) -> bool:
    own = (*job_storage.OWN, job_storage.DRIVER, job_storage.ENDED, job_storage.STOP_SIGN)
    if ".." in name.parts or name.name.startswith(".") or str(name) in own:
        return False
    return "checkpoints" not in name.parts or name.name == _MANIFEST


def _is_journal(name: str) -> bool:
    return name.endswith(_SEGMENT)
