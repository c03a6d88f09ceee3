"""Jobs that tests look at while they run."""

from __future__ import annotations

import time
from typing import Any

from command import Helio
from heliostat.training.storage import read_json


def wait_for_step(helio: Helio, process: Any, step: int) -> str:
    """Return the newest job's id once its progress has come to `step`."""
    deadline = time.monotonic() + 120
    before = {path.name for path in (helio.home / "jobs").glob("*")}
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for folder in (helio.home / "jobs").glob("*"):
            progress = read_json(folder / "progress.json") if folder.name not in before else None
            if progress and progress.get("step", 0) >= step:
                return folder.name
        time.sleep(0.05)
    raise AssertionError("training did not begin within two minutes")
