"""A cluster of `helio up` on this machine, on ports of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from command import Done, Helio
from ports import free_port


class Cluster(NamedTuple):
    """A running cluster, and the command line of the person who started it."""

    helio: Helio
    ups: tuple[Done, ...]
    """Two `helio up` that were typed at the same time."""

    @property
    def up(self) -> dict[str, Any]:
        """What the first `helio up` said."""
        return self.ups[0].document

    @property
    def address(self) -> str:
        """The dashboard, which is the address for `--cluster`."""
        return str(self.up["dashboard"])

    @property
    def token(self) -> str:
        """What opens Ray's doors."""
        return Path(self.up["token_file"]).read_text().strip()

    @property
    def as_driver(self) -> dict[str, str]:
        """Variables of a process on this machine that connects with `ray.init("auto")`."""
        return {
            "RAY_ADDRESS": str(self.up["ray"]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.up["token_file"]),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }

    @property
    def password(self) -> str:
        """What opens MLflow's, for the user `helio`."""
        return Path(self.up["password_file"]).read_text().strip()


def port_options() -> list[str]:
    """Return free ports as options of `helio up`."""
    options = ("--port", "--dashboard-port", "--mlflow-port")
    return [word for option in options for word in (option, str(free_port()))]
