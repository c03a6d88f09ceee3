"""A real PostgreSQL server of the tests' own (Debian package `postgresql`)."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ports import free_port
from waiting import wait_until

USER = "helio"


@dataclass(frozen=True)
class Postgres:
    """A running server, with a user `helio` who may do all."""

    host: str
    port: int
    password: str
    programs: Path

    def uri(self, database: str) -> str:
        """Return a database's address, with the password in it."""
        return f"postgresql://{USER}:{self.password}@{self.host}:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database; return its address."""
        self.ask("postgres", f"CREATE DATABASE {database}")
        return self.uri(database)

    def ask(self, database: str, query: str) -> str:
        """Return what psql answers, bare: a line a row, columns separated by `|`."""
        command = [str(self.programs / "psql"), "--no-psqlrc", "-At", "-c", query]
        done = subprocess.run(
            [*command, "-v", "ON_ERROR_STOP=1", self.uri(database)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def postgres_server(at: str = "127.0.0.1") -> Iterator[Postgres]:
    """Run a server on a free port of the address `at`; skips the test where there is none."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="helio-pg-"))
    server = Postgres(at, free_port(at), secrets.token_hex(16), programs)
    try:
        _make(server, folder)
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(
                # SIGINT is its fast shutdown; it gets it as well when the tests are killed.
                [*_as_nobody(), "setpriv", "--pdeathsig=INT", *_command(server, folder)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                _wait(server, process, folder / "log")
                yield server
            finally:
                process.send_signal(2)
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    """Return the folder of the newest version's programs, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    if initdb is None:
        pytest.skip("needs PostgreSQL: neither /usr/lib/postgresql nor initdb is there")
    return Path(initdb).resolve().parent


def _make(server: Postgres, folder: Path) -> None:
    (folder / "password").write_text(server.password)
    if os.geteuid() == 0:
        for path in (folder, folder / "password"):
            shutil.chown(path, *_OWNER)
    options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={folder}/password"]
    options += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", f"--pgdata={folder}/data"]
    made = subprocess.run(
        [*_as_nobody(), str(server.programs / "initdb"), *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    (folder / "password").unlink()
    with (folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 0.0.0.0/0 scram-sha-256\n")


def _command(server: Postgres, folder: Path) -> list[str]:
    settings = {
        "listen_addresses": server.host,
        "port": server.port,
        "unix_socket_directories": str(folder),
        "max_connections": 300,
        # What is lost with the machine is lost with the tests.
        "fsync": "off",
        "synchronous_commit": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str(server.programs / "postgres"), "-D", str(folder / "data"), *options]


_OWNER = ("postgres", "postgres")


def _as_nobody() -> list[str]:
    """PostgreSQL refuses to run as root: run it as its package's own user."""
    if os.geteuid() != 0:
        return []
    user, group = _OWNER
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--"]


def _wait(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    ready = [str(server.programs / "pg_isready"), "-q", "-h", server.host, "-p", str(server.port)]

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        return subprocess.run(ready, check=False).returncode == 0

    wait_until(is_ready, 30, log.read_text)
