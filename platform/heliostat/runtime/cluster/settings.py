"""What `helio up` starts with: what was asked for, what runs already, and the defaults."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from heliostat.runtime.cluster import running
from heliostat.runtime.cluster.ports import LOOPBACK, check_address, check_free, url_host
from heliostat.runtime.cluster.running import Part
from heliostat.runtime.home import home
from heliostat.spec import InputError
from heliostat.tracking.database import check_database
from heliostat.tracking.server import embedded_store, is_unused, ping


@dataclass(frozen=True)
class Wanted:
    """What a person asked for; None: what runs already, else the default."""

    listen: str | None = None
    port: int | None = None
    dashboard_port: int | None = None
    mlflow_port: int | None = None
    jobs_at_once: int | None = None
    storage: str | None = None
    artifacts: str | None = None


@dataclass(frozen=True)
class Settings:
    """What both parts run with."""

    listen: str = LOOPBACK
    """An IP address of this machine; on loopback no other machine can join."""
    port: int = 6379
    """Ray's, where other nodes join."""
    dashboard_port: int = 8265
    mlflow_port: int = 5000
    jobs_at_once: int = max(2, (os.cpu_count() or 1) // 2)
    """Drivers on the head, each of which takes half a GiB; other jobs wait for their turn."""
    storage: str | None = None
    """Where jobs' files lie: a folder that all nodes mount, or `s3://bucket/prefix`."""
    artifacts: str | None = None
    """Where MLflow's server keeps artifacts, such as `s3://bucket/prefix`."""

    @property
    def ray(self) -> str:
        """Where nodes join, IP:PORT."""
        return f"{url_host(self.listen)}:{self.port}"

    @property
    def dashboard(self) -> str:
        """The dashboard's URL."""
        return f"http://{url_host(self.listen)}:{self.dashboard_port}"

    @property
    def mlflow(self) -> str:
        """The URL of MLflow's server."""
        return f"http://{url_host(self.listen)}:{self.mlflow_port}"


def settle(wanted: Wanted) -> Settings:
    """Return what counts: what was asked for, else what runs, else the default.

    Raises InputError where something else was asked for than what it runs with.
    """
    asked = _asked(wanted)
    runs = _running_with()
    for name, value in asked.items() if runs else ():
        other = getattr(runs, name)
        if other != value:
            option = f"--{name.replace('_', '-')}"
            raise InputError.of(
                f"it runs already, {f'with {option} {other}' if other else f'without {option}'}",
                valid=f"`helio down` first, to have it with {option} {value}",
            )
    return replace(runs or Settings(), **asked)


def team_server() -> str | None:
    """Return the team's MLflow server, if the environment names one: none is started then."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return uri if uri.startswith(("http://", "https://", "databricks")) else None


def backend() -> str:
    """Return the URI of the database behind the MLflow server, which may hold a password.

    It is what MLflow's own variables name, else the store that embedded jobs write to.
    """
    given = os.environ.get("MLFLOW_BACKEND_STORE_URI") or os.environ.get("MLFLOW_TRACKING_URI")
    return given or embedded_store(home())


def check(settings: Settings, missing: tuple[Part, ...]) -> None:
    """Raise InputError for what would keep the `missing` parts from starting, in seconds."""
    if missing:
        _check_listen(settings.listen)
        for option, place in (("--storage", settings.storage), ("--artifacts", settings.artifacts)):
            _check_place(option, place)
    if "ray" in missing:
        for option, port in (
            ("--port", settings.port),
            ("--dashboard-port", settings.dashboard_port),
        ):
            check_free(settings.listen, port, what="Ray", option=option)
    if "mlflow" in missing:
        check_free(settings.listen, settings.mlflow_port, what="MLflow", option="--mlflow-port")
        if not is_unused(backend()):
            ping(backend())
            if backend().startswith("sqlite"):  # of others, ping does
                check_database(backend())
    if team := team_server():
        ping(team)


def _asked(wanted: Wanted) -> dict[str, Any]:
    asked = {name: value for name, value in asdict(wanted).items() if value is not None}
    if "storage" not in asked and os.environ.get("HELIO_STORAGE"):
        asked["storage"] = os.environ["HELIO_STORAGE"]
    for name in ("storage", "artifacts"):
        if name in asked and "://" not in asked[name]:
            asked[name] = str(Path(asked[name]).expanduser().absolute())
    return asked


def _running_with() -> Settings | None:
    """Return the settings of what runs; None where neither part lives.

    A part that has died is started again as it was, since the other one knows its address.
    """
    ray, mlflow = running.ray_here(), running.mlflow_here()
    if ray and not running.is_head(ray):
        raise InputError.of(
            f"this machine is a node of the cluster at {ray.options['head']}",
            valid="`helio down` leaves it",
        )
    if not ray and not mlflow:
        return None
    known: dict[str, Any] = {}
    for part in running.PARTS:
        if last := running.recorded(part):
            known |= {name: last.options[name] for name in _OF[part]}
    return Settings(**known)


_OF: dict[Part, tuple[str, ...]] = {
    "ray": ("listen", "port", "dashboard_port", "jobs_at_once", "storage"),
    "mlflow": ("listen", "mlflow_port", "artifacts"),
}


def _check_place(option: str, place: str | None) -> None:
    if place is None or not place.startswith("s3://"):
        return
    from heliostat.data.stores import probe

    try:
        probe(place)
    except InputError as error:
        raise InputError(replace(p, key=(option,)) for p in error.problems) from error


def _check_listen(listen: str) -> None:
    try:
        address = ipaddress.ip_address(listen)
        if address.is_unspecified or (address.is_loopback and listen != LOOPBACK):
            raise ValueError
    except ValueError:
        raise InputError.of(
            f"{listen!r} is not an IP address by which other machines reach this one",
            valid=f"--listen with such an address, or with {LOOPBACK}",
        ) from None
    check_address(listen)
