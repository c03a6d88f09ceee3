"""What comes first where processors are few."""

from __future__ import annotations

import os
import threading


def come_after_training(niceness: int = 5) -> None:
    """Lower this thread's priority, which on Linux is its own, to that of work beside training.

    One that is lower already stays: raising it is root's right.
    """
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, max(before, niceness))
