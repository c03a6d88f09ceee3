"""An attempt that wakes up late: the one that has begun meanwhile owns the job."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from heliostat.spec import Document
from heliostat.training.checkpoints import CheckpointStore, existing
from heliostat.training.fence import Superseded
from heliostat.training.journal import events, read_all
from heliostat.training.reporter import Reporter
from standing_still import MODEL, OVERRIDES, PATIENCE, newest, start, told, values
from waiting import wait_until


def checkpoints(folder: Path, reporter: Reporter, attempt: int) -> CheckpointStore:
    return CheckpointStore(
        folder / "checkpoints",
        attempt=attempt,
        keep_best=0,
        keep_latest=1,
        maximize=True,
        unsaved=reporter.unsaved,
        fence=reporter.fence.check_now,
    )


def save(to: CheckpointStore, step: int) -> None:
    to.save(step, {"w": torch.full((3,), float(step))}, {})
    to.wait()


def test_a_late_attempt_writes_no_checkpoint_prunes_none_and_tells_no_metric(
    tmp_path: Path,
) -> None:
    first = Reporter(tmp_path, attempt=1)
    late = checkpoints(tmp_path, first, 1)
    save(late, 10)
    second = Reporter(tmp_path, attempt=2)
    owner = checkpoints(tmp_path, second, 2)
    owner.newest()
    with pytest.raises(Superseded, match="attempt 2 of this job has begun: attempt 1 ends"):
        save(late, 20)
    with pytest.raises(Superseded):
        first.metrics({"train/loss": 1.0}, step=20)
    assert [c.step for c in existing(tmp_path / "checkpoints")] == [10]

    save(owner, 11)
    assert [(c.step, c.attempt) for c in existing(tmp_path / "checkpoints")] == [(11, 2)]
    assert not [r for r in read_all(tmp_path / "journal") if r["kind"] == "metric"]
    for reporter in (first, second):
        reporter.close()


def test_what_a_late_attempt_had_written_just_before_is_not_gone_on_from(tmp_path: Path) -> None:
    """It was between its last look and its manifest when it was stopped."""
    before = Reporter(tmp_path, attempt=1)
    unfenced = CheckpointStore(
        tmp_path / "checkpoints", attempt=1, keep_best=1, keep_latest=2, maximize=True
    )
    save(unfenced, 10)
    owner = CheckpointStore(
        tmp_path / "checkpoints", attempt=2, keep_best=1, keep_latest=2, maximize=True
    )
    assert owner.newest()[0] is not None
    unfenced.save(20, {"w": torch.ones(3)}, {}, objective=9.9)
    unfenced.wait()

    save(owner, 11)

    assert [(c.step, c.attempt) for c in existing(tmp_path / "checkpoints")] == [(10, 1), (11, 2)]
    assert owner.best() is None
    before.close()


def test_a_process_that_was_stopped_ends_itself_when_it_wakes_up_beside_the_next_attempt(
    write: Callable[..., Document],
    train_here: Callable[..., dict[str, float]],
    tmp_path: Path,
) -> None:
    document = write(MODEL, *OVERRIDES)
    job, whole = tmp_path / "job", tmp_path / "whole"
    goes_on = tmp_path / "go-on"
    process = start(document, job, STAND_STILL_AT="9", UNTIL=str(goes_on))
    try:
        wait_until(lambda: told(job) >= 8 and newest(job) >= 6, PATIENCE, lambda: told(job))
        process.send_signal(signal.SIGSTOP)
        metrics = train_here(document, job, attempt=2)
        goes_on.touch()
        process.send_signal(signal.SIGCONT)
        _, error = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()

    assert "Superseded: attempt 2 of this job has begun: attempt 1 ends" in error
    assert metrics == train_here(document, whole)
    assert values(job) == values(whole)
    assert {c.attempt for c in existing(job / "checkpoints")} == {2}
    (failed,) = events(read_all(job / "journal"), "failed")
    assert (failed["attempt"], failed["verdict"]) == (1, "superseded")
