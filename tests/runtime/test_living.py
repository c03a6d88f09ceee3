"""Which processes count as alive."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from heliostat.runtime.living import still_lives
from waiting import wait_until


def test_a_process_that_has_ended_and_was_not_asked_for_its_status_lives_no_more() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert still_lives(process.pid, time.time())
        process.kill()
        state = psutil.Process(process.pid).status
        wait_until(lambda: state() == psutil.STATUS_ZOMBIE, 20, state)
        assert not still_lives(process.pid, time.time())
