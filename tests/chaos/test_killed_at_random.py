"""Jobs in one process that are killed at any moment, from their first to their last."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from chaos_table import Survived
from disturbed import STEPS, Disturbed, Reference

KILLS = 5


@pytest.mark.parametrize(
    ("seed", "kills"),
    [(0, 2), *(pytest.param(n, KILLS, marks=pytest.mark.slow) for n in range(1, 11))],
)
def test_a_job_killed_at_any_moment_again_and_again_loses_nothing(
    seed: int,
    kills: int,
    begin: Callable[..., Disturbed],
    undisturbed: Reference,
    survived: Survived,
) -> None:
    draw = random.Random(seed)
    fired = 0
    while fired < kills:
        job = begin()
        while fired < kills and not job.done and kill_some_time(job, draw, undisturbed.seconds):
            fired += 1
            job.go_on()
        # Else it came to its end before its time to be killed: that was no fault.
        assert job.command.wait() in (0, -signal.SIGKILL), job.command.err
        job.go_on_to_the_end()
        survived("kill -9 at a random moment", job.assert_nothing_lost(undisturbed))


def kill_some_time(job: Disturbed, draw: random.Random, whole: float) -> bool:
    """Kill the job, half of the time with its recorder; say whether it was there to be killed.

    The moment is any within what is left of the seconds that a `whole` job takes.
    """
    left = 1 - 0.7 * job.step / STEPS  # a job that has trained has its end before it
    until = job.command.began + draw.uniform(0, whole * left)
    with_recorder = draw.random() < 0.5
    while time.time() < until:
        if job.command.poll() is not None:
            return False
        time.sleep(0.005)
    recorders = [p for p in job.processes() if p.pid != job.command.pid] if with_recorder else []
    return job.kill(*(process.pid for process in recorders if lives(process)))


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
