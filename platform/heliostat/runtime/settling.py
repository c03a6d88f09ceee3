"""Runs that say RUNNING while nobody runs them any more."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping

from heliostat.runtime.living import still_lives
from heliostat.tracking import tags as tag
from heliostat.tracking.runs import Settled, settle

ELSEWHERE_SECONDS = 600.0
"""A silent process of another host is believed dead after this; one of this host is looked for."""


def settle_dead(uri: str) -> list[Settled]:
    """End the runs in MLflow whose job died without a word; return them."""
    return settle(uri, alive=_alive)


def _alive(tags: Mapping[str, str]) -> bool:
    heard = float(tags.get(tag.HEARTBEAT, "0"))
    if tags.get(tag.HOST) == platform.node():
        return still_lives(int(tags.get(tag.PID, "0")), heard)
    return time.time() - heard < ELSEWHERE_SECONDS
