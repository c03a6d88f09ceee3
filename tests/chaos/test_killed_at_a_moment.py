"""A job in one process that is killed just where it hurts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos_table import Survived
from disturbed import MANIFEST, Disturbed, Reference

MOMENTS = {
    "between a checkpoint's files and its manifest": MANIFEST,
    "in the middle of a checkpoint's files": "write:*/checkpoints/step-*/*state.json*",
    "evaluating, before the epoch's checkpoint": "evaluation:2",
    "testing, after the last step": "write:*/pictures/test/*",
    "packaging the model": "write:*/model/*model.json*",
    "writing down the result": "write:*result.json*",
}
OFTEN = ("between a checkpoint's files and its manifest",)


@pytest.mark.parametrize(
    "moment",
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in MOMENTS],
)
def test_a_job_killed_at_a_moment_goes_on_and_loses_nothing(
    moment: str,
    begin: Callable[..., Disturbed],
    stands: Path,
    undisturbed: Reference,
    survived: Survived,
) -> None:
    job = begin(CHAOS_STANDS_AT=f"{MOMENTS[moment]}@{stands}")
    assert job.wait_for_stand(stands) == job.command.pid
    assert job.kill()
    assert job.go_on().wait() == 0, job.command.err
    survived(f"kill -9, {moment}", job.assert_nothing_lost(undisturbed))
