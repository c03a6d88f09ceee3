"""A rank's files on their way to storage: whose, in which order, and when it is away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from heliostat.data.stores import LocalFolder
from heliostat.training.checkpoints import CheckpointStore, verify
from heliostat.training.journal import events, read_all
from heliostat.training.mirror import SEGMENT_BYTES, Mirror
from heliostat.training.reporter import Reporter
from heliostat.training.storage_away import StorageAway, patiently
from waiting import wait_until

Open = Callable[..., Reporter]


@dataclass(frozen=True)
class Told(LocalFolder):
    """A folder that remembers in which order it was written and deleted from."""

    done: list[str] = field(default_factory=list)

    def put(self, file: Path, name: str) -> None:
        super().put(file, name)
        self.done.append(name)

    def write(self, name: str, content: bytes) -> None:
        super().write(name, content)
        self.done.append(name)

    def delete(self, names: Iterable[str]) -> None:
        names = list(names)
        super().delete(names)
        self.done.extend(f"no {name}" for name in names)


@pytest.fixture
def store(tmp_path: Path) -> Told:
    return Told(tmp_path / "storage")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


@pytest.fixture
def reporter(folder: Path) -> Iterator[Open]:
    """Open a rank's journal in the folder, first attempt; it is closed at the end."""
    with ExitStack() as opened:

        def open_reporter(**settings: int) -> Reporter:
            reporter = Reporter(folder, attempt=1, **settings)
            opened.callback(reporter.close)
            return reporter

        yield open_reporter


def checkpoints(folder: Path, mirror: Mirror | None = None, *, attempt: int = 1) -> CheckpointStore:
    return CheckpointStore(
        folder / "checkpoints",
        attempt=attempt,
        keep_best=1,
        keep_latest=1,
        maximize=True,
        fetch=mirror.fetch_checkpoint if mirror else None,
    )


def save(saves: CheckpointStore, step: int, objective: float | None = None) -> None:
    saves.save(step, {"w": torch.full((3,), float(step))}, {"step": step}, objective=objective)
    saves.wait()


def test_a_rank_uploads_what_is_its_own_and_rank_0_what_is_nobodys(
    folder: Path, store: Told, reporter: Open
) -> None:
    for rank in (0, 1):
        reporter(rank=rank).event("first_step", step=1)
    (folder / "logs").mkdir()
    for name in ("logs/rank-0.log", "logs/rank-1.log", "logs/rank-10.log", "result.json"):
        (folder / name).write_text(name)
    (folder / "job.json").write_text("the driver's")
    (folder / ".result.json.7.tmp").write_text("half of i")

    Mirror(folder, store, attempt=1, rank=1).upload()
    assert store.names() == ["journal/0001-0001-000000.jsonl", "logs/rank-1.log"]
    Mirror(folder, store, attempt=1, rank=0).upload()
    assert set(store.names()) == {
        *("journal/0001-0000-000000.jsonl", "journal/0001-0001-000000.jsonl"),
        *("logs/rank-0.log", "logs/rank-1.log", "result.json"),
    }


def test_what_did_not_change_is_not_uploaded_again(
    folder: Path, store: Told, reporter: Open
) -> None:
    main = reporter()
    mirror = Mirror(folder, store, attempt=1, rank=0)
    main.picture("val/samples", Image.new("L", (4, 4)), step=1)
    mirror.upload()
    before = len(store.done)

    mirror.upload()
    assert len(store.done) == before
    main.event("first_step", step=2)
    mirror.upload()
    assert store.done[before:] == ["journal/0001-0000-000000.jsonl"]


def test_a_picture_is_there_before_the_record_that_names_it(
    folder: Path, store: Told, reporter: Open
) -> None:
    reporter().picture("val/samples", Image.new("L", (4, 4)), step=1)

    Mirror(folder, store, attempt=1, rank=0).upload()

    assert store.done == ["pictures/val/samples-00000001.png", "journal/0001-0000-000000.jsonl"]


def test_a_checkpoint_comes_after_the_records_of_its_steps_and_its_manifest_last(
    folder: Path, store: Told, reporter: Open
) -> None:
    reporter().metrics({"train/loss": 1.0}, step=1)
    save(checkpoints(folder), 1)

    Mirror(folder, store, attempt=1, rank=0).upload()

    there = "checkpoints/step-0000000001-a0001/"
    assert store.done[0] == "journal/0001-0000-000000.jsonl"
    assert sorted(store.done[1:4]) == [
        there + name for name in ("model.safetensors", "state.json", "state.safetensors")
    ]
    assert store.done[4:] == [there + "manifest.json"]


