"""The MLflow server in the background: with a password, and artifacts through the server."""

from __future__ import annotations

import os
import secrets
import sys
from base64 import b64encode
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from heliostat.runtime.cluster import processes
from heliostat.runtime.cluster.ports import LOOPBACK
from heliostat.runtime.cluster.running import folder, log, record
from heliostat.runtime.cluster.settings import Settings, backend
from heliostat.runtime.home import home
from heliostat.spec import InputError
from heliostat.tracking.server import USER, credentials, password_file
from heliostat.tracking.standing import Standing

ANSWER_SECONDS = 10.0

_AUTH = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{database}
admin_username = {user}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""
"""A password is checked by a slow hash, on purpose; once a minute is enough."""

_ALWAYS = {
    # What no rule speaks of is refused.
    "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
    "MLFLOW_SERVER_ENABLE_GRAPHQL_AUTH": "true",
    # The runner of GenAI jobs, which nothing here asks for, takes 3 s to start.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def start_server(settings: Settings) -> Standing:
    """Start the server, and write it down; secrets go to it by its environment alone.

    With `artifacts`, or at an address that other machines reach, artifacts of new experiments go
    through the server. Else they lie where they do without a server, so that nothing changes when
    it is gone.
    """
    _make_password()
    env = processes.environment()
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        env.pop(name, None)
    env |= _ALWAYS
    env["MLFLOW_BACKEND_STORE_URI"] = backend()
    env["MLFLOW_AUTH_CONFIG_PATH"] = _auth_config()
    env["MLFLOW_AUTH_ADMIN_PASSWORD"] = credentials(home())["MLFLOW_TRACKING_PASSWORD"]
    env["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secrets.token_hex(32)
    env.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", _hosts(settings.listen))
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--host", settings.listen, "--port", str(settings.mlflow_port)]
    command += ["--workers", str(_workers()), *_artifacts(settings)]
    process = processes.start(command, env, log=log("mlflow"), cwd=folder())
    return record(
        "mlflow",
        process.pid,
        settings.mlflow,
        {
            "listen": settings.listen,
            "mlflow_port": settings.mlflow_port,
            "artifacts": settings.artifacts,
        },
    )


def answers(server: Standing) -> bool:
    """Whether the server answers; InputError where it refuses the password of this HELIO_HOME."""
    user, password = credentials(home()).values()
    code = b64encode(f"{user}:{password}".encode()).decode()
    known = Request(
        f"{server.address}/api/2.0/mlflow/users/current", headers={"Authorization": f"Basic {code}"}
    )
    try:
        urlopen(f"{server.address}/health", timeout=1.0).close()
        urlopen(known, timeout=ANSWER_SECONDS).close()
    except HTTPError as error:
        with error:
            if error.code != 401:
                return False
        raise InputError.of(
            f"MLflow's user {user} has another password than {password_file(home())} says",
            valid=f"the old password, or remove {_users()}, which forgets all users",
        ) from None
    except OSError:
        return False
    return True


def why_ended() -> str:
    """Return, in a line, why the server that was started is no more."""
    try:
        lines = log("mlflow").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "it left no log"
    told = [line.strip() for line in lines if "Error" in line or "Exception" in line]
    return told[-1] if told else "MLflow was ended from outside"


def _make_password() -> None:
    """Make the password of this HELIO_HOME, if there is none yet."""
    file = password_file(home())
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as output:
            output.write(secrets.token_urlsafe(24) + "\n")
    file.chmod(0o600)


def _auth_config() -> str:
    # A percent sign would begin a reference in this kind of file.
    text = _AUTH.format(database=str(_users()).replace("%", "%%"), user=USER)
    file = folder() / "mlflow-auth.ini"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
    return str(file)


def _users() -> Path:
    """Return the file that holds the server's users, with hashes of their passwords."""
    return folder() / "mlflow-users.db"


def _artifacts(settings: Settings) -> list[str]:
    here = (home() / "artifacts").as_uri()
    options = ["--serve-artifacts", "--artifacts-destination", settings.artifacts or here]
    proxied = settings.artifacts or settings.listen != LOOPBACK
    return options if proxied else [*options, "--default-artifact-root", here]


def _hosts(listen: str) -> str:
    """Return the names by which the server may be asked for; others are refused."""
    names = dict.fromkeys(("localhost", "127.0.0.1", listen))
    return ",".join(form for name in names for form in (name, f"{name}:*"))


def _workers() -> int:
    return max(1, min(4, (os.cpu_count() or 1) // 2))
