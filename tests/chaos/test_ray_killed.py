"""A job on two workers of Ray's, of which any process is killed, at once and for good."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from chaos_table import Survived
from disturbed import MANIFEST, Disturbed, Reference, kill


def rank(*numbers: int) -> Callable[[Disturbed, Path], list[int]]:
    """Return a search for the processes of these ranks."""

    def find(job: Disturbed, pids: Path) -> list[int]:
        return [int((pids / str(number)).read_text()) for number in numbers]

    return find


def named(*words: str) -> Callable[[Disturbed, Path], list[int]]:
    """Return a search for the job's processes whose command line has one of the words."""

    def find(job: Disturbed, pids: Path) -> list[int]:
        found = [
            process.pid
            for process in psutil.Process(job.command.pid).children(recursive=True)
            if any(word in " ".join(process.cmdline()) for word in words)
        ]
        assert found, f"no process is named {words}"
        return found

    return find


def driver(job: Disturbed, pids: Path) -> list[int]:
    return [job.command.pid]


def driver_and_recorder(job: Disturbed, pids: Path) -> list[int]:
    return [job.command.pid, *named("heliostat.runtime.recorder")(job, pids)]


RAY = ("ray::", "raylet", "gcs_server", "/ray/")
VICTIMS = {
    "rank 0": rank(0),
    "rank 1": rank(1),
    "all ranks": rank(0, 1),
    "Ray Train's controller": named("TrainController"),
    "the driver": driver,
    "the driver and the recorder": driver_and_recorder,
    "the recorder": named("heliostat.runtime.recorder"),
    "the raylet": named("raylet/raylet"),
    "Ray's head (GCS)": named("gcs_server"),
    "all of Ray": named(*RAY),
}
OUTLIVED = ("rank 0", "rank 1", "all ranks", "the recorder")
"""What a job survives by itself; after the others somebody types `helio resume`."""


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_job_on_ray_goes_on_after_kill_9_of(
    victim: str,
    begin_on_ray: Callable[..., Disturbed],
    tmp_path: Path,
    undisturbed_on_ray: Reference,
    survived: Survived,
) -> None:
    job = begin_on_ray("--set", "model.args.pause=0.02")
    job.wait_for_step(70)
    if "recorder" in victim:
        job.wait(lambda: job.recorded.get("run_id"), "the run in MLflow")
    pids = VICTIMS[victim](job, tmp_path)
    job.fire()
    kill(*pids)
    status = job.command.wait()
    if victim in OUTLIVED:
        assert status == 0, job.command.err
    elif status != 0:
        assert status == (-signal.SIGKILL if "driver" in victim else 1), job.command.err
        assert job.go_on().wait() == 0, job.command.err
    how = "by itself" if status == 0 else "after helio resume"
    survived(f"Ray: kill -9 of {victim}, {how}", job.assert_nothing_lost(undisturbed_on_ray))
    assert len(job.attempts) == (1 if victim == "the recorder" else 2)


MOMENTS = {
    "between a checkpoint's files and its manifest": MANIFEST,
    "evaluating": "evaluation:2",
    "packaging the model": "write:*/model/*model.json*",
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_rank_killed_at_a_moment_costs_the_steps_since_the_checkpoint_and_nothing_else(
    moment: str,
    begin_on_ray: Callable[..., Disturbed],
    stands: Path,
    undisturbed_on_ray: Reference,
    survived: Survived,
) -> None:
    job = begin_on_ray(CHAOS_STANDS_AT=f"{MOMENTS[moment]}@{stands}")
    pid = job.wait_for_stand(stands)
    job.fire()
    kill(pid)
    assert job.command.wait() == 0, job.command.err
    survived(f"Ray: kill -9 of a rank, {moment}", job.assert_nothing_lost(undisturbed_on_ray))
    assert len(job.attempts) == 2
