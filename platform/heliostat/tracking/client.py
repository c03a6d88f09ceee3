"""The one door to MLflow: a client for an address, and what being away looks like."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from heliostat.tracking.embedded import make_database
from heliostat.tracking.server import TrackingAway

# 401 and 403 count too: a token that ran out in the middle of a job loses nothing.
_AWAY = (401, 403, 408, 429)

# Said by whichever of MLflow and heliostat is imported first: heliostat reports an outage itself.
logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def connect(uri: str) -> MlflowClient:
    """Return a client whose runs, models and artifacts are those of `uri`."""
    make_database(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn whatever says that MLflow at `uri` is out of reach into TrackingAway.

    What MLflow refuses on its merits (a bad name, an unknown run) passes unchanged.
    """
    try:
        yield
    except MlflowException as error:
        status = error.get_http_status_code()  # type: ignore[no-untyped-call]
        if status < 500 and status not in _AWAY:
            raise
        raise TrackingAway(f"MLflow at {uri}: {_first_line(error)}") from error
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise TrackingAway(f"MLflow at {uri}: {_first_line(error)}") from error
    except Exception as error:
        # Artifacts go straight to the bucket; boto3 is asked for by name since it may be absent.
        if not type(error).__module__.startswith(("botocore.", "boto3.")):
            raise
        raise TrackingAway(f"the artifacts of {uri}: {_first_line(error)}") from error


@contextmanager
def flavors() -> Iterator[None]:
    """Import MLflow's flavors here: it warns on the terminal about type hints of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
        yield


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
