"""`helio join`: this machine becomes a node of a cluster that another one's `helio up` started."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from heliostat.runtime.cluster import gcs, node, running
from heliostat.runtime.cluster.down import clear_away, stop_part
from heliostat.runtime.home import home
from heliostat.spec import InputError

START_SECONDS = 120.0


@dataclass(frozen=True)
class Joined:
    """A node of a cluster."""

    head: str
    """IP:PORT"""
    dashboard: str
    started: bool
    """False: it was a node of that cluster already."""
    seconds: float


def join(head: str, token: str | None, *, show: Callable[[str], None]) -> Joined:
    """Start a node here that joins the cluster at `head`, IP:PORT.

    A given `token` is kept in HELIO_HOME, readable by its owner alone; without one, the token of
    the environment or of HELIO_HOME counts.

    Raises InputError, within 10 s and with nothing left running, where no cluster answers, it
    refuses the token, or it runs another Ray or Python.
    """
    begun = time.monotonic()
    with running.alone():
        there = running.ray_here()
        if there:
            if there.options.get("head") == head:
                return Joined(head, there.address, False, 0.0)
            raise InputError.of(
                "a Ray runs here already, " + _what(there.options.get("head")),
                valid="`helio down` first",
            )
        os.environ["RAY_AUTH_MODE"] = "token"
        if token is not None:
            os.environ["RAY_AUTH_TOKEN"] = _checked(token)
        os.environ.update(node.token_variables())
        dashboard = gcs.greet(head)
        if token is not None:
            _keep(token)
        show(f"joining {head}")
        clear_away()
        try:
            node.start_node(head, dashboard)
            _wait_until_it_is_up()
            node.start_workers_ahead(head)
        except BaseException:
            stop_part("ray")
            raise
    return Joined(head, dashboard, True, round(time.monotonic() - begun, 1))


def _what(head: object) -> str:
    return f"a node of {head}" if head else "the head of a cluster"


def _checked(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError.of(
            "what came on standard input is no token", valid="helio join IP:PORT < ray-token"
        )
    return token


def _keep(token: str) -> None:
    """Keep a token that the cluster knows; the node reads it there."""
    path = home() / "ray-token"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    del os.environ["RAY_AUTH_TOKEN"]
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)


def _wait_until_it_is_up() -> None:
    deadline = time.monotonic() + START_SECONDS
    while not node.is_up():
        started = running.recorded("ray")
        lives = started is not None and started.lives
        if not lives or time.monotonic() > deadline:
            why = "it takes too long" if lives else node.why_ended()
            raise InputError.of(f"Ray did not start: {why}", valid=f"see {running.log('ray')}")
        time.sleep(0.1)
