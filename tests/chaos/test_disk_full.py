"""A disk that is full for a while, amid training."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_table import Survived
from disturbed import Disturbed, Reference
from full_disk import fill, small_disk
from heliostat.training.journal import events, read_all
from warm import Warm


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_costs_nothing(
    warm: Warm, undisturbed: Reference, stands: Path, survived: Survived
) -> None:
    home = warm.helio.home
    with small_disk(home / "jobs" / "full", size="8m") as disk:
        env = {"HELIO_JOB_ID": "full", "CHAOS_STANDS_AT": f"step:100@{stands}"}
        job = Disturbed.begin(warm, home, "--local", "--set", "model.args.pause=0.02", env=env)
        job.wait_for_step(50)
        fills = fill(disk)
        job.fire()
        job.wait_for_stand(stands)
        fills.unlink()
        stands.unlink()
        assert job.command.wait() == 0, job.command.err
        assert events(read_all(disk / "journal"), "unsaved")
        survived("disk full from step 50 to 100", job.assert_nothing_lost(undisturbed))
