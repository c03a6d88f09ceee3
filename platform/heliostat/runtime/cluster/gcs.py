"""A cluster's GCS, where nodes join: it is asked, before a node is started, whether it would.

It is asked by a process of its own (this module as a program): Ray's client of the GCS waits for
half a minute where something else listens, and says what it thinks on the terminal.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from importlib import metadata
from typing import Any

from heliostat.spec import InputError

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0


def greet(head: str) -> str:
    """Return the dashboard's URL of the cluster whose GCS is at `head`, IP:PORT.

    The token is what RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH say.

    Raises InputError, within 10 s, where none answers, it refuses the token, or it runs another
    Ray or Python.
    """
    _check_listens(head)
    told = _ask(head)
    ours = {"ray": metadata.version("ray"), "python": platform.python_version()}
    for name, here in ours.items():
        there = told[name]
        # Ray's own rule: its own version to the last digit, Python's to the minor one.
        if there.split(".")[:2] != here.split(".")[:2] or (name == "ray" and there != here):
            title = name.title()
            raise InputError.of(
                f"the cluster at {head} runs {title} {there}, and here is {title} {here}",
                valid=f"the same {title} on both machines",
            )
    return f"http://{told['dashboard']}"


def main(head: str) -> None:
    """Print what the GCS tells, as JSON, or exit with 3 where it refuses the token.

    Another line comes before: Ray is imported, which takes its time on a busy machine.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # it is Cython's
    from ray.exceptions import AuthenticationError

    print("asking", flush=True)
    try:
        client: Any = GcsClient(address=head)
        facts = json.loads(client.internal_kv_get(b"CLUSTER_METADATA", b"cluster"))
        dashboard = client.internal_kv_get(b"dashboard", b"dashboard").decode()
    except AuthenticationError:
        sys.exit(3)
    versions = {"ray": facts["ray_version"], "python": facts["python_version"]}
    print(json.dumps({**versions, "dashboard": dashboard}))


def _check_listens(head: str) -> None:
    host, _, port = head.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise InputError.of(f"{head!r} is not where nodes join a cluster", valid="IP:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _away(head, str(getattr(error, "strerror", None) or error)) from None


def _ask(head: str) -> dict[str, str]:
    with subprocess.Popen(
        [sys.executable, "-m", __name__, head],
        env={**os.environ, "RAY_AUTH_MODE": "token"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asking:
        assert asking.stdout
        asking.stdout.readline()
        try:
            told, said = asking.communicate(timeout=ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            asking.kill()
            raise _away(head, "what listens there does not answer as Ray") from None
    if asking.returncode == 3:
        raise InputError.of(
            f"the Ray cluster at {head} refuses the token",
            valid="helio join IP:PORT < ray-token, the file of HELIO_HOME on the cluster's head",
        )
    if asking.returncode != 0:
        raise _away(head, (said.strip().splitlines() or ["no answer"])[-1])
    answer: dict[str, str] = json.loads(told)
    return answer


def _away(head: str, why: str) -> InputError:
    return InputError.of(
        f"no Ray cluster answers at {head} ({why})",
        valid="the address that `helio up --listen IP` printed",
    )


if __name__ == "__main__":
    main(sys.argv[1])
