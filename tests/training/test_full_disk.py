"""A disk that is full, for a while or for good: a real one, of a few megabytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from full_disk import fill, small_disk
from heliostat.spec import Document
from heliostat.training.checkpoints import CheckpointStore, existing, verify
from heliostat.training.journal import events, read_all
from heliostat.training.reporter import Reporter
from heliostat.training.storage_away import StorageAway
from waiting import wait_until

MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 2000), nn.Linear(2000, 10))
    def forward(self, images):
        return self.layers(images)
"""
"""A checkpoint of it, with a momentum, takes 1.2 MB, and so does its package."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as place:
        yield place


def save(to: CheckpointStore, step: int) -> None:
    to.save(step, {"weight": torch.full((250_000,), float(step))}, {"at": step})


def test_a_checkpoint_waits_until_there_is_room_and_the_one_before_stands_meanwhile(
    disk: Path,
) -> None:
    reporter = Reporter(disk, attempt=1)
    told = lambda: read_all(disk / "journal")  # noqa: E731
    written = CheckpointStore(
        disk / "checkpoints",
        attempt=1,
        keep_best=0,
        keep_latest=1,
        maximize=True,
        unsaved=reporter.unsaved,
    )
    save(written, 1)
    written.wait()
    filler = fill(disk, leave=600_000)

    save(written, 2)
    wait_until(lambda: events(told(), "unsaved"), 30, told)
    save(written, 3)

    (last,) = existing(disk / "checkpoints")
    assert (last.step, verify(last)) == (1, None)
    filler.unlink()
    written.wait()
    (last,) = existing(disk / "checkpoints")
    assert (last.step, verify(last)) == (3, None)
    assert [path.name for path in (disk / "checkpoints").iterdir()] == [last.folder.name]
    (unsaved,) = events(told(), "unsaved")
    assert unsaved["what"] == "a checkpoint"
    assert f"the disk is full: {disk / 'checkpoints'} (" in unsaved["reason"]
    assert "bytes free)" in unsaved["reason"]
    assert len(events(told(), "saved_again")) == 1
    reporter.close()


def test_records_and_pictures_wait_for_room_in_their_order_and_no_line_is_torn(disk: Path) -> None:
    reporter = Reporter(disk, attempt=1)
    reporter.event("first")
    filler = fill(disk)

    for step in range(200):
        reporter.metrics({"train/loss": step / 7}, step=step)
        if step == 100:
            reporter.picture("val/samples", Image.new("L", (64, 64)), step=step)
    during = read_all(disk / "journal")
    assert len([r for r in during if r["kind"] == "metric"]) < 100
    filler.unlink()
    reporter.close()

    records = read_all(disk / "journal")
    assert [r["step"] for r in records if r["kind"] == "metric"] == list(range(200))
    (picture,) = [r for r in records if r["kind"] == "picture"]
    with Image.open(disk / picture["path"]) as image:
        assert image.size == (64, 64)
    at = records.index(picture)
    assert (records[at - 1]["step"], records[at + 1]["step"]) == (100, 101)
    assert len(events(records, "unsaved")) == len(events(records, "saved_again")) == 1


def test_a_journal_that_stays_full_fails_plainly_at_the_limit(disk: Path) -> None:
    reporter = Reporter(disk, attempt=1)
    reporter.unsaved.limit = 0.3
    fill(disk)

    def tell_for_ever() -> None:
        for step in count():
            reporter.metrics({"train/loss": 1.0}, step=step)

    with pytest.raises(StorageAway, match=r"the journal could not be saved .*: the disk is full: "):
        tell_for_ever()
    with pytest.raises(StorageAway):
        reporter.close()


def test_a_job_on_a_disk_that_is_full_for_a_while_ends_as_if_it_had_not_been(
    write: Callable[..., Document],
    train_here: Callable[..., dict[str, float]],
    disk: Path,
    tmp_path: Path,
) -> None:
    """There is room again once the job has waited for it at its end, twice."""
    document = write(MODEL, "model.name=users_own:Net", "checkpoint.every=1 step", "max_steps=9")
    job = disk / "job"
    job.mkdir()
    filler = fill(disk, leave=200_000)
    with ExitStack() as stack:
        freeing = threading.Thread(target=free_when_trained, args=(job, filler))
        freeing.start()
        stack.callback(freeing.join)
        metrics = train_here(document, job)

    assert metrics == train_here(document, tmp_path / "undisturbed")
    there, undisturbed = (
        load_file(folder / "model" / "weights.safetensors")
        for folder in (job, tmp_path / "undisturbed")
    )
    assert all(torch.equal(there[name], undisturbed[name]) for name in undisturbed)
    assert [c.step for c in existing(job / "checkpoints")] == [9]
    records = read_all(job / "journal")
    assert [r["what"] for r in events(records, "unsaved")] == ["a checkpoint"]
    assert not list(job.rglob(".*"))


def free_when_trained(job: Path, filler: Path) -> None:
    """Make room once the last step was told."""

    def is_trained() -> bool:
        records = read_all(job / "journal")
        told = {r["step"] for r in records if r.get("name") == "train/loss"}
        return 9 in told and bool(events(records, "unsaved"))

    try:
        wait_until(is_trained, 120, lambda: read_all(job / "journal"))
    finally:
        filler.unlink()


def test_a_job_on_a_disk_that_stays_full_fails_by_storage_and_keeps_its_last_good_checkpoint(
    write: Callable[..., Document],
    train_here: Callable[..., dict[str, float]],
    disk: Path,
) -> None:
    options = ("model.name=users_own:Net", "checkpoint.every=1 step")
    job = disk / "job"
    train_here(write(MODEL, *options, "max_steps=2"), job)
    fill(disk, leave=200_000)

    with pytest.raises(StorageAway, match=r"a checkpoint could not be saved for 1 s: the disk is"):
        train_here(
            write(MODEL, *options, "max_steps=4", "checkpoint.give_up_after=1 second"), job, 2
        )

    (last,) = existing(job / "checkpoints")
    assert (last.step, verify(last)) == (2, None)
    (failed,) = events(read_all(job / "journal"), "failed")
    assert failed["verdict"] == "storage"
    assert "the disk is full" in failed["message"]
    assert "bytes free)" in failed["message"]
