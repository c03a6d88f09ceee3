"""A machine whose clock is set back by an hour while a job trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from chaos_table import Survived
from command import ROOT
from disturbed import Disturbed, Reference
from heliostat.training.journal import read_all
from warm import CLOCK


def test_a_clock_that_is_stepped_back_an_hour_changes_nothing(
    begin: Callable[..., Disturbed],
    tmp_path: Path,
    undisturbed: Reference,
    survived: Survived,
) -> None:
    stepped = tmp_path / "stepped"
    path = f"{CLOCK}:{ROOT / 'platform'}"
    job = begin("--set", "model.args.pause=0.01", CHAOS_CLOCK=str(stepped), PYTHONPATH=path)
    job.wait_for_step(50)
    stepped.touch()
    job.clock = lambda: time.time() - 3600
    job.wait_for_step(110)
    assert job.kill()
    assert job.go_on().wait() == 0, job.command.err
    assert job.folder
    times = [r["time"] for r in read_all(job.folder / "journal") if r.get("name") == "train/loss"]
    assert min(later - earlier for earlier, later in pairwise(times)) < -3.5e6
    survived("clock stepped back 1 h, then kill -9", job.assert_nothing_lost(undisturbed))
