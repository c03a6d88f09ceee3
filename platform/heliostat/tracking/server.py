"""Where MLflow is, and whether it answers. Imports no mlflow, so that asking is fast."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from heliostat.spec.problems import InputError
from heliostat.tracking.database import check_database
from heliostat.tracking.standing import Standing, living

USER = "helio"
"""Who logs in to the MLflow server that `helio up` starts; its admin."""

ANSWER_SECONDS = 3.0
_FORMS = "MLFLOW_TRACKING_URI to sqlite:////path/mlflow.db or http://host:port"
_DATABASES = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_UNSET = "start it or unset MLFLOW_TRACKING_URI"
_PROBES = ("/health", "/api/2.0/mlflow/experiments/search?max_results=1")


class TrackingAway(Exception):
    """MLflow can't be reached, or can't store anything now: send the same again later."""


def tracking_uri(home: Path) -> str:
    """Return MLFLOW_TRACKING_URI, else the server that `helio up` keeps over the folder `home`.

    Where there is neither, it is the embedded store, `mlflow.db` in that folder. For the server of
    `helio up`, MLflow's variables for user and password are set in this process.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    server = server_of(home)
    if server is None:
        return embedded_store(home)
    os.environ.update(credentials(home))
    return server.address


def embedded_store(home: Path) -> str:
    """Return the URI of the store that needs no server."""
    return f"sqlite:///{home.absolute()}/mlflow.db"


def server_of(home: Path) -> Standing | None:
    """Return the MLflow server that `helio up` started over `home`; None where none lives."""
    return living(home.absolute() / "cluster" / "mlflow.json")


def credentials(home: Path) -> dict[str, str]:
    """Return what MLflow's clients read to log in to the server of `helio up`.

    Raises InputError where the file with the password can't be read.
    """
    file = password_file(home)
    try:
        password = file.read_text().strip()
    except OSError as error:
        raise InputError.of(
            f"the password of the MLflow server can't be read: {file} ({error.strerror})",
            valid="`helio down` and `helio up` make a new one",
        ) from None
    return {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": password}


def password_file(home: Path) -> Path:
    """Return the file, readable by its owner alone, with the password of the user `helio`."""
    return home.absolute() / "mlflow-password"


def is_unused(uri: str) -> bool:
    """Whether the store is an SQLite file that nobody has made yet, which takes MLflow 10 s."""
    file = _sqlite_file(uri)
    return file is not None and not file.exists()


def artifact_root(home: Path) -> str | None:
    """Return where new experiments keep artifacts; None where a tracking server decides that."""
    if urlsplit(tracking_uri(home)).scheme.startswith(("http", "databricks")):
        return None
    return (home.absolute() / "artifacts").as_uri()


def ping(uri: str) -> None:
    """Check within 3 s a try that the tracking store at `uri` answers.

    Raises:
        InputError: nothing answers, the store is of a kind that MLflow no longer keeps, or it is
            a database that `check_database` finds unfit.
    """
    scheme = uri.partition(":")[0].partition("+")[0] if ":" in uri else ""
    if scheme in ("http", "https"):
        _ping_server(uri)
    elif scheme == "sqlite":
        _check_file(uri)
    elif scheme in ("", "file"):
        raise InputError.of(
            f"MLflow no longer keeps runs in a plain folder ({uri})", valid=f"set {_FORMS}"
        )
    elif scheme in _DATABASES:
        _ping_database(uri, _DATABASES[scheme])
        check_database(uri)
    elif scheme != "databricks":
        raise InputError.of(f"{uri} is not MLflow's address", valid=f"set {_FORMS}")


def _ping_server(uri: str) -> None:
    problem = ""
    for path in _PROBES:
        try:
            with urllib.request.urlopen(uri.rstrip("/") + path, timeout=ANSWER_SECONDS):
                return
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (401, 403):  # it is there, and asks for credentials
                    return
                problem = f"HTTP {error.code}"
        except (OSError, ValueError, HTTPException) as error:
            raise _no_server(uri, str(getattr(error, "reason", error))) from None
    raise _no_server(uri, problem)


def _ping_database(uri: str, port: int) -> None:
    scheme, _, rest = uri.partition("://")
    shown = f"{scheme}://{rest.rpartition('@')[2]}"  # without the password
    try:
        parts = urlsplit(uri)
        address = (parts.hostname or "localhost", parts.port or port)
        socket.create_connection(address, ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _no_server(shown, str(error)) from None


def _sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite store; None for another kind, and for one in memory."""
    scheme, found, path = uri.partition(":///")
    path = path.split("?")[0]
    return Path(path).absolute() if scheme.startswith("sqlite") and found and path else None


def _check_file(uri: str) -> None:
    file = _sqlite_file(uri)
    if file is None:
        raise InputError.of(f"{uri} names no file, so nothing would be kept", valid=f"set {_FORMS}")
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError("permission denied")
    except OSError as error:
        raise InputError.of(
            f"MLflow's folder {folder} can't be written ({error.strerror or error})",
            valid="set HELIO_HOME to a folder that can be written",
        ) from None


def _no_server(uri: str, why: str) -> InputError:
    return InputError.of(f"no MLflow server answers at {uri} ({why})", valid=_UNSET)