def test_a_pruned_checkpoint_goes_after_the_new_one_came_and_its_manifest_first(
    folder: Path, store: Told
) -> None:
    saves, mirror = checkpoints(folder), Mirror(folder, store, attempt=1, rank=0)
    save(saves, 1)
    mirror.upload()
    before = len(store.done)
    save(saves, 2)

    mirror.upload()

    new, old = (f"checkpoints/step-000000000{step}-a0001/" for step in (2, 1))
    assert [name for name in store.done[before:] if "manifest" in name] == [
        f"{new}manifest.json",
        f"no {old}manifest.json",
    ]
    assert store.done.index(f"no {old}manifest.json") < store.done.index(f"no {old}state.json")
    assert [name for name in store.names() if name.startswith(old)] == []


def test_another_machine_knows_what_was_recorded_and_goes_on_from_the_newest_checkpoint(
    folder: Path, store: Told, tmp_path: Path, reporter: Open
) -> None:
    main, saves = reporter(), checkpoints(folder)
    for step, value in ((1, 0.9), (2, 0.5)):
        main.metrics({"val/accuracy": value}, step=step)
        save(saves, step, objective=value)
    first = Mirror(folder, store, attempt=1, rank=0)
    first.start(main.event)
    first.close()
    store.write("checkpoints/step-0000000003-a0001/state.json", b"cut off")

    there = tmp_path / "another"
    mirror = Mirror(there, store, attempt=2, rank=0)
    mirror.fetch()
    assert "checkpoints/step-0000000003-a0001/state.json" not in store.names()
    assert [r["step"] for r in read_all(there / "journal")] == [1, 2]
    found, skipped = checkpoints(there, mirror, attempt=2).newest()
    assert found is not None
    assert (found.step, skipped, verify(found)) == (2, [], None)
    assert found.weights()["w"].tolist() == [2.0] * 3
    best = checkpoints(there, mirror, attempt=2).best()
    assert best is not None
    assert best.step == 1

    # What it keeps no longer goes from the storage too, though another machine wrote it.
    save(checkpoints(there, mirror, attempt=2), 3)
    mirror.upload()
    kept = {name.split("/")[1] for name in store.names() if name.startswith("checkpoints/")}
    assert kept == {"step-0000000001-a0001", "step-0000000003-a0002"}


def test_a_checkpoint_that_was_spoilt_in_the_storage_is_passed_over(
    folder: Path, store: Told, tmp_path: Path
) -> None:
    saves = CheckpointStore(
        folder / "checkpoints", attempt=1, keep_best=0, keep_latest=3, maximize=True
    )
    for step in (1, 2, 3):
        save(saves, step)
    Mirror(folder, store, attempt=1, rank=0).upload()
    newest = "checkpoints/step-0000000003-a0001/model.safetensors"
    store.write(newest, bytes(len(store.read(newest))))
    store.delete(["checkpoints/step-0000000002-a0001/state.json"])

    mirror = Mirror(tmp_path / "another", store, attempt=2, rank=0)
    mirror.fetch()
    found, skipped = checkpoints(tmp_path / "another", mirror).newest()
    assert found is not None
    assert found.step == 1
    assert skipped == [
        "step-0000000003-a0001: model.safetensors has another content than was written",
        "step-0000000002-a0001: state.json is missing",
    ]


def test_while_the_storage_is_away_work_goes_on_and_the_journal_says_so_once(
    folder: Path, store: Told, reporter: Open
) -> None:
    store.root.write_text("a file where the folder was")
    main = reporter()
    mirror = Mirror(folder, store, attempt=1, rank=0)
    mirror.start(main.event, every=0.001)
    told = partial(read_all, folder / "journal")
    wait_until(lambda: events(told(), "storage_away"), 30, told, every=0.01)
    for step in range(20):
        main.metrics({"train/loss": 1.0}, step=step)
    main.close()
    store.root.unlink()

    mirror.close()

    records = read_all(store.root / "journal")
    assert records == read_all(folder / "journal")
    (away,) = events(records, "storage_away")
    assert "cannot be used" in away["reason"]


def test_a_storage_that_stays_away_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = LocalFolder(tmp_path / "file")

    with pytest.raises(StorageAway, match=r"could not be used for 0 s: .*file cannot be used: "):
        patiently(lambda: store.write("name", b""), seconds=0)


def test_a_mirrored_journal_goes_on_in_small_segments(folder: Path, reporter: Open) -> None:
    main = reporter(segment_bytes=SEGMENT_BYTES)
    line = len(json.dumps({"kind": "event", "filler": "x" * 1000}))
    for _ in range(2 * SEGMENT_BYTES // line):
        main.event("said", filler="x" * 1000)

    sizes = [path.stat().st_size for path in (folder / "journal").iterdir()]
    assert len(sizes) > 1
    assert max(sizes) < SEGMENT_BYTES + 2000
