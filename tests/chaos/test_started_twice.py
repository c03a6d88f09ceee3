"""The same job started twice at once: one of the two does it, the other says so and leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from chaos_table import Survived
from disturbed import JOB, Disturbed, Reference
from warm import Command, Warm


def test_of_two_jobs_with_the_same_id_at_once_one_runs(
    warm: Warm, undisturbed: Reference, survived: Survived
) -> None:
    env = {"HELIO_JOB_ID": "twice"}
    job = Disturbed.begin(warm, warm.helio.home, "--local", env=env)
    second = warm.start("run", JOB, "--json", "--local", env=env)
    job.fire()
    one_of(job, second)
    survived("the same id started twice at once", job.assert_nothing_lost(undisturbed))


@pytest.mark.slow
def test_of_two_resumes_at_once_one_goes_on(
    warm: Warm, begin: Callable[..., Disturbed], undisturbed: Reference, survived: Survived
) -> None:
    job = begin()
    job.wait_for_step(70)
    assert job.kill()
    job.go_on()
    one_of(job, warm.start("resume", job.id, "--json"))
    survived("kill -9, then resumed twice at once", job.assert_nothing_lost(undisturbed))


def one_of(job: Disturbed, second: Command) -> None:
    """Assert that one of the two commands was refused, and make the other the job's."""
    both = [job.command, second]
    statuses = sorted((command.wait(), number) for number, command in enumerate(both))
    assert [status for status, _ in statuses] == [0, 2], [command.err for command in both]
    assert f"job {job.id} is running" in both[statuses[1][1]].err
    job.command = replace(both[statuses[0][1]], began=time.time())
