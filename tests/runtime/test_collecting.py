"""A job's storage from its driver's side: what comes, in which order, and who has the job."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from heliostat import spec as specs
from heliostat.data.stores import LocalFolder, Store
from heliostat.runtime import job_storage
from heliostat.runtime.collecting import Collector, collecting, publishing
from heliostat.runtime.events import Event, Note
from heliostat.runtime.job import Job
from heliostat.runtime.job_storage import catch_up, for_workers, publish
from heliostat.spec import InputError
from heliostat.training.journal import read_all
from heliostat.training.storage import read_json, write_json
from small_specs import TRAIN
from waiting import wait_until

SEGMENT = "journal/0001-0000-000000.jsonl"
CHECKPOINT = "checkpoints/step-0000000003-a0001"


@pytest.fixture
def store(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "storage" / "some-job")


@pytest.fixture
def job(
    tmp_path: Path, helio_home: Path, monkeypatch: pytest.MonkeyPatch, store: LocalFolder
) -> Job:
    """A job that was made, with storage, on this machine."""
    monkeypatch.setenv("HELIO_STORAGE", str(store.root.parent))
    monkeypatch.setenv("HELIO_JOB_ID", "some-job")
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "train.yaml").write_text(TRAIN)
    return Job.create(specs.load(tmp_path / "spec" / "train.yaml"))


def record(name: str) -> bytes:
    return json.dumps({"kind": "event", "time": 1, "name": name}).encode() + b"\n"


def test_what_the_workers_wrote_comes_and_checkpoints_stay_but_for_their_manifests(
    tmp_path: Path, store: Store
) -> None:
    for name in ("logs/rank-1.log", "result.json", "model/a/b", f"{CHECKPOINT}/manifest.json"):
        store.write(name, name.encode())
    for name in (f"{CHECKPOINT}/model.safetensors", "job.json", "driver.json"):
        store.write(name, b"not for the driver")
    store.write(SEGMENT, record("first"))
    folder = tmp_path / "job"
    collector = Collector(store, folder)

    collector.collect()

    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {
        *("logs/rank-1.log", "result.json", "model/a/b", f"{CHECKPOINT}/manifest.json"),
        SEGMENT,
    }
    store.write("result.json", b"again")
    store.delete([f"{CHECKPOINT}/manifest.json"])
    collector.collect()
    assert (folder / "result.json").read_bytes() == b"again"
    assert not (folder / CHECKPOINT).exists()


def test_a_journal_only_ever_grows(tmp_path: Path, store: Store) -> None:
    collector = Collector(store, tmp_path)
    store.write(SEGMENT, record("first") + record("second"))
    collector.collect()
    store.write(SEGMENT, record("first"))
    collector.collect()
    assert [r["name"] for r in read_all(tmp_path / "journal")] == ["first", "second"]
    store.write(SEGMENT, record("first") + record("second") + record("third"))
    collector.collect()
    assert [r["name"] for r in read_all(tmp_path / "journal")] == ["first", "second", "third"]


@dataclass(frozen=True)
class Moving(LocalFolder):
    """A store that a worker writes to while its journal is read: first a picture, then a record."""

    written: list[str] = field(default_factory=list)

    def read(self, name: str) -> bytes:
        if name == SEGMENT and not self.written:
            self.written.append(name)
            self.write("pictures/new.png", b"picture")
            self.write(SEGMENT, record("first") + record("names the picture"))
        return super().read(name)


def test_a_picture_is_here_when_the_record_is_that_names_it(tmp_path: Path) -> None:
    store = Moving(tmp_path / "storage")
    store.write(SEGMENT, record("first"))

    Collector(store, tmp_path / "job").collect()

    assert len(read_all(tmp_path / "job" / "journal")) == 2
    assert (tmp_path / "job" / "pictures" / "new.png").exists()


def test_a_storage_that_goes_away_is_said_once_and_what_was_missed_comes_later(
    job: Job, store: LocalFolder
) -> None:
    job.claim()
    said: list[Event] = []
    with collecting(job, publishing(job)) as collector:
        assert collector is not None
        own = ["code/train.yaml", "driver.json", "job.json", "resolved.json", "spec.yaml"]
        assert store.names() == own
        store.root.rename(store.root.with_name("away"))
        store.root.write_text("a file where the folder was")
        wait_until(lambda: (collector.tell(said.append), said)[1], 30, said.copy, every=0.05)
        store.root.unlink()
        store.root.with_name("away").rename(store.root)
        store.write(SEGMENT, record("first"))
    assert [r["name"] for r in read_all(job.folder / "journal")] == ["first"]
    assert [type(event) for event in said] == [Note]
    assert "it is tried again" in str(said[0])


def test_a_job_without_storage_has_nothing_to_collect(job: Job) -> None:
    write_json(job.folder / "job.json", {**job.facts, "storage": None})
    job.claim()
    with collecting(job, publishing(job)) as collector:
        assert collector is None
    told = for_workers(job, 1)
    assert told == {"driver": {"file": str(job.folder / "driver.json"), "says": told_by(job)}}
    assert not (job.folder / "journal").exists()


def test_an_attempt_that_says_no_word_has_had_its_number(job: Job, store: LocalFolder) -> None:
    from heliostat.runtime.failures import next_attempt

    told = for_workers(job, next_attempt(job))
    assert told["storage"]["uri"] == store.uri
    assert next_attempt(job) == 2
    assert SEGMENT in store.names()


def test_another_machine_finds_the_job_in_the_storage(
    job: Job, store: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.claim()
    publish(job, store)
    store.write(SEGMENT, record("first"))
    job.end(status="FAILED", error=None, metrics={})
    monkeypatch.setenv("HELIO_HOME", str(tmp_path / "another"))

    found = Job.open("some-job")

    assert found.folder == tmp_path / "another" / "jobs" / "some-job"
    assert found.facts == job.facts
    assert found.spec == job.spec
    assert found.ended is not None
    assert found.ended["status"] == "FAILED"
    assert [r["name"] for r in read_all(found.folder / "journal")] == ["first"]
    with pytest.raises(InputError, match=f"no job other in .*another/jobs or {tmp_path}/storage"):
        Job.open("other")


@pytest.mark.parametrize(
    ("seconds", "ended", "runs"), [(5.0, False, True), (5.0, True, False), (90.0, False, False)]
)
def test_a_job_is_left_to_the_machine_that_runs_it(
    job: Job, store: LocalFolder, seconds: float, ended: bool, runs: bool
) -> None:
    job.claim()
    publish(job, store)
    driver = {"host": "another", "pid": 7, "time": time.time() - seconds}
    store.write("driver.json", json.dumps(driver).encode())
    if ended:
        store.write("ended.json", b'{"status": "KILLED", "driver": 7}')
    if runs:
        with pytest.raises(InputError, match="job some-job is running on another; wait for its"):
            catch_up(job)
        assert told_by(job)["host"] == platform.node()
    else:
        catch_up(job)
        assert (job.claimed_by, job.ended is not None) == (7, ended)


def test_a_job_that_began_without_storage_brings_along_what_it_goes_on_from(
    job: Job, store: LocalFolder
) -> None:
    write_json(job.folder / "job.json", {**job.facts, "storage": None})
    for name in (SEGMENT, f"{CHECKPOINT}/manifest.json", f"{CHECKPOINT}/state.json"):
        (job.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (job.folder / name).write_text("{}")

    job.reopen(job.spec)
    publish(job, store)

    names = set(store.names())
    assert {SEGMENT, f"{CHECKPOINT}/manifest.json", f"{CHECKPOINT}/state.json"} <= names


def test_a_job_that_never_began_leaves_nothing_in_the_storage(job: Job, store: LocalFolder) -> None:
    job.claim()
    publish(job, store)
    job.discard()
    assert store.names() == []


def test_a_storage_that_cannot_be_used_is_said_by_its_name(job: Job, store: LocalFolder) -> None:
    store.root.parent.write_text("a file")
    job.claim()
    with pytest.raises(InputError, match=r"^HELIO_STORAGE: .* cannot be used"):
        publishing(job).result()
    write_json(job.folder / "job.json", {**job.facts, "storage": "gs://bucket"})
    with pytest.raises(InputError, match=r"^HELIO_STORAGE: 'gs://bucket/some-job' is nowhere"):
        job_storage.open_storage(job)


def told_by(job: Job) -> dict[str, Any]:
    driver: dict[str, Any] = read_json(job.folder / "driver.json")
    return driver
