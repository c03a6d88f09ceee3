"""What a rank writes on its own machine, brought to the job's storage while it trains.

Ranks on several machines share no folder. Each writes into one of its own machine, and a thread
of each process uploads what is new and its own: its journal and its log; rank 0's is everything
else. A record is there after the picture that it names, and a checkpoint's manifest after the
checkpoint's files and after all that the journal held when the manifest was written: whoever goes
on from there finds the steps before it recorded.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from heliostat.data.stores import Store
from heliostat.training.fence import Fence, Superseded
from heliostat.training.mirrored_checkpoints import MirroredCheckpoints
from heliostat.training.priorities import come_after_training
from heliostat.training.storage import LEG_END
from heliostat.training.storage_away import AWAY, PATIENCE_SECONDS, patiently, reason
from heliostat.training.unsaved import UPLOAD, Unsaved

SECONDS = 1.0
"""Between two looks at what is new."""
SEGMENT_BYTES = 256 * 1024
"""Of the journal: a segment that grows is uploaded whole."""

_LARGE = 1024 * 1024
_LARGE_SECONDS = 30.0
"""A large file is uploaded once it has stopped growing, or this long after the last time."""
_LONGEST_PAUSE = 30.0

Signature = tuple[int, int, int]


class Mirror:
    """One rank's own files of a job, from a folder of this machine to the job's storage."""

    def __init__(self, folder: Path, store: Store, *, attempt: int, rank: int) -> None:
        """Mirror `folder`; nothing is done yet."""
        self._folder = folder
        self._store = store
        self._is_main = rank == 0
        self._journal = f"{attempt:04d}-{rank:04d}-"
        self._next_attempt = f"journal/{attempt + 1:04d}-"
        self._logs = (f"rank-{rank}.", f"rank-{rank}-")
        self._uploaded: dict[str, Signature] = {}
        self._uploaded_at: dict[str, float] = {}
        self._seen: dict[str, Signature] = {}
        self._checkpoints = MirroredCheckpoints(folder / "checkpoints", store)
        self._looking: tuple[Store, str] | None = None
        self._seen_it = threading.Event()
        self._every = SECONDS
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._warn: Callable[..., None] = lambda *args, **fields: None
        self._unsaved = Unsaved(lambda event, **fields: None)
        self._fence: Fence | None = None

    def fetch(self) -> None:
        """Bring what rank 0 must know of earlier attempts. Raises StorageAway.

        That is what rank 0 recorded in them, and which checkpoints there are.
        """
        patiently(self._fetch)

    def fetch_checkpoint(self, checkpoint: Path) -> None:
        """Bring the files of a checkpoint in the folder that are not here. Raises StorageAway."""
        patiently(lambda: self._checkpoints.fetch_files(checkpoint))

    def fetch_trial(self, store: Store) -> Path:
        """Return a folder with another trial's checkpoints and model, on rank 0. StorageAway."""
        trial = self._folder / _TRIAL
        if self._is_main:
            patiently(lambda: _fetch_trial(store, trial))
        return trial

    def look_for(self, store: Store, name: str) -> Callable[[], bool]:
        """Look for a file in another store from now on; return what says whether it was seen."""
        self._looking = (store, name)
        return self._seen_it.is_set

    def start(
        self,
        warn: Callable[..., None],
        *,
        unsaved: Unsaved | None = None,
        fence: Fence | None = None,
        every: float = SECONDS,
    ) -> None:
        """Upload what is new every so many seconds.

        `warn(event, **fields)` is called once for each time that the storage is away. `unsaved`
        is told of a checkpoint that waits for it, and `fence` of a later attempt that is seen
        there: nothing is uploaded any more then.
        """
        self._warn = warn
        self._unsaved = unsaved or self._unsaved
        self._fence = fence
        self._every = every
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def close(self, *, failed: bool = False) -> None:
        """Return when all is uploaded. Raises StorageAway where it cannot be.

        Work that came to its end waits for as long as a checkpoint may go unsaved; work that
        `failed` for a minute.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        left = 0.0 if failed else self._unsaved.left(UPLOAD)
        with suppress(Superseded):  # what this attempt has to say is no longer wanted
            patiently(lambda: self.upload(last=True), max(left, PATIENCE_SECONDS))

    def upload(self, *, last: bool = False) -> None:
        """Upload what is new; the `last` time also what may still be growing.

        Raises Superseded, and uploads nothing, where a later attempt has begun there.
        """
        manifests = self._checkpoints.manifests() if self._is_main else {}
        records = dict(self._new_records())
        lacks = self._checkpoints.lacks(manifests)
        if lacks:
            self._unsaved.begins(UPLOAD)
        if records or lacks:
            self._check_fence()
        for name, signature in self._own_files():
            if self._is_due(name, signature, last=last):
                self._put(name, signature)
        for name, (signature, content) in records.items():
            self._store.write(name, content)
            self._uploaded[name] = signature
        if self._is_main:
            self._checkpoints.upload(manifests)
            self._unsaved.saved(UPLOAD)

    def _check_fence(self) -> None:
        """Raise Superseded where the next attempt's journal is in the storage."""
        if self._fence is not None:
            self._fence.see(self._store.entries(self._next_attempt))
            self._fence.check()

    def _run(self) -> None:
        come_after_training()
        pause, away = self._every, False
        while not self._stop.wait(pause):
            began = time.monotonic()
            try:
                self.upload()
                self._look()
            except Superseded:
                return  # the loop hears of it from the fence
            except AWAY as error:
                if not away:
                    with suppress(ValueError):  # the journal is closed: the work is at its end
                        self._warn("storage_away", reason=reason(error))
                away = True
                self._unsaved.because(UPLOAD, reason(error))
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                away = False
                # Half of the time at most goes into uploading.
                pause = max(self._every, min(time.monotonic() - began, _LONGEST_PAUSE))

    def _look(self) -> None:
        if self._looking is not None and not self._seen_it.is_set():
            store, name = self._looking
            if store.entries(name):
                self._seen_it.set()

    def _fetch(self) -> None:
        journal = self._folder / "journal"
        journal.mkdir(parents=True, exist_ok=True)
        for name in self._store.entries("journal/"):
            segment = journal / Path(name).name
            if _MAIN_RANK in segment.name and not segment.name.startswith(self._journal):
                segment.write_bytes(self._store.read(name))
        self._checkpoints.fetch_manifests()
        self._checkpoints.delete_torn()

    def _new_records(self) -> Iterator[tuple[str, tuple[Signature, bytes]]]:
        """Yield the content of this rank's segments that have grown, as it is now."""
        for segment in sorted((self._folder / "journal").glob(f"{self._journal}*.jsonl")):
            name = f"journal/{segment.name}"
            signature = _signature(segment)
            if signature is not None and signature != self._uploaded.get(name):
                # What is taken back from a full disk must not have been there.
                content = segment.read_bytes()
                yield name, (signature, content[: content.rfind(b"\n") + 1])

    def _own_files(self) -> Iterator[tuple[str, Signature]]:
        for folder, folders, files in os.walk(self._folder):
            place = Path(folder).relative_to(self._folder)
            if place == Path():
                folders[:] = [name for name in folders if name not in _ELSEWHERE]
            for file in files:
                if self._owns(place / file):
                    signature = _signature(Path(folder, file))
                    if signature is not None:
                        yield (place / file).as_posix(), signature

    def _owns(self, path: Path) -> bool:
        if path.name.startswith("."):  # on its way to its name
            return False
        if path.parts[0] == "logs":
            return path.name.startswith(self._logs)
        return self._is_main and path.as_posix() not in _DRIVERS

    def _is_due(self, name: str, signature: Signature, *, last: bool) -> bool:
        if signature == self._uploaded.get(name):
            return False
        still = self._seen.get(name) == signature
        self._seen[name] = signature
        if last or still or signature[0] < _LARGE:
            return True
        return time.monotonic() > self._uploaded_at.get(name, 0.0) + _LARGE_SECONDS

    def _put(self, name: str, signature: Signature) -> None:
        try:
            self._store.put(self._folder / name, name)
        except FileNotFoundError:
            if (self._folder / name).exists():
                raise
            return  # removed meanwhile
        self._uploaded[name] = signature
        self._uploaded_at[name] = time.monotonic()


def _fetch_trial(store: Store, trial: Path) -> None:
    for name in store.entries():
        if name.startswith(("checkpoints/", "model/")) or name == LEG_END:
            (trial / name).parent.mkdir(parents=True, exist_ok=True)
            store.download(name, trial / name)


def _signature(path: Path) -> Signature | None:
    """Return what tells a file from one written since; None where there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


_MAIN_RANK = "-0000-"
_TRIAL = "trial"
_ELSEWHERE = ("journal", "checkpoints", _TRIAL)
"""Folders whose files have an order of their own, or came from the storage."""
_DRIVERS = ("job.json",)
"""Files that the driver keeps in the storage."""
