"""A Ray cluster's dashboard over HTTP: the Jobs API, and what the cluster says of itself.

Ray's own client of this API waits without a limit, takes RAY_ADDRESS over the address that it is
given, and takes 1.0 s of a core to import, where a whole `helio jobs` takes 0.4 s.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from heliostat.runtime.home import home
from heliostat.spec import InputError, Problem

CONNECT_SECONDS = 4.0
FIRST_SECONDS = 5.0
"""For the first question, which a cluster answers from memory."""
ANSWER_SECONDS = 30.0
"""For the others: a head that starts fifty jobs on two cores is slow, and there."""

_AWAY = (502, 503, 504)
"""What a proxy says while the dashboard behind it starts anew."""


class ClusterAway(InputError):
    """The cluster can't be reached now; the same question may be answered later."""


class Refused(InputError):
    """The cluster answered, and did not do what was asked."""


class Cluster:
    """A cluster that answered, and the token for it."""

    def __init__(self, address: str, token: str | None) -> None:
        """Take `address`, `http(s)://host:port`; nothing is asked yet."""
        self.address = address
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = requests.Session()
        # As `auth`, since requests puts what ~/.netrc says of the host over a mere header.
        self._session.auth = self._sign

    def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> requests.Response:
        """Return the answer, whatever its status is, except to a token that is not the cluster's.

        Raises ClusterAway where none comes within `seconds`, InputError for a refused token.
        """
        try:
            response = self._session.request(
                method,
                self.address + path,
                json=json,
                # In pieces: the time limit of a socket is for all that is sent at once.
                data=io.BytesIO(data) if data is not None else None,
                timeout=(CONNECT_SECONDS, seconds),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise self.away(_reason(error)) from error
        if response.status_code in (401, 403):
            raise self._no_entry(response.status_code)
        if response.status_code in _AWAY:
            raise self.away(f"HTTP {response.status_code}")
        return response

    def value(self, method: str, path: str, *, json: Any = None) -> Any:
        """Return the answer's JSON value; raises Refused for a status other than 200."""
        response = self.ask(method, path, json=json)
        if response.status_code != 200:
            raise self.refused(response)
        try:
            return response.json()
        except ValueError as error:
            raise self._not_ray() from error

    def probe(self) -> None:
        """Raise InputError, within 10 s, where what answers here is no Ray that lets us in."""
        response = self.ask("GET", "/api/version", seconds=FIRST_SECONDS)
        try:
            response.json()["ray_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._not_ray() from error

    def refused(self, response: requests.Response) -> Refused:
        """Return the error of an answer that says no: its last line tells why."""
        lines = response.text.strip().splitlines() or [f"HTTP {response.status_code}"]
        return Refused([Problem(f"the Ray cluster at {self.address}: {lines[-1].strip()}")])

    def away(self, reason: str) -> ClusterAway:
        """Return the error of a cluster that can't be reached."""
        message = f"no Ray cluster answers at {self.address} ({reason})"
        return ClusterAway([Problem(message, valid="start it, or another --cluster")])

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self.headers)
        return request

    def _no_entry(self, status: int) -> InputError:
        given = "none was given" if not self.headers else "it refuses this one"
        if status == 403 and not self.headers:
            given = "it refuses"
        return InputError.of(
            f"the Ray cluster at {self.address} asks for a token, and {given}",
            valid="its token in RAY_AUTH_TOKEN_PATH, or in HELIO_HOME/ray-token",
        )

    def _not_ray(self) -> InputError:
        return InputError.of(
            f"what answers at {self.address} is no Ray dashboard", valid="http://host:8265"
        )


def reach(address: str) -> Cluster:
    """Return the cluster at `address`, which answers and knows the token.

    Raises InputError, within 10 s, where that is not so.
    """
    cluster = Cluster(_normal(address), token())
    cluster.probe()
    return cluster


def token() -> str | None:
    """Return the token that Ray's own variables name, else that of HELIO_HOME, else Ray's own."""
    if os.environ.get("RAY_AUTH_MODE", "token") not in ("token", ""):
        return None
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given.strip()
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return _read(Path(named).expanduser())
    for path in (home() / "ray-token", Path("~/.ray/auth_token").expanduser()):
        if path.exists():
            return _read(path)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise InputError.of(
            f"the token file {path} can't be read: {error.strerror}",
            valid="the cluster's token in RAY_AUTH_TOKEN_PATH",
        ) from error


def _normal(address: str) -> str:
    """Return `address` with its scheme; InputError for what can't be a dashboard's."""
    full = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(full)
        right = parts.scheme in ("http", "https") and bool(parts.hostname)
        right = right and ("://" in address or parts.port is not None)
    except ValueError:  # a port that is no number
        right = False
    if not right:
        raise InputError.of(
            f"{address!r} is not the address of a cluster's dashboard", valid="http://host:8265"
        )
    return full.rstrip("/")


def _reason(error: requests.RequestException) -> str:
    """Return why nothing came: requests wraps urllib3's error, and that the socket's own."""
    if isinstance(error, requests.Timeout):
        return "it does not answer in time"
    wrapped = error.args[0] if error.args else None
    socket_error = getattr(getattr(wrapped, "reason", wrapped), "__cause__", None)
    reason = getattr(socket_error, "strerror", None) or socket_error or type(error).__name__
    return str(reason)
