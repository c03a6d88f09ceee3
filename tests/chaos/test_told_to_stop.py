"""Jobs whose process is told to end, or is stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos_table import Survived
from disturbed import Disturbed, Reference

SLOWLY = ("--set", "model.args.pause=0.02")


@pytest.mark.slow
def test_a_job_that_gets_a_sigterm_repeats_no_step(
    begin: Callable[..., Disturbed], undisturbed: Reference, survived: Survived
) -> None:
    job = begin(*SLOWLY)
    job.wait_for_step(70)
    terminate(job)
    outcomes = job.assert_nothing_lost(undisturbed)
    survived("SIGTERM of the job's process", outcomes)
    assert [outcome.lost_steps for outcome in outcomes] == [0]


@pytest.mark.slow
def test_a_job_on_ray_that_gets_a_sigterm_repeats_no_step(
    begin_on_ray: Callable[..., Disturbed], undisturbed_on_ray: Reference, survived: Survived
) -> None:
    job = begin_on_ray(*SLOWLY)
    job.wait_for_step(70)
    terminate(job)
    outcomes = job.assert_nothing_lost(undisturbed_on_ray)
    survived("Ray: SIGTERM of the driver", outcomes)
    assert [outcome.lost_steps for outcome in outcomes] == [0]


def terminate(job: Disturbed) -> None:
    """Send SIGTERM to the command, wait for its end, and go on with the job."""
    os.kill(job.command.pid, signal.SIGTERM)
    assert job.command.wait() == 130, job.command.err
    assert (job.ended or {}).get("status") == "KILLED"
    job.fire()
    assert job.go_on().wait() == 0, job.command.err


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_stopped_is_found_and_the_job_goes_on(
    rank: int,
    begin_on_ray: Callable[..., Disturbed],
    tmp_path: Path,
    undisturbed_on_ray: Reference,
    survived: Survived,
) -> None:
    job = begin_on_ray(*SLOWLY, "--set", "stall.after=20 seconds")
    job.wait_for_step(70)
    pid = int((tmp_path / str(rank)).read_text())
    os.kill(pid, signal.SIGSTOP)
    job.fire()
    assert job.command.wait(400) == 0, job.command.err
    assert "no progress for 20 seconds" in job.command.err
    survived(f"Ray: SIGSTOP of rank {rank}", job.assert_nothing_lost(undisturbed_on_ray))
