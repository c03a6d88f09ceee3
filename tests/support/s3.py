"""An S3 server of the tests' own, and addresses that behave badly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

AWAY = "http://127.0.0.1:9"
"""An endpoint where nobody listens (port 9 is "discard")."""

KEY = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
"""What the server takes, as it takes any other."""

SETTINGS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    # A machine of a cloud would ask that cloud for a role.
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@contextmanager
def s3_server(at: str = "127.0.0.1") -> Iterator[str]:
    """Run moto's S3 server as a process on a free port of the address `at`; give its endpoint.

    It holds objects in memory.
    """
    command = [sys.executable, "-c", _SERVER, at]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        port = server.stdout.readline().strip()
        assert port, "moto's server didn't start"
        yield f"http://{at}:{port}"
        # It ends with its input, which closes as well if the tests are killed.
        server.stdin.close()


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str, *, key: bool = True) -> None:
    """Point boto3, here and in processes started from here, at `endpoint`, maybe with no key."""
    for name in _OTHERS:
        monkeypatch.delenv(name, raising=False)
    settings = {**SETTINGS, **(KEY if key else {}), "AWS_ENDPOINT_URL": endpoint}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def make_bucket(name: str) -> None:
    """Make a bucket at the endpoint in use."""
    import boto3

    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=name)
    client.close()


@contextmanager
def bucket_client(endpoint: str) -> Iterator[Any]:
    """Give a client of the server at `endpoint`, whatever the environment says."""
    import boto3

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=SETTINGS["AWS_DEFAULT_REGION"],
        aws_access_key_id=KEY["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEY["AWS_SECRET_ACCESS_KEY"],
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def refusing_server() -> Iterator[str]:
    """Serve S3's refusal (403, AccessDenied) to every request, and give the endpoint."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


_SERVER = """
import logging, sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(sys.argv[1], 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""
_OTHERS = (
    *KEY,
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


class _Refusing(BaseHTTPRequestHandler):
    def _refuse(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _refuse

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
