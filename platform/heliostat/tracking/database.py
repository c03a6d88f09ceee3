"""Whether a database can hold what MLflow remembers. Imports no mlflow, which takes 4 s."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from heliostat.spec.problems import InputError

_SECONDS = 5


def check_database(uri: str) -> None:
    """Connect to the database as MLflow does, and compare its tables' version with MLflow's.

    MLflow itself would try again for two minutes, whatever is wrong. An empty database is right:
    MLflow makes its tables at the first start, which takes up to a minute on PostgreSQL.

    Raises:
        InputError: it can't be reached, refuses the user, or holds tables of another version of
            MLflow. No message holds the password.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    shown = uri
    try:
        engine = create_engine(uri, poolclass=NullPool, connect_args=_limits(uri))
        shown = engine.url.render_as_string(hide_password=True)
        with engine.connect() as connection:
            found = _version(connection)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise _unfit(shown, " ".join(str(cause).split())) from None
    except ModuleNotFoundError as error:
        raise _unfit(shown, f"its driver {error.name} is not installed") from None
    expected = _newest()
    if found is not None and found != expected:
        raise InputError.of(
            f"the database {shown} has tables of another version of MLflow"
            f" ({found}; this one's are {expected})",
            valid="`mlflow db upgrade` after a backup, or the MLflow that made them",
        )


def _version(connection: Any) -> str | None:
    """Return the revision of MLflow's tables; None for a database without any."""
    from sqlalchemy import inspect, text

    if "alembic_version" not in inspect(connection).get_table_names():
        return None
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def _newest() -> str:
    """Return the revision that no other follows, of those that this MLflow has."""
    package = find_spec("mlflow")
    assert package is not None  # heliostat depends on it
    assert package.origin is not None
    folder = Path(package.origin).parent / "store" / "db_migrations" / "versions"
    texts = [file.read_text() for file in folder.glob("*.py")]
    followed = {name for text in texts for name in _assigned("down_revision", text)}
    (newest,) = {name for text in texts for name in _assigned("revision", text)} - followed
    return newest


def _assigned(variable: str, text: str) -> list[str]:
    return re.findall(rf"""^{variable} = ["']([^"']+)["']""", text, re.MULTILINE)


def _limits(uri: str) -> dict[str, int]:
    return {"connect_timeout": _SECONDS} if uri.startswith(("postgresql", "mysql")) else {}


def _unfit(shown: str, why: str) -> InputError:
    return InputError.of(
        f"the database {shown} can't be used ({why})",
        valid="the address, user and password of one that can",
    )
