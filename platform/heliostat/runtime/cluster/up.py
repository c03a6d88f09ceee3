"""`helio up`: a Ray head and an MLflow server on this machine, in the background."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from heliostat.runtime.cluster import mlflow_server, node, running
from heliostat.runtime.cluster.down import clear_away, stop_part
from heliostat.runtime.cluster.lost_jobs import end_lost
from heliostat.runtime.cluster.ports import LOOPBACK
from heliostat.runtime.cluster.running import PARTS, TITLES, Part
from heliostat.runtime.cluster.settings import Settings, Wanted, check, settle, team_server
from heliostat.runtime.home import home
from heliostat.spec import InputError
from heliostat.tracking.server import credentials, password_file
from heliostat.tracking.standing import Standing

START_SECONDS = 240.0
"""A busy machine, or an empty PostgreSQL in which MLflow makes its tables, takes a minute."""


TABLES_SECONDS = 60.0
"""How long MLflow has for that where something else failed meanwhile."""


@dataclass(frozen=True)
class Up:
    """What runs, and how it is reached; no secret is in it."""

    ray: str
    """IP:PORT, where nodes join."""
    dashboard: str
    mlflow: str
    token_file: Path | None
    """None: the token is in RAY_AUTH_TOKEN of the environment."""
    password_file: Path | None
    """The password of the user `helio`; None where MLflow is the team's server."""
    join: str | None
    """What makes another machine a node; None on loopback, where none can join."""
    started: tuple[Part, ...]
    """What was not running before."""
    seconds: float


def up(wanted: Wanted, *, show: Callable[[str], None]) -> Up:
    """Start what does not run yet, wait until it answers, and say how it is reached.

    Raises InputError, with nothing left running that was not before, for an address or a port that
    can't be had, a database that can't be used, or other options than those that it runs with.
    """
    begun = time.monotonic()
    with running.alone():
        settings = settle(wanted)
        missing = _missing()
        clear_away()
        check(settings, missing)
        if missing:
            show(f"starting {' and '.join(TITLES[part] for part in missing)}")
        try:
            _start(settings, missing)
            _wait_until_they_answer(settings)
            if "ray" in missing:
                node.start_workers_ahead(settings.ray)
                _end_lost_jobs()
        except BaseException:
            if "mlflow" in missing:
                _let_it_make_its_tables()
            for part in missing:
                stop_part(part)
            raise
    return _up(settings, missing, round(time.monotonic() - begun, 1))


def _missing() -> tuple[Part, ...]:
    here = {"ray": running.ray_here(), "mlflow": running.mlflow_here() or team_server()}
    return tuple(part for part in PARTS if not here[part])


def _start(settings: Settings, missing: tuple[Part, ...]) -> None:
    if "mlflow" in missing:
        mlflow_server.start_server(settings)
    if "ray" in missing:
        node.start_head(settings, _tracking(settings))


def _tracking(settings: Settings) -> dict[str, str]:
    """Return MLflow's variables for the head, from which jobs' drivers inherit them."""
    if team := team_server():
        return {"MLFLOW_TRACKING_URI": team}
    return {"MLFLOW_TRACKING_URI": settings.mlflow, **credentials(home())}


def _wait_until_they_answer(settings: Settings) -> None:
    deadline = time.monotonic() + START_SECONDS
    answers = {"ray": node.answers, "mlflow": mlflow_server.answers}
    waiting = [part for part in PARTS if running.recorded(part)]
    again = False
    while waiting:
        for part in tuple(waiting):
            standing = running.recorded(part)
            assert standing is not None  # it was started, or lives
            if answers[part](standing):
                waiting.remove(part)
            elif part == "ray" and not (standing.lives or again) and node.was_too_slow():
                again = True  # by now the machine has read everything from its disk
                stop_part("ray")
                _start(settings, ("ray",))
            elif not standing.lives or time.monotonic() > deadline:
                raise _failed(part, standing)
        time.sleep(0.1)


def _end_lost_jobs() -> None:
    head = running.recorded("ray")
    if os.environ.get("RAY_REDIS_ADDRESS") and head is not None:
        end_lost(head)


def _let_it_make_its_tables() -> None:
    """Wait until MLflow, which may be at its first start, has a whole database to leave behind."""
    deadline = time.monotonic() + TABLES_SECONDS
    standing = running.recorded("mlflow")
    while standing is not None and standing.lives and time.monotonic() < deadline:
        with suppress(InputError):  # another password: it answers all the same
            if mlflow_server.answers(standing):
                return
        time.sleep(0.2)


def _failed(part: Part, standing: Standing) -> InputError:
    ended = {"ray": node.why_ended, "mlflow": mlflow_server.why_ended}
    why = f"no answer in {START_SECONDS:.0f} s" if standing.lives else ended[part]()
    return InputError.of(f"{TITLES[part]} did not start: {why}", valid=f"see {running.log(part)}")


def _up(settings: Settings, started: tuple[Part, ...], seconds: float) -> Up:
    team, token = team_server(), node.token_source()
    join = f"ssh THAT_MACHINE helio join {settings.ray} < {token or 'FILE_WITH_THE_TOKEN'}"
    return Up(
        ray=settings.ray,
        dashboard=settings.dashboard,
        mlflow=team or settings.mlflow,
        token_file=token,
        password_file=None if team else password_file(home()),
        join=None if settings.listen == LOOPBACK else join,
        started=started,
        seconds=seconds,
    )
