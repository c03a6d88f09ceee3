"""A job's model folder into MLflow: logged with its run, and registered where the spec says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliostat.tracking.code_model import log_code_model
from heliostat.tracking.packaging import log_model
from heliostat.tracking.registry import register as register_version


@dataclass(frozen=True)
class Logged:
    """What MLflow holds of the job's model."""

    model: str | None
    """models:/name/version where it was registered, else None."""
    reason: str
    """Why the alias moved or stayed; empty where none was asked for."""


def log_and_register(
    uri: str,
    run_id: str,
    folder: Path,
    *,
    register: Mapping[str, Any] | None,
    objective: Mapping[str, Any],
    value: float | None,
) -> Logged:
    """Log the model in `folder` (see `packaging.log_model`), and register it if `register` says.

    `register` and `objective` are the spec's, `value` the objective's of these weights. Raises
    InputError and TrackingAway as the calls it is made of.
    """
    log = log_model if (folder / "model.pt2").exists() else log_code_model
    model_uri = log(uri, run_id, folder)
    if register is None:
        return Logged(None, "")
    registered = register_version(
        uri,
        run_id,
        model_uri,
        name=register["name"],
        alias=register["alias"],
        when=register["when"],
        metric=objective.get("metric"),
        goal=objective.get("goal", "maximize"),
        value=value,
    )
    return Logged(registered.uri, registered.reason)
